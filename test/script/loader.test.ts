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
import { buildScript, checkContract, loadScripts, SCRIPTS, type Script } from '../../engine/store/connection/scripts.ts'

const PINNED: Readonly<Record<string, string>> = {
  allot: '890cc6c08a68c41e90b71a2a5aa753411bf206b4',
  audit: '6fefda800c802a9140fee069063499b252c65a41',
  book: 'b9cef92241190c49c7716d48dd3db32d5e861b4a',
  budget: 'c6d08b0c6b86b0333349423547bead59d4bbed4b',
  'campaign-create': 'bdbe91866badd97ba61c31e487e0bd91b0203592',
  claim: '8c296c2c1296a58aaa5f2aeaab1ba2b454b72b57',
  deactivate: '8f4ea39eeefd3e138b8d86466e15c62ff853ea1e',
  'draw-finish': 'd64a1b0863dd381e9a4e2d93f971ec1fe981b4d1',
  'draw-grant': '2963d611355ff79c93f556bb416430f3a649928d',
  'draw-lapse': '958112566543819756cc42f0b16f2382793f7370',
  'draw-open': '91134b072b9e53ee62a172fe6fd7a38f7e9541cb',
  'draw-take': '3026f48f0b91a0e75ab144f4b4cbe0851f3d9de1',
  'draw-write': 'ff109fe048cca20d9fe3bf790c483b8d949c0a23',
  enter: 'd248a2f182808aaef6bcba3feb2b5d14d6a2ceb8',
  expire: '65fedc22aedbb25647b216e94f91791b4c1cca0e',
  'fence-bind': '74c49e2a2f66d2eebbec9ab8d4bfa5c664218777',
  'fence-release': '35c89f397314547098f21c9461c5f8b021c70b49',
  'fence-reserve': 'fb95e2435c4eb766976ab6ff0b7e64f2fe82b377',
  'fence-restore': '6a714a7ff02f971cf1b4547a8e54f4a0e9de801c',
  'hold-end': '946d5cd971d274a061b87e9ca4dbce91f915e9a5',
  'key-own': 'b97534e8a0c4e43ec12d445ed07ae6d03cc97314',
  redeem: 'd63792e7e6f1204f55bc8ffdcab2fbca82667c8b',
  restock: 'd58893bed4703d35c9427abfbdf55da103aa8aa6',
  reverse: '2ae36bdd542451d35b7dd958af5eabc5e558d25b',
  'round-create': 'b86ed2aa4ff831e9796efade3e305aae042d1e43',
  'round-history': '26e9472e8a1d8cbf4fb10cbd220fb3c2153db8df',
  'round-read': '541c2da681d9a9d11ed2f88ac4c5d9a5dff76b74',
  'round-turn': '3abdf7b5fffe90b89c072b17968d5189543489fe',
  'round-void': '6de130848c33be3adadf7dd39619a5fc7e77de5b',
  'set-once': '88b58435e83f0e31490f5d52efa71ab56e1ed091',
  settle: '94cb486f3e0f94bb8af5cf6e8040cea4f943fa5a',
  'voucher-due': '8a4a1f0990025874dd40e24d39de674ea7d132e6',
  'voucher-lock': 'ea5906cade0ea522fdf66406693296553593d931',
  'voucher-read': '99be4774bcee6ab4db8210ccd0f72dfaf0eccb24',
  'voucher-unlock': 'f571aee15646dbf3cf07ddf7e14c52cfc07addaa',
}

const none = (name: string): string => {
  throw new Error(`ENOENT: no such file, open 'scripts/lib/${name}.lua'`)
}
const TEXT = '#!lua\n-- A script.\n-- @key state  roundState\n-- @arg add  how much\nreturn { CODE.granted }\n'

test('the scripts are those that were reviewed: change a hash only with a line in CHANGELOG.md', () => {
  const scripts = Object.values(loadScripts()).filter(({ name }) => name in SCRIPTS)
  const hashes = scripts.map(({ name, source }) => [name, createHash('sha1').update(source).digest('hex')])
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
    readsOnly: true,
    source: `#!lua flags=no-writes\nlocal CODE = {granted=${CODES.granted.number},sold_out=${CODES.sold_out.number}}\nlocal function more() return CODE.sold_out end\nreturn { CODE.granted }\n`,
  })
})

test('no comment of a script is sent, and every reader is marked so', () => {
  for (const { name, source } of Object.values(loadScripts())) {
    expect(source, name).not.toMatch(/^\s*--/m)
    const text = readFileSync(join(import.meta.dirname, `../../scripts/${name.replace(/-dry$/, '')}.lua`), 'utf8')
    const writes = /'(HSET|XADD|SET|DEL|HDEL|INCR|PUBLISH|ZADD)'|round_write|log_change|ledger_post/.test(text)
    expect(source.startsWith('#!lua flags=no-writes\n'), name).toBe(!writes || name.endsWith('-dry'))
  }
})

test('a script that takes `dry` is there a second time, as one that Redis lets write nothing', () => {
  const scripts: Readonly<Record<string, Script>> = loadScripts()
  const names = Object.keys(SCRIPTS).filter(name => scripts[name]?.args.includes('dry'))
  expect(names.length).toBeGreaterThan(3)
  for (const name of names) {
    const [real, dry] = [scripts[name] as Script, scripts[`${name}-dry`] as Script]
    expect([real.args.at(-1), real.readsOnly, dry.readsOnly]).toEqual(['dry', false, true])
    expect(dry.source.replace(/^.*\n/, '')).toBe(real.source.replace(/^.*\n/, ''))
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
  expect(() => checkContract(script, undefined)).toThrow(
    'scripts/a.lua has no row in engine/store/connection/scripts.ts',
  )
  const wrong: [{ keys: string[]; args: string[] }, string][] = [
    [{ keys: ['log'], args: ['add'] }, 'its keys are [state], engine/store/connection/scripts.ts says [log]'],
    [
      { keys: ['state', 'log'], args: ['add'] },
      'its keys are [state], engine/store/connection/scripts.ts says [state log]',
    ],
    [{ keys: ['state'], args: [] }, 'its args are [add], engine/store/connection/scripts.ts says []'],
    [
      { keys: ['state'], args: ['most', 'add'] },
      'its args are [add], engine/store/connection/scripts.ts says [most add]',
    ],
  ]
  for (const [expected, message] of wrong) expect(() => checkContract(script, expected)).toThrow(message)
})
