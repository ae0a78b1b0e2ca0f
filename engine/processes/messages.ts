/**
 * What a supervisor and its workers say to each other over the channel between their processes. A worker asks for what
 * only the node knows (the metrics of all workers); the supervisor asks each worker for its part.
 */
export type FromSupervisor =
  | { readonly kind: 'drain' }
  /** Keys that are in force from now on. */
  | { readonly kind: 'keys'; readonly keys: string }
  /** Why the file of keys is not in force; empty where it is. */
  | { readonly kind: 'key-file'; readonly refused: string }
  | { readonly kind: 'collect'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly text: string }

export type FromWorker =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly reason: string; readonly isSetting: boolean }
  | { readonly kind: 'collected'; readonly id: number; readonly json: object[] }
  | { readonly kind: 'ask'; readonly id: number; readonly what: 'metrics' }

/** From a worker to its supervisor. */
export function report(message: FromWorker): void {
  process.send?.(message)
}

let asked = 0

/** Asks the supervisor and waits for its answer. */
export function askSupervisor(what: 'metrics'): Promise<string> {
  const id = ++asked
  return new Promise(resolve => {
    const received = (message: FromSupervisor) => {
      if (message.kind !== 'answer' || message.id !== id) return
      process.off('message', received)
      resolve(message.text)
    }
    process.on('message', received)
    report({ kind: 'ask', id, what })
  })
}
