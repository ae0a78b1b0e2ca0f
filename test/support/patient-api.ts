/**
 * A client that asks again whatever the engine sheds: on a busy machine a worker stands still now and then, and refuses for a
 * moment what it certainly did not execute.
 */
import { Api, type Fields, type Reply } from './api.ts'

export class PatientApi extends Api {
  override async call<Body>(...asked: Parameters<Api['call']>): Promise<Reply<Body>> {
    const reply = await super.call<Body>(...asked)
    return (reply.body as Fields).code === 'overloaded' ? this.call(...asked) : reply
  }

  override as(credential: string): Api {
    return new PatientApi(this.url, credential)
  }
}
