/**
 * An ask that writes down what each of its claims was told, for tests of the queues: more than one entry is a claim that was
 * answered twice, none is one that was forgotten. Its holders are named after it, or as the test says.
 */
import type { FaultCode } from '../../engine/base/assert.ts'
import { type Code, codeOf } from '../../engine/base/codes.ts'
import { writeHolder } from '../../engine/base/holder.ts'
import type { Ask, Run } from '../../engine/campaign/round/asks.ts'

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

  settle({ from, count, outcome, sequence, pool }: Run): void {
    for (let i = 0; i < count; i++)
      this.told[from + i]?.push({
        code: codeOf(outcome) as Code,
        sequence: sequence && sequence + i,
        pool: pool ?? this.pool,
      })
  }

  fail(from: number, count: number, code: FaultCode): void {
    for (let i = from; i < from + count; i++) this.told[i]?.push({ code, sequence: 0, pool: this.pool })
  }
}
