/**
 * The memory that Redis itself says it uses, asked over the embedded server's unix socket.
 *
 * One inline INFO is written by hand: the bench must not share the engine's Redis client, and one command does not need
 * one. Where the socket is not there (a remote engine, another layout of its data) there is no figure, and none is
 * printed.
 */

import { connect } from 'node:net'

const PATIENCE_MS = 2000

/** `used_memory` in bytes, or undefined where it cannot be asked. */
export function redisMemory(socketPath: string): Promise<number | undefined> {
  return new Promise(resolve => {
    let text = ''
    const socket = connect(socketPath, () => socket.write('INFO memory\r\n'))
    const settle = (value: number | undefined) => {
      socket.destroy()
      resolve(value)
    }
    socket.setTimeout(PATIENCE_MS, () => settle(undefined))
    socket.on('error', () => settle(undefined))
    socket.on('close', () => settle(undefined))
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      const used = /used_memory:(\d+)\r\n/.exec(text)
      if (used !== null) settle(Number(used[1]))
    })
  })
}
