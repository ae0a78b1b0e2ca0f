/**
 * `npm run bench -- fairness`: is the allocator fair, and would we know if it were not?
 *
 * Draws are replayed with fresh seeds until millions of winners are pooled, the battery judges them, and then it is
 * tried itself on injected biases and on historic failures. The long form takes minutes; `--short` takes seconds and
 * is what the tests run. `--judge` judges the allocator, or one injected bias, alone: to see what a failure looks like.
 *
 * Exit codes: 0 fair, 1 an error, 2 wrong usage, 99 a ✗ stands in the result.
 */

import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { JUDGED, runTrial } from './measure/fairness/trial.ts'
import { trialLines } from './measure/fairness/trial-text.ts'
import { LiveLine } from './stage/live-line.ts'
import { nearest, UsageError } from './stage/options.ts'

const EXIT = { fair: 0, error: 1, usage: 2, unfair: 99 } as const
const SEED_MAX = 2 ** 31

const HELP = `npm run bench -- fairness: replays draws with fresh seeds and looks for any preference among the winners.

  --short          small replays and larger biases: seconds instead of minutes
  --seed N         the same seed makes the same entrants and draws (default: from the clock, printed)
  --judge NAME     judges nothing but: ${JUDGED.join('; ')}
  --json FILE      writes everything as JSON too; - is standard output
  --help           this text

Exit codes: 0 fair, 1 an error, 2 wrong usage, 99 a ✗ stands in the result.`

const FLAGS = {
  short: { type: 'boolean', default: false },
  seed: { type: 'string' },
  judge: { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

function flagsOf(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function seedOf(text: string | undefined): number {
  const seed = text === undefined ? Date.now() % SEED_MAX : Number(text)
  if (text?.trim() === '' || !Number.isInteger(seed) || seed < 0 || seed > SEED_MAX) {
    throw new UsageError(`--seed is a whole number from 0 to ${SEED_MAX}; not "${text}"`)
  }
  return seed
}

/** Replays draws as the flags say; gives the exit code. Throws UsageError for what cannot be. */
export async function replayDraws(args: readonly string[]): Promise<number> {
  const flags = flagsOf(args)
  if (flags.help) {
    process.stdout.write(`${HELP}\n`)
    return EXIT.fair
  }
  if (flags.judge !== undefined && !JUDGED.includes(flags.judge)) {
    throw new UsageError(`--judge knows no "${flags.judge}"; the nearest is "${nearest(flags.judge, JUDGED)}"`)
  }
  const seed = seedOf(flags.seed)
  const live = new LiveLine()
  let now = 'beginning'
  live.begin(() => now)
  const trial = await runTrial({
    form: flags.short ? 'short' : 'long',
    seed,
    judged: flags.judge,
    progress: ({ name, draws, of }) => {
      now = `${name}: ${draws} of ${of} draws of each thread`
    },
  }).finally(() => live.end())
  const json = `${JSON.stringify(trial, null, 2)}\n`
  if (flags.json === '-') process.stdout.write(json)
  else {
    if (flags.json !== undefined) await writeFile(flags.json, json)
    process.stdout.write(`${trialLines(trial).join('\n')}\n`)
  }
  return trial.ok ? EXIT.fair : EXIT.unfair
}
