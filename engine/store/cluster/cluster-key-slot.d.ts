/**
 * What cluster-key-slot gives, which comes without types: the CRC16 of a key, or of the part of it between braces, modulo
 * 16,384. It is the same function that ioredis uses for its own clusters.
 */
declare module 'cluster-key-slot' {
  export default function slotOf(key: string | Buffer): number
}
