/**
 * The floor itself, a program of its own: node server.ts <port> <status> <bytes>.
 * It waits for the whole body, as a server that needs the body must, and answers the same bytes every time.
 * The handler attaches onAborted first: without it the library ends the process when a client leaves early.
 */
import { App } from 'uWebSockets.js'

const [port, status, bytes] = process.argv.slice(2).map(Number)
if (port === undefined || status === undefined || bytes === undefined) {
  throw new Error('port, status and bytes are needed')
}

const answer = Buffer.from(JSON.stringify({ outcome: '' }).padEnd(bytes, ' '))
const statusLine = status === 201 ? '201 Created' : '409 Conflict'

App()
  .post('/claims', response => {
    response.onAborted(() => {})
    response.onData((_chunk, isLast) => {
      if (!isLast) return
      response.cork(() => {
        response.writeStatus(statusLine).writeHeader('Content-Type', 'application/json').end(answer)
      })
    })
  })
  .listen('127.0.0.1', port, listening => {
    if (!listening) throw new Error(`port ${port} is taken`)
    console.log('listening')
  })

process.once('SIGTERM', () => process.exit(0))
