/**
 * The commands of a page in docs, as a person pastes them: one shell that stays, fed block by block.
 *
 * A block that is marked `sh` can be run as it is; one without a mark is for people (a key to fill in, a command that does
 * not end). The shell has nothing of the test's environment but PATH. Rejected: a shell a block; a page goes on with what its
 * blocks before have set.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** The blocks of a page that are marked `sh`, in its order. */
export const blocksOf = (page: string): readonly string[] =>
  [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)

export class PageShell {
  readonly #child: ChildProcessWithoutNullStreams
  #printed = ''
  #look = () => {}
  #blocks = 0

  constructor() {
    this.#child = spawn('bash', { cwd: ROOT, env: { PATH: process.env.PATH } })
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on('data', (data: Buffer) => {
        this.#printed += data.toString()
        this.#look()
      })
  }

  /** Runs lines and gives what they printed, errors too. */
  async run(lines: string): Promise<string> {
    const end = `--- end of ${++this.#blocks} ---`
    this.#printed = ''
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#look = () => this.#printed.includes(`${end}\n`) && resolve()
    this.#child.stdin.write(`${lines}\necho '${end}'\n`)
    await promise
    return this.#printed.replace(`${end}\n`, '')
  }

  close(): void {
    this.#child.stdin.end()
  }
}
