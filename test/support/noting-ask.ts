/**
 * An ask that writes down what each of its claims was told, for tests of the queues: more than one entry is a claim that was
 * answered twice, none is one that was forgotten. Its holders are named after it, or as the test says.
 */
import { type Code, codeOf } from '../../engine/base/codes.ts'
import { writeHolder } from '../../engine/base/holder.ts'
import type { Ask } from '../../engine/campaign/round/asks.ts'

export interface Told {
  readonly code: Code
  readonly sequence: number
  readonly pool: number
}

export class NotingAsk implements Ask {
  readonly told: Told[][]
  readonly count: number
  readonly askedAt: number
  readonly pool: number
  readonly name: string
  via: string | undefined
  #written = 0

  constructor(name: string, { count, askedAt, pool }: { count: number; askedAt: number; pool: number }) {
    this.name = name
    this.count = count
    this.askedAt = askedAt
    this.pool = pool
    this.told = Array.from({ length: count }, () => [])
  }

  write(into: Buffer, at: number, count: number): number {
    let to = at
    for (let i = 0; i < count; i++) to = writeHolder(into, to, `${this.name}.${this.#written++}`)
    return to
  }

  settle(i: number, outcome: number, sequence: number, pool: number): void {
    this.told[i]?.push({ code: codeOf(outcome) as Code, sequence, pool })
  }
}
