/**
 * The command `fairgrab` under the Node that the package brings: what installed.mjs starts where the Node that was found is too old.
 * It ends as by SIGTERM when the process that started it is gone, since whoever killed that one believes that the engine has ended.
 *
 * The channel between the two says so by closing, by whatever signal the other died. Rejected: looking at the parent's number now and
 * then, which another process may have by then.
 */
import process from 'node:process'

const end = () => process.kill(process.pid, 'SIGTERM')

process.once('disconnect', end)
// Listening alone keeps no command from ending by itself.
process.channel?.unref()
// It was gone before anybody listened.
if (!process.connected) end()

await import('./installed.mjs')
