/**
 * A room is what one measurement needs and what must be gone after it: a temporary folder, child processes and
 * whatever else was opened. A contender only starts things in the room; closing the room ends them all, so no
 * contender has a stop of its own to forget.
 *
 * Children get SIGTERM in the reverse order of their start and time to leave; one that stays is killed with its
 * descendants, by id. A child that dies while it is needed makes the room fail at the next question (`alive`),
 * because CPU time of a dead process is lost and the figures would be too good.
 * Rejected: containers (there is no engine on the machines that measure) and the system's services (their
 * settings are not ours to change, and two benches could meet in them).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { treeOf } from '../measure/process-cost.ts'

const LEAVE_MS = 8_000
const READY_MS = 20_000
const POLL_MS = 20
const NOBODY = 65_534
const STDERR_BYTES_KEPT = 4_096

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  /** Either a line on stdout or stderr, or a question that is asked until it says yes. */
  readonly ready: RegExp | (() => Promise<boolean>)
  /** Give up root before the program starts. It changes nothing for a user who is not root. */
  readonly asNobody?: boolean
}

interface Child {
  readonly process: ChildProcess
  readonly program: string
  said: string
}

export class Room {
  readonly folder: string
  readonly #children: Child[] = []
  readonly #endings: (() => void | Promise<void>)[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<Room> {
    const folder = await mkdtemp(join(tmpdir(), 'fairgrab-peers-'))
    await chmod(folder, 0o755)
    return new Room(folder)
  }

  /** Runs when the room closes, before the processes are ended. */
  defer(ending: () => void | Promise<void>): void {
    this.#endings.push(ending)
  }

  /** Starts a program and answers its process id once it is ready. */
  async run(command: Command): Promise<number> {
    const asNobody = command.asNobody === true && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
    const started = spawn(command.program, command.args, { stdio: ['ignore', 'pipe', 'pipe'], ...asNobody })
    const child: Child = { process: started, program: command.program, said: '' }
    const hear = (bytes: Buffer): void => {
      child.said = (child.said + bytes.toString()).slice(-STDERR_BYTES_KEPT)
    }
    started.stdout.on('data', hear)
    started.stderr.on('data', hear)
    await once(started, 'spawn')
    this.#children.push(child)
    const { ready } = command
    await this.#until(child, ready instanceof RegExp ? async () => ready.test(child.said) : ready)
    return started.pid!
  }

  /** Throws when a process of this room has ended. */
  alive(): void {
    for (const { process: child, program, said } of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`${program} ended by itself (${child.exitCode ?? child.signalCode}). It said:\n${said}`)
      }
    }
  }

  async close(): Promise<void> {
    for (const ending of this.#endings.toReversed()) await ending()
    for (const { process: child } of this.#children.toReversed()) await leave(child)
    await rm(this.folder, { recursive: true, force: true })
  }

  async #until(child: Child, ready: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_MS
    while (!(await ready())) {
      this.alive()
      if (performance.now() > deadline) {
        throw new Error(`${child.program} was not ready after ${READY_MS} ms. It said:\n${child.said}`)
      }
      await pause(POLL_MS)
    }
  }
}

async function leave(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const late = new AbortController()
  const killed = pause(LEAVE_MS, undefined, { signal: late.signal }).then(
    () => {
      for (const { pid } of treeOf(child.pid!)) process.kill(pid, 'SIGKILL')
    },
    () => {},
  )
  await gone
  late.abort()
  await killed
}
