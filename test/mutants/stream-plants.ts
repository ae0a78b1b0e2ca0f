/**
 * Planted bugs of the stream: what may wait for a reader, how many sockets and topics there may be, and who is counted
 * together. How they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

export const STREAM_PLANTS: readonly Plant[] = [
  plant(
    'a stream takes a credential without its scheme',
    'engine/server/uws/sockets.ts',
    [': bearerIn(header)\n', ': (bearerIn(header) ?? header)\n'],
    'server/stream',
  ),
  plant(
    'who asks for the stream without Upgrade is told that there is none',
    'engine/server/routes/routes.ts',
    ['if (exchange.path === STREAM_PATH && reads)', 'if (false)'],
    'server/edge',
  ),
  plant(
    'a socket outlives its token',
    'engine/server/stream/stream.ts',
    ['if (user && isOver(user, clock.wallMs()))', 'if (false)'],
    'server/ended-tokens',
  ),
  plant(
    'answers pile up for a reader who never reads',
    'engine/server/uws/sockets.ts',
    ['if (this.#owedBytes > this.owedBytesMax)', 'if (this.#owedBytes < 0)'],
    'server/slow-readers',
  ),
  plant(
    'a frame beyond the rate is answered under no id',
    'engine/server/stream/stream.ts',
    ['this.#error(socket, idOf(socket, message), late', 'this.#error(socket, 0, late'],
    'server/rate-limits',
  ),
  plant(
    'what was sent is still owed',
    'engine/server/uws/sockets.ts',
    ['      this.#owedBytes -= message.length\n', ''],
    'server/socket-limits',
  ),
  plant(
    'who shows no key is owed as much as a platform',
    'engine/server/stream/stream.ts',
    ["if (may(caller, 'claim-any')) socket.owedBytesMax", 'socket.owedBytesMax'],
    'server/slow-readers',
  ),
  plant(
    'a platform is owed as little as anybody',
    'engine/server/stream/stream.ts',
    ["if (may(caller, 'claim-any')) socket.owedBytesMax", "if (may(caller, 'operate')) socket.owedBytesMax"],
    'server/slow-readers',
  ),
  plant(
    'one socket more than there may be',
    'engine/server/stream/stream.ts',
    ['if (this.#sessions.size >= socketsMax)', 'if (this.#sessions.size > socketsMax)'],
    'server/socket-limits',
  ),
  plant(
    'sockets with a key count for their address',
    'engine/server/stream/stream.ts',
    ["if (caller.role !== 'anonymous' || socketsAddressMax === 0) return", 'if (socketsAddressMax === 0) return'],
    'server/socket-limits',
  ),
  plant(
    'an address never gets its sockets back',
    'engine/server/stream/stream.ts',
    ["if (session.caller.role === 'anonymous') count(", "if (session.caller.role === 'user') count("],
    'server/socket-limits',
  ),
  plant(
    'topics that are asked for at once have no limit',
    'engine/server/stream/stream.ts',
    ['        if (tooMany()) return\n', ''],
    'server/socket-limits',
  ),
  plant(
    'a silent socket stays',
    'engine/server/uws/sockets.ts',
    ['idleTimeout: socketIdleS', 'idleTimeout: 0'],
    'server/socket-limits',
  ),
  plant(
    'all IPv4 callers of a server that listens to both are one',
    'engine/auth/addresses.ts',
    ['const mapped = MAPPED.exec(full)', "const mapped = MAPPED.exec('')"],
    'unit/addresses',
  ),
  plant(
    'a subscription shows what a round was while another one was read',
    'engine/server/stream/stream.ts',
    ['round.view.notice === notice ? frame : stockFrame(round)', 'round.view.notice ? frame : stockFrame(round)'],
    'server/late-reads',
  ),
  plant(
    'who asks is what the caller wrote first',
    'engine/auth/addresses.ts',
    ['    if (!trusted.has(address)) break\n', ''],
    'unit/addresses',
  ),
  plant(
    'anybody may say for whom they ask',
    'engine/auth/addresses.ts',
    ["if (forwarded === '' || !trusted.has(socket)) return socket", "if (forwarded === '') return socket"],
    'unit/addresses',
  ),
  plant(
    'only the first line of X-Forwarded-For is read',
    'engine/server/uws/exchange.ts',
    ["if (name === 'x-forwarded-for') lines.push(value)", "if (name === 'x-forwarded-for') lines[0] ??= value"],
    'server/proxies',
  ),
  plant(
    'every page that asks may read the answer',
    'engine/server/uws/exchange.ts',
    ["if (origin !== '' && origins?.has(origin)) this.origin = origin", 'this.origin = origin'],
    'server/cross-origin',
  ),
  plant(
    'a list that is streamed is read by no page of another origin',
    'engine/server/uws/exchange.ts',
    ["statusLine(200, type))\n      if (this.origin !== '') this.#letRead()", 'statusLine(200, type))'],
    'server/cross-origin',
  ),
  plant(
    'who watches is not told again after a slow time',
    'engine/server/uws/sockets.ts',
    ['if (ws.getBufferedAmount() === 0) handler.drained(of(ws))', ''],
    'server/slow-readers',
  ),
  plant(
    'a viewer who left is still counted',
    'engine/server/stream/stream.ts',
    ['for (const roundId of session.topics) count(this.#viewers, roundId, -1)', ''],
    'server/socket-limits',
  ),
  plant(
    'each subscriber reads the round for himself',
    'engine/server/stream/stream.ts',
    ['    this.#reads.set(roundId, read)\n', ''],
    'server/stream',
  ),
  plant(
    'a read is shared for ever',
    'engine/server/stream/stream.ts',
    ['        this.#reads.delete(roundId)\n', ''],
    'server/stream',
  ),
]
