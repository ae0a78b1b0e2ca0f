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
  allot: '5d05b5bd91a0838d759e486f9bb6b46cef42c6c8',
  audit: '6fefda800c802a9140fee069063499b252c65a41',
  book: '073f6648d468ee80cccdb6906cbc4d51d334d0db',
  budget: 'c6d08b0c6b86b0333349423547bead59d4bbed4b',
  'campaign-create': 'b4fe0d521f8dd3af1e9cabcd0969f8ac640590a2',
  claim: '2f8092dea4b9b6e58aedde8ff5a0c482608cbcb1',
  deactivate: 'a1e0276c178f04f66c5404afb943953738dad076',
  'draw-finish': '6d6f77653fa291b20573994d6351d2fce217d064',
  'draw-grant': '1f71807de0b18b4473eb0d7320d4e8132ebb1cb5',
  'draw-lapse': 'd9e50f5a2a4831cba77a87bbe69a301c3a3d7088',
  'draw-open': '91134b072b9e53ee62a172fe6fd7a38f7e9541cb',
  'draw-take': 'ef07b81c8c4863dbc36623154bb96082efa63b12',
  'draw-write': 'ff109fe048cca20d9fe3bf790c483b8d949c0a23',
  enter: '8691ae54504ccfc43667357a032d568c62cbaddb',
  expire: '559efb0b6893691d3a37e40040d94812f9d30888',
  'fence-bind': '51a6a151f5caa48dd0077336a08807cf61701800',
  'fence-release': 'c89acf0b2bf36689a63d4503d7f99ffc3a5dcd4e',
  'fence-reserve': 'fb95e2435c4eb766976ab6ff0b7e64f2fe82b377',
  'fence-restore': '856c6e396110b56ce5f64fef0162cc8358f94a96',
  'hold-end': '645cc49c738359c91e71249d5b840f4b30701b48',
  'key-own': 'b97534e8a0c4e43ec12d445ed07ae6d03cc97314',
  redeem: '86ed67d3646b805318ae8a2a5fc4066e0df4b983',
  restock: 'afd98a3645c2395c21a5298b5d710d7ad5b7b525',
  reverse: '384a29a5c533b15ca285875e76ba031a8de41fff',
  'round-create': '572b78fc1df185cbd48ceba3ed112a849de2b8ed',
  'round-history': 'f8f6aa04110418fdff9077f4af3e591401017bd9',
  'round-read': '61e1f76fd7ae4f5d52839b09d0374a7818adf278',
  'round-turn': '2dc48de8421ebb8a1fec954e34ab7c486d5da807',
  'round-void': '6de130848c33be3adadf7dd39619a5fc7e77de5b',
  settle: 'fa95cbccd26f8afda291b50ff574f722cc41e203',
  'voucher-due': '6e4d014180145d8269ac9176892d2bd43d28870f',
  'voucher-lock': '2a8be610b9bb7067aa095fc24e3b3ac710218c24',
  'voucher-read': '73feb0ce11aa0b0225fac7f0d3b72324db837a12',
  'voucher-unlock': '04d4ff782c78d709ae820cf630b6d65a86b52cb3',
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
