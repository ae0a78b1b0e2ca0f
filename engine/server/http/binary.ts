/**
 * The server library is a compiled binary: the one that will run here must be the one that was reviewed. Its SHA-256
 * stands in this file, and a node whose binary differs does not start. For another build change the alias in
 * package.json to the upstream tag (`github:uNetworking/uWebSockets.js#…`) and the sums here, in one commit.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** By `<platform>_<arch>_<module ABI>`. Builds that are not listed are used unverified, and the start says so. */
const SUMS: Readonly<Record<string, string>> = {
  linux_x64_127: '8cabc918bbf9a07323e54f89a33882491080b2eb35df0607f473ccdb1f3c31af',
}

/** Resolves with the build's name and whether it was verified; throws when it is not the reviewed one. */
export async function verifyBinary(sums = SUMS): Promise<{ readonly build: string; readonly verified: boolean }> {
  const build = `${process.platform}_${process.arch}_${process.versions.modules}`
  const expected = sums[build]
  if (!expected) return { build, verified: false }
  const file = new URL(`./bin/uws_${build}.node`, import.meta.resolve('uWebSockets.js'))
  const sum = createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
  if (sum !== expected)
    throw new Error(
      `uWebSockets.js: the binary ${build} has SHA-256 ${sum}, reviewed was ${expected}; run npm install again`,
    )
  return { build, verified: true }
}
