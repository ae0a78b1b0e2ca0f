/**
 * The state machine of vouchers, read out of the text of scripts/lib/voucher.lua by the shape in which it is written there;
 * a row that cannot be read is a turn that no other side has.
 */
import { textOf } from '../repo/tree.ts'

/** `state active` for every state, `active lock locked` for every turn. */
export function turnsIn(lua: string): string[] {
  const body = /local TURNS = \{\n([\s\S]*?)\n\}\n/.exec(lua)?.[1] ?? ''
  return body.split('\n').flatMap(line => {
    const [, from = '?', turns = ''] = /^ {2}(\w+) = \{(.*)\},$/.exec(line) ?? []
    return [`state ${from}`, ...[...turns.matchAll(/(\w+) = '(\w+)'/g)].map(([, verb, to]) => `${from} ${verb} ${to}`)]
  })
}

export const voucherLua = (): string => textOf('scripts/lib/voucher.lua')
