/**
 * A worker process: started by the supervisor (supervisor.ts), told to drain by it, and ended with it. Its metrics go
 * to the supervisor, which adds those of all workers.
 */
import { readConfig } from '../config.ts'
import { startWorker } from '../main.ts'
import { openLog } from '../ops/log.ts'
import { askSupervisor, type FromSupervisor, tell } from './messages.ts'

const config = readConfig()
const log = openLog(config.logLevel, 'worker')

/** How long a draining worker goes on listening, so that probes see it and send traffic elsewhere. */
const NOTICE_MS = 500

/** A bug that nobody caught: stop, and let the supervisor start a sound process. */
const die = (cause: unknown) => {
  log.fatal({ err: cause }, 'this worker ends because of a bug')
  process.exit(1)
}
process.on('uncaughtException', die)
process.on('unhandledRejection', die)
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

/** A worker that still waits for Redis must not outlive its supervisor, nor keep it from ending. */
const leave = () => process.exit(0)
const leaveEarly = ({ kind }: FromSupervisor) => kind === 'drain' && leave()
process.once('disconnect', leave)
process.on('message', leaveEarly)
const worker = await startWorker({
  config,
  log,
  place: Number(process.argv[2] ?? 0),
  metricsText: () => askSupervisor('metrics'),
}).catch((cause: Error) => {
  tell({ kind: 'failed', reason: cause.message })
  process.exit(1)
})

let draining = false
const drain = (noticeMs: number) => {
  if (draining) return
  draining = true
  worker.drain(noticeMs).then(() => process.exit(0), die)
}
process.off('disconnect', leave)
process.off('message', leaveEarly)
process.on('disconnect', () => drain(0))
process.on('message', (message: FromSupervisor) => {
  if (message.kind === 'drain') drain(NOTICE_MS)
  if (message.kind === 'collect') worker.metrics().then(json => tell({ kind: 'collected', id: message.id, json }), die)
})
tell({ kind: 'ready', port: worker.port })
