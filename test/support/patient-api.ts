/**
 * A client that asks again whatever the engine sheds: on a busy machine a worker stands still now and then, and refuses for a
 * moment what it certainly did not execute.
 */
import { Api, patiently, type Reply } from './api.ts'

export class PatientApi extends Api {
  override call<Body>(...asked: Parameters<Api['call']>): Promise<Reply<Body>> {
    return patiently(() => super.call<Body>(...asked))
  }

  override as(credential: string): Api {
    return new PatientApi(this.url, credential)
  }
}
