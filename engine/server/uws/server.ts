/**
 * The HTTP server: routes and the stream's path over uWebSockets.js, which only this folder knows. It turns the library's
 * callbacks into two plain things: an Exchange (one HTTP request and its answer) and a StreamSocket (one WebSocket). To
 * change to an upstream build for Node 24 and later, change the alias in package.json; nothing here.
 */
import * as uws from 'uWebSockets.js'
import { Exchange, type Reading } from './exchange.ts'
import { type SocketData, type SocketOptions, streamBehaviour } from './sockets.ts'

export interface HttpRoute {
  readonly method: 'get' | 'post' | 'put' | 'options'
  /** With `{name}` parts. */
  readonly path: string
  /** Leaves method, path and Idempotency-Key unread. */
  readonly lean?: boolean
  readonly handle: (exchange: Exchange) => void
}

export interface ServerOptions extends SocketOptions {
  readonly host: string
  readonly port: number
  readonly routes: readonly HttpRoute[]
  readonly streamPath: string
}

export interface Server {
  readonly port: number
  publish(topic: string, message: string | Uint8Array, binary: boolean): void
  /** Stops accepting connections. */
  stopListening(): void
  /** Ends everything that is left. */
  close(): void
}

/** Listens, or throws with the address that could not be had. */
export function serve(options: ServerOptions): Promise<Server> {
  silence(uws)
  const { edge } = options
  const app = uws.App()
  for (const { method, path, lean, handle } of options.routes) {
    const reading: Reading = [path.match(/\{/g)?.length ?? 0, lean ?? false]
    const pattern = path.replace(/\{(\w+)\}/g, ':$1')
    const answer = (res: uws.HttpResponse, req: uws.HttpRequest) => handle(new Exchange(res, req, edge, reading))
    app[method](pattern, answer)
    if (method === 'get') app.head(pattern, answer)
  }
  app.ws<SocketData>(options.streamPath, streamBehaviour(options))
  app.any('/*', (res, req) => options.fallback(new Exchange(res, req, edge, [0, false])))
  return new Promise((resolve, reject) => {
    app.listen(options.host, options.port, token => {
      if (token) resolve(listening(app, token))
      else reject(new Error(`cannot listen on ${options.host}:${options.port}; is it taken? Set PORT to another one`))
    })
  })
}

/** Takes the library's own header off every answer; the call is missing in its types. */
function silence(library: unknown): void {
  ;(library as { _cfg(setting: string): void })._cfg('silent')
}

function listening(app: uws.TemplatedApp, token: uws.us_listen_socket): Server {
  return {
    port: uws.us_socket_local_port(token as unknown as uws.us_socket),
    publish: (topic, message, binary) => {
      app.publish(topic, message, binary)
    },
    stopListening: () => uws.us_listen_socket_close(token),
    close: () => {
      app.close()
    },
  }
}
