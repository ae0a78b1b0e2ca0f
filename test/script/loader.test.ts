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
  allot: '6df06f77efeab7b6103c3a9ec2745c21fb56903d',
  audit: '6fefda800c802a9140fee069063499b252c65a41',
  book: 'b9cef92241190c49c7716d48dd3db32d5e861b4a',
  budget: 'c6d08b0c6b86b0333349423547bead59d4bbed4b',
  'campaign-create': 'bdbe91866badd97ba61c31e487e0bd91b0203592',
  claim: '6768e0b796abf048ef6222ab8c7b9134ead24518',
  deactivate: '8f4ea39eeefd3e138b8d86466e15c62ff853ea1e',
  'draw-finish': '19a610f4803ffaf1cd30e89589b278e0ad40618d',
  'draw-grant': '3b4df7e54e92112051fceb2e5f17ad52eb906576',
  'draw-lapse': '00c313c4c29bb5ff53155f60e2a6fa33f98799e8',
  'draw-open': '91134b072b9e53ee62a172fe6fd7a38f7e9541cb',
  'draw-take': '9a87b40c04e4f788e090bf52299c297064a491b9',
  'draw-write': 'ff109fe048cca20d9fe3bf790c483b8d949c0a23',
  enter: 'fe2ea05ad25c93904cd4a62e13c4caca04f2cc8c',
  expire: '65fedc22aedbb25647b216e94f91791b4c1cca0e',
  'fence-bind': 'f1e77f1fbab6cede19d147c4dcaa9e68a1456b7e',
  'fence-release': 'a20297d6d1bdbc2e260706e868b162a32b125af0',
  'fence-reserve': 'fb95e2435c4eb766976ab6ff0b7e64f2fe82b377',
  'fence-restore': 'f38a1ce3b0451051f578b4a17ed0fcaadb91ac16',
  'hold-end': '0fb866a6406acd731936103c51863d83e985e221',
  'key-own': 'b97534e8a0c4e43ec12d445ed07ae6d03cc97314',
  redeem: 'd63792e7e6f1204f55bc8ffdcab2fbca82667c8b',
  restock: '1db29848e1c997183c31702b60c66d3f1faa74ec',
  reverse: '2ae36bdd542451d35b7dd958af5eabc5e558d25b',
  'round-create': '85a4036d3710b42e57768cbf562baaaccd96e3c7',
  'round-history': 'db3cc43b79a37693bc5ac4eefda0c38bd9d9e859',
  'round-read': '56803b8fa20fd71e47de4296d785ca24f79b5002',
  'round-turn': '9ac6e55570cb8ad0b36ac62bd15b8da929cd2e0d',
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
