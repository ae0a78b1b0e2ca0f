/**
 * One connection to one node: a question of the public API at a time, the answer as it came with its two moments.
 *
 * A connection that breaks, or says nothing for too long, is the outcome `no_answer`: it may have been executed. The
 * connection is part of the answer, since a node has several workers and only one of them is behind a connection. fetch was
 * rejected: it costs three times as much, and a witness runs beside rows that time the engine.
 */
import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import { KEYS } from '../engine.ts'
import { nowMs, type Told } from './testimony.ts'

const PATIENCE_MS = 15_000
let connections = 0
const numbers = new WeakMap<Socket, number>()

export interface Heard extends Told {
  readonly status: number
  readonly text: string
  /** `done` for 2xx, else the code of the problem, or `no_answer`. */
  readonly outcome: string
  readonly connection: number
}

export interface Question {
  readonly body?: unknown
  readonly key?: string
  readonly ndjson?: boolean
}

export function outcomeOf(status: number, text: string): string {
  if (status === 0) return 'no_answer'
  if (status < 300) return 'done'
  return /"code":"(\w+)"/.exec(text)?.[1] ?? `status_${status}`
}

function numberOf(socket: Socket | null): number {
  if (socket === null) return 0
  const known = numbers.get(socket) ?? ++connections
  numbers.set(socket, known)
  return known
}

export class Door {
  readonly node: string
  readonly url: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(url: string) {
    this.url = url
    this.node = `the node at ${new URL(url).port}`
  }

  get(path: string, question: Question = {}): Promise<Heard> {
    return this.#ask('GET', path, question)
  }

  post(path: string, body: unknown = {}, key?: string): Promise<Heard> {
    return this.#ask('POST', path, key === undefined ? { body } : { body, key })
  }

  close(): void {
    this.#agent.destroy()
  }

  #ask(method: string, path: string, { body, key, ndjson = false }: Question): Promise<Heard> {
    const sent = nowMs()
    const bytes = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      authorization: `Bearer ${KEYS.operator}`,
      accept: ndjson ? 'application/x-ndjson' : 'application/json',
      ...(bytes === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    }
    return new Promise(resolve => {
      const end = (status: number, text: string, connection = 0) =>
        resolve({ node: this.node, sent, at: nowMs(), status, text, outcome: outcomeOf(status, text), connection })
      const asked = request(new URL(path, this.url), { agent: this.#agent, method, headers }, answer => {
        const connection = numberOf(asked.socket)
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.once('end', () => end(answer.statusCode ?? 0, Buffer.concat(chunks).toString(), connection))
        answer.once('error', () => end(0, ''))
      })
      asked.setTimeout(PATIENCE_MS, () => asked.destroy())
      asked.once('error', () => end(0, ''))
      asked.once('close', () => end(0, ''))
      asked.end(bytes)
    })
  }
}
