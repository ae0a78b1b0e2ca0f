/**
 * Tokens of users for tests: signed as a platform would sign them, or spoilt on purpose.
 *
 * Header and claims are written as they are given, so a test can make any token that the engine has to refuse:
 * another algorithm, another key, no expiry. Made with node:crypto and not with the engine's own code, which only
 * verifies and would agree with its own mistakes.
 */
import { createHmac } from 'node:crypto'
import { JWT_SECRET } from './engine.ts'

export interface TokenParts {
  readonly header?: object
  readonly claims?: object
  readonly secret?: string
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** An HS256 token of a user that is valid for an hour, or what `parts` make of it. */
export function userToken(sub: string, { header, claims, secret = JWT_SECRET }: TokenParts = {}): string {
  const exp = Math.floor(Date.now() / 1000) + 3600
  const signed = `${part(header ?? { alg: 'HS256', typ: 'JWT' })}.${part({ sub, exp, ...claims })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
