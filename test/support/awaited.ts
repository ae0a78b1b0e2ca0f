/**
 * What tests wait for of something that moves by itself, each as a condition that is looked at behind every move. When
 * the moving is over, conditions that do not hold never will: who waits is refused at once, with what was reached.
 */
interface Waiting {
  readonly holds: () => boolean
  readonly settle: PromiseWithResolvers<void>
}

export class Awaited {
  readonly #waiting = new Set<Waiting>()
  readonly #reached: () => string
  #isOver = false

  /** `reached` says in words how far it came. */
  constructor(reached: () => string) {
    this.#reached = reached
  }

  /** Resolves as soon as it holds; rejects when it can hold no more. */
  until(holds: () => boolean): Promise<void> {
    const settle = Promise.withResolvers<void>()
    this.#waiting.add({ holds, settle })
    this.look()
    return settle.promise
  }

  /** Something moved. */
  look(): void {
    for (const waiting of this.#waiting) {
      const holds = waiting.holds()
      if (!holds && !this.#isOver) continue
      this.#waiting.delete(waiting)
      if (holds) waiting.settle.resolve()
      else waiting.settle.reject(new Error(`it is over, and what was waited for can come no more: ${this.#reached()}`))
    }
  }

  /** It moves again. */
  begin(): void {
    this.#isOver = false
  }

  /** It moves no more. */
  end(): void {
    this.#isOver = true
    this.look()
  }
}
