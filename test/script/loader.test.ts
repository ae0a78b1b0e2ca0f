/**
 * The script loader refuses what does not fit, and the scripts are those that were reviewed.
 *
 * PINNED is the SHA-1 of each script as it is sent, the name that EVALSHA calls it by. Two versions of the engine
 * that share one Redis must mean the same by a script, so change a hash here only together with a line in
 * CHANGELOG.md that says what changed for those who upgrade.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { buildScript, checkContract, loadScripts, SCRIPTS } from '../../engine/store/scripts.ts'

const PINNED: Readonly<Record<string, string>> = {
  book: '77e333aefb56f46421ed78a5fed2624148b36b08',
  budget: 'c18d763e911f7b504d245a53d6cc4639042c37f0',
  'campaign-create': 'd0066df6a937e9767ff8f152808faf740bf4b032',
  claim: '1d5f244451472d6fd5be67e489ba5c9845f0a04f',
  deactivate: '5e82085c8096a148b9ef81abd30abed72121f37c',
  expire: '44d6fd67f69d13e3c6cf36c0b2bc99444b9834ea',
  'key-own': 'b97534e8a0c4e43ec12d445ed07ae6d03cc97314',
  redeem: '01c781966c86c5795cfe3ca02cbbb3477b987cc3',
  restock: '5852fa71ffd087d58ce4ea36e8908ea61b1c375e',
  reverse: '6d62a781bff2764f5ae21cc4e50a57cc8cec55f9',
  'round-create': '4366d1ecc2a2f5ae6564658d6ab66c6ac83999c6',
  'round-read': 'bcf3e20b44f12ef35b3432bba653a76099d2c725',
  'round-turn': 'ba1149ce280270cc15a5d144d6228729245d3452',
  settle: 'e5759eca679091ab58599f8bd7ffb5ec8cd68785',
  'voucher-due': '24dfdf5df684570ac5e2f64b61b8b393b7a76e75',
  'voucher-lock': 'a3d116e8eca1804927a627bc3b584bf06e100a3f',
  'voucher-read': '9517825af333fba1cf248a6cec6112e05b11d350',
  'voucher-unlock': 'f56115483fc55ed09dc2401da65f3b94642aeaf5',
}

const none = (name: string): string => {
  throw new Error(`ENOENT: no such file, open 'scripts/lib/${name}.lua'`)
}
const TEXT = '#!lua\n-- A script.\n-- @key state  roundState\n-- @arg add  how much\nreturn { CODE.granted }\n'

test('the scripts are those that were reviewed: change a hash only with a line in CHANGELOG.md', () => {
  const hashes = Object.values(loadScripts()).map(({ name, source }) => [
    name,
    createHash('sha1').update(source).digest('hex'),
  ])
  expect(Object.fromEntries(hashes)).toEqual(PINNED)
})

test('each script that exists has a row, and a test that counts its outcomes', () => {
  const files = readdirSync(join(import.meta.dirname, '../../scripts')).filter(file => file.endsWith('.lua'))
  expect(files.map(file => file.replace('.lua', '')).sort()).toEqual(Object.keys(SCRIPTS).sort())
  const texts = readdirSync(import.meta.dirname).map(file => readFileSync(join(import.meta.dirname, file), 'utf8'))
  const counting = texts.filter(text => text.includes('room.outcomes('))
  for (const name of Object.keys(SCRIPTS))
    expect(
      counting.some(text => text.includes(`'${name}'`)),
      name,
    ).toBe(true)
})

test('what is sent: shebang, the numbers it names, the included functions, the body without comments', () => {
  const library = (name: string) =>
    name === 'more' ? '-- More.\nlocal function more() return CODE.sold_out end\n' : none(name)
  const text = TEXT.replace('return', '-- @include more\nreturn').replace('#!lua', '#!lua flags=no-writes')
  const script = buildScript('some.lua', text, library)
  expect(script).toEqual({
    name: 'some',
    keys: ['state'],
    args: ['add'],
    source: `#!lua flags=no-writes\nlocal CODE = {granted=${CODES.granted.number},sold_out=${CODES.sold_out.number}}\nlocal function more() return CODE.sold_out end\nreturn { CODE.granted }\n`,
  })
})

test('no comment of a script is sent, and every reader is marked so', () => {
  for (const { name, source } of Object.values(loadScripts())) {
    expect(source, name).not.toMatch(/^\s*--/m)
    const text = readFileSync(join(import.meta.dirname, `../../scripts/${name}.lua`), 'utf8')
    const writes = /'(HSET|XADD|SET|DEL|HDEL|INCR|PUBLISH)'|round_write|log_change|ledger_post/.test(text)
    expect(source.startsWith('#!lua flags=no-writes\n'), name).toBe(!writes)
  }
})

test('a script that cannot be built stops the start and says which', () => {
  expect(() => buildScript('a.lua', TEXT.replace('#!lua\n', ''), none)).toThrow(
    'scripts/a.lua: the first line must be "#!lua"',
  )
  expect(() => buildScript('a.lua', `-- First.\n${TEXT}`, none)).toThrow('the first line must be')
  expect(() => buildScript('a.lua', TEXT.replace('granted', 'grantde'), none)).toThrow(
    'scripts/a.lua: CODE.grantde is not in engine/base/codes.ts',
  )
  expect(() => buildScript('a.lua', TEXT.replace('return', '-- @include gone\nreturn'), none)).toThrow(
    'scripts/lib/gone.lua',
  )
})

test('a contract that differs from what TypeScript believes stops the start and shows both', () => {
  const script = buildScript('a.lua', TEXT, none)
  expect(() => checkContract(script, { keys: ['state'], args: ['add'] })).not.toThrow()
  expect(() => checkContract(script, undefined)).toThrow('scripts/a.lua has no row in engine/store/scripts.ts')
  const wrong: [{ keys: string[]; args: string[] }, string][] = [
    [{ keys: ['log'], args: ['add'] }, 'its keys are [state], engine/store/scripts.ts says [log]'],
    [{ keys: ['state', 'log'], args: ['add'] }, 'its keys are [state], engine/store/scripts.ts says [state log]'],
    [{ keys: ['state'], args: [] }, 'its args are [add], engine/store/scripts.ts says []'],
    [{ keys: ['state'], args: ['most', 'add'] }, 'its args are [add], engine/store/scripts.ts says [most add]'],
  ]
  for (const [expected, message] of wrong) expect(() => checkContract(script, expected)).toThrow(message)
})
