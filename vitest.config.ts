/**
 * How tests run: five files at a time, every one exactly once, in five processes that load the engine once each.
 *
 * Five workers on the two cores of the build machine, because half of the time of a test that has a browser, a disk or
 * a fail-over is waiting (test/support/node-process.ts has ports for five); forks because a test may end its process
 * and because uWebSockets.js does not survive being unloaded from a thread. A failed test is
 * never tried again: an answer that changes from run to run is itself the failure.
 *
 * A test that hangs is ended after two minutes, which no test takes on any machine: that bound is no judgement.
 *
 * Node itself loads everything but the test files, as it does where the engine runs: calls between modules that vitest's own
 * runner wraps cost a tenth of a simulation. (Test files may say `using`, which Node 22 does not know.)
 *
 * Processes that tests start find their sources stripped of types already (engine/processes/stripped-types.mjs).
 *
 * TEST_SEED feeds every random choice of a test and is printed, so that a run can be repeated. Which Redis the
 * tests use is asked once here instead of in each file, since asking for a container engine costs 0.4 s.
 */

import { relative } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { chooseRedis } from './test/support/redis.ts'

const STRIPPED_TYPES = new URL('engine/processes/stripped-types.mjs', import.meta.url).href

/** Folders whose files take a second or two. */
const SHORT = /^test\/(unit|repo|script)\//

/** Short files last, so that no process is left alone with a long one at the end. */
class ShortLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => Number(SHORT.test(relative(import.meta.dirname, moduleId)))
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig(async () => {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31)
  if (!Number.isSafeInteger(seed)) throw new Error('TEST_SEED has to be an integer')
  const redis = await chooseRedis()
  console.log(`tests: TEST_SEED=${seed} repeats this run; Redis: ${redis}`)
  return {
    test: {
      include: ['test/**/*.test.ts'],
      isolate: false,
      server: { deps: { external: [/\/(engine|bench|test)\/.*(?<!\.test)\.ts$/] } },
      pool: 'forks',
      execArgv: ['--max-semi-space-size=32'],
      maxWorkers: 5,
      retry: 0,
      testTimeout: 120_000,
      hookTimeout: 120_000,
      teardownTimeout: 60_000,
      sequence: { seed, sequencer: ShortLast },
      env: { TEST_SEED: String(seed), TEST_REDIS: redis, NODE_OPTIONS: `--import=${STRIPPED_TYPES}` },
    },
  }
})
