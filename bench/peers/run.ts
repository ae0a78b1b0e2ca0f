/**
 * npm run bench -- peers: the rivals and the engine on one machine, in one run, under one load.
 *
 * Rounds are interleaved (A B C A B C …), each measurement starts its contender afresh with a Redis of its own, and
 * the table at the end gives medians, ranges and the ratios taken inside each round. No argument gives the canonical
 * run. Exit codes: 0 all runs valid, 1 it could not be carried out, 2 wrong arguments, 99 a run was void.
 * Rejected: measuring a contender to the end before the next begins (the machine's mood would be its result), and
 * going on quietly without a rival that is not installed (the table would look complete).
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { machineCard } from '../measure/machine.ts'
import { compare, type Summary, table } from './comparison.ts'
import type { Contender } from './contenders.ts'
import { measure, type Run } from './measurement.ts'
import { HELP, type Order, readOrder } from './order.ts'

const ROOT = join(import.meta.dirname, '../..')

/** From this share on, processes outside the run disturb it. */
const OTHERS_SHARE_MAX = 0.1

/** The programs a contender needs, by the beginning of its name, and how to ask each for its version. */
const PROGRAMS: readonly (readonly [prefix: string, program: string, arg: string])[] = [
  ['', 'redis-server', '--version'],
  ['', 'wrk', '-v'],
  ['redis-', 'redis-benchmark', '--version'],
  ['nginx-', 'nginx', '-v'],
]
const PACKAGES = 'apt-get install redis-server wrk nginx libnginx-mod-http-lua lua-nginx-redis'

/** The first line of what each program says about its version; throws when one is missing. */
function versions(contenders: readonly Contender[]): Readonly<Record<string, string>> {
  const needed = PROGRAMS.filter(([prefix]) => contenders.some(({ name }) => name.startsWith(prefix)))
  const said = needed.map(([, program, arg]) => {
    const { error, stdout, stderr } = spawnSync(program, [arg], { encoding: 'utf8' })
    if (error) throw new Error(`${program} cannot be run (${error.message}). On Debian: ${PACKAGES}`)
    return [program, (stdout + stderr).split('\n', 1)[0]!] as const
  })
  return Object.fromEntries(said)
}

function line(run: Run): string {
  const cpu = `server ${run.serverUs.toFixed(1)} + Redis ${run.redisUs.toFixed(1)} µs`
  const verdict = run.troubles.length === 0 ? '✓' : `✗ void: ${run.troubles.join('; ')}`
  return `round ${run.round}  ${run.contender.padEnd(18)} ${Math.round(run.claimsPerS)} claims/s  ${cpu}  ${verdict}`
}

interface Outcome {
  readonly runs: readonly Run[]
  /** Contenders that could not be measured, each with its reason; they are not tried again. */
  readonly failures: ReadonlyMap<string, string>
}

async function runAll({ contenders, rounds, ...plan }: Order, signal: AbortSignal): Promise<Outcome> {
  const runs: Run[] = []
  const failures = new Map<string, string>()
  for (let round = 1; round <= rounds; round += 1) {
    for (const contender of contenders.filter(({ name }) => !failures.has(name))) {
      try {
        const run = await measure(contender, round, plan, signal)
        runs.push(run)
        console.log(line(run))
      } catch (error) {
        signal.throwIfAborted()
        failures.set(contender.name, error instanceof Error ? error.message : String(error))
        console.log(`round ${round}  ${contender.name.padEnd(18)} ✗ failed: ${failures.get(contender.name)}`)
      }
    }
  }
  return { runs, failures }
}

function notes(summaries: readonly Summary[], runs: readonly Run[]): readonly string[] {
  const limited = summaries.filter(({ generatorLimited }) => generatorLimited).map(({ contender }) => contender)
  const busy = Math.max(0, ...runs.map(({ othersShare }) => othersShare))
  return [
    'Rates are closed loop at a fixed number of connections; they are a maximum, not a latency. Ratios are per round.',
    ...(limited.length > 0 ? [`Generator limited, so the rate is a lower bound: ${limited.join(', ')}.`] : []),
    ...(busy > OTHERS_SHARE_MAX
      ? [`Other processes used up to ${Math.round(busy * 100)} % of the machine: no figure of this run to publish.`]
      : []),
  ]
}

/** Installs the rivals' programs where they can be installed; says whether they are there. */
const setUp = (): boolean =>
  spawnSync(process.execPath, [join(ROOT, 'deploy/set-up.mjs'), '--peers'], { stdio: 'inherit' }).status === 0

/** Measures as the arguments say; the exit code. Throws when a rival's program cannot be run. */
export async function comparePeers(args: readonly string[]): Promise<number> {
  let order: Order | null
  try {
    order = readOrder(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`)
    return 2
  }
  if (!order) {
    console.log(HELP)
    return 0
  }
  if (!setUp()) return 1
  const { contenders, json, ...plan } = order
  const machine = { ...machineCard(), ...versions(contenders) }
  console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; ${JSON.stringify(plan)}\n`)
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => interrupt.abort(new Error(`ended by ${name}`)))
  const { runs, failures } = await runAll(order, interrupt.signal)
  const summaries = compare(contenders, runs)
  const said = notes(summaries, runs)
  console.log(`\n${table(summaries)}\n\n${said.join('\n')}`)
  const result = { machine, plan, runs, failures: Object.fromEntries(failures), summaries, notes: said }
  if (json) writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`)
  if (failures.size > 0) {
    console.log(`✗ Not measured: ${[...failures.keys()].join(', ')}.`)
    return 1
  }
  return runs.some(({ troubles }) => troubles.length > 0) ? 99 : 0
}
