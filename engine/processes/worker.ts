/**
 * A worker process: started by the supervisor (supervisor.ts), drained by it, and ended with it. Its metrics go
 * to the supervisor, which adds those of all workers.
 *
 * A supervisor that dies takes its workers with it at once: whoever killed a node believes that it writes nothing any more,
 * and who starts it again needs its port and its journal. What was under way is asked again, as after every death of a
 * worker. Rejected: a drain, which goes on redeeming until nobody asks for ten milliseconds.
 */

import { helpAgainst } from '../base/finding.ts'
import { type Config, ConfigError, readConfig } from '../config.ts'
import { startWorker } from '../main.ts'
import { openLog } from '../ops/log.ts'
import { askSupervisor, type FromSupervisor, report } from './messages.ts'

/** The supervisor says it at its terminal, and does not replace who can never start. */
function fail(cause: Error): never {
  const isSetting = cause instanceof ConfigError
  const help = isSetting ? undefined : helpAgainst(cause.message)
  report({ kind: 'failed', reason: [cause.message, help ?? []].flat().join('; '), isSetting })
  process.exit(1)
}

function read(): Config {
  try {
    return readConfig()
  } catch (cause) {
    return fail(cause as Error)
  }
}

const config = read()
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
process.on('SIGHUP', () => {})

/** Keys that came while this worker started. */
let keys: string | undefined
const keepKeys = (message: FromSupervisor) => {
  if (message.kind === 'keys') keys = message.keys
}
process.on('message', keepKeys)

/** A worker that still waits for Redis does not keep its supervisor from ending. */
const leaveEarly = ({ kind }: FromSupervisor) => kind === 'drain' && process.exit(0)
process.on('message', leaveEarly)
process.once('disconnect', () => {
  log.error('the supervisor has ended; this worker ends at once')
  process.exit(1)
})
const worker = await startWorker({
  config,
  log,
  place: Number(process.argv[2] ?? 0),
  metricsText: () => askSupervisor('metrics'),
}).catch(fail)

process.off('message', keepKeys)
if (keys !== undefined) worker.setKeys(keys)

let draining = false
const drain = () => {
  if (draining) return
  draining = true
  worker.drain(NOTICE_MS).then(() => process.exit(0), die)
}
process.off('message', leaveEarly)
process.on('message', (message: FromSupervisor) => {
  if (message.kind === 'drain') drain()
  if (message.kind === 'keys') worker.setKeys(message.keys)
  if (message.kind === 'key-file') worker.judgeKeys(message.refused)
  if (message.kind === 'collect')
    worker.metrics().then(json => report({ kind: 'collected', id: message.id, json }), die)
})
report({ kind: 'ready', port: worker.port })
