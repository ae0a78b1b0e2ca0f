/**
 * Planted bugs of the command line and the bench: what is printed, what is refused before it is done, and what an answer says of
 * a deed that was none. How they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

export const COMMAND_PLANTS: readonly Plant[] = [
  plant(
    'one damaged round ends the list of all',
    'engine/cli/release-commands.ts',
    ["  if ('problem' in round) return head + round.problem\n", ''],
    'server/damaged-rounds',
  ),
  plant(
    'a run is written over a sealed result',
    'bench/record/result-folder.ts',
    ['if (found.length > 0)', 'if (found.length > 1e9)'],
    'bench/truth',
  ),
  plant(
    'a stray file in a result is not told',
    'bench/record/seal.ts',
    ['strays: await straysOf(folder, summary)', 'strays: []'],
    'bench/truth',
  ),
  plant(
    'a single run has an interval',
    'bench/compare.ts',
    ['const interval = enough ?', 'const interval = true ?'],
    'bench/result',
  ),
  plant(
    'a start tries to make a folder that cannot be',
    'engine/processes/supervisor.ts',
    ['  checkFolders(config)\n', ''],
    'server/starting',
  ),
  plant(
    'a worker that is gone when it is spoken to ends its supervisor',
    'engine/processes/supervisor.ts',
    ['worker.send(message, () => {})', 'worker.send(message)'],
    'server/starting',
  ),
  plant(
    'a right without which no script runs is not looked for',
    'engine/store/server/health.ts',
    ['...problems, ...rights,', '...problems,'],
    'server/managed',
  ),
  plant(
    'a line that mends a setting rewrites redis.conf',
    'engine/store/server/health.ts',
    ['# and write it into redis.conf`', '&& redis-cli CONFIG REWRITE`'],
    'server/doctor',
  ),
  plant(
    'a server whose default user has a password is told of protected-mode',
    'engine/store/server/diagnosis.ts',
    ['!(isClosed && name === PROTECTED)', 'isClosed !== null'],
    'server/doctor',
  ),
  plant(
    'the doctor calls a right that is missing a server that is away',
    'engine/cli/doctor.ts',
    ['helpAgainst(message) ?? ', ''],
    'server/managed',
  ),
  plant(
    'the doctor forgets what is missing when it cannot look at rounds',
    'engine/cli/doctor.ts',
    ['if (!(cause instanceof Fault)) throw cause\n      return health', 'if (cause) throw cause\n      return health'],
    'server/managed',
  ),
  plant(
    'a dry change of the agreement says that it was made',
    'engine/cli/agreement-change.ts',
    ['words: says }', 'words }'],
    'server/agreement',
  ),
  plant(
    'a key is taken by a command that asks no engine',
    'engine/cli/command.ts',
    ['...(asksNoEngine ? {} : TARGET)', '...TARGET'],
    'server/command-line',
  ),
  plant(
    'the doctor finds an emptied Redis in agreement',
    'engine/cli/doctor.ts',
    ['(await agreement.read()).length === 0', '(await agreement.read()).length < 0'],
    'server/doctor',
  ),
  plant(
    'the doctor mends another server',
    'engine/cli/doctor.ts',
    ['return withServer(found, config)', 'return found'],
    'server/doctor',
  ),
  plant(
    'npm run dev makes another key at each change',
    '.ci/dev.ts',
    ['readonly #env = environment()', 'get #env() {\n    return environment()\n  }'],
    'server/dev',
  ),
  plant(
    'npm run dev leaves its Redis behind',
    '.ci/dev.ts',
    ["this.#turn.then(() => this.#end('SIGTERM'))", "this.#turn.then(() => this.#end('SIGKILL'))"],
    'server/dev',
  ),
  plant(
    'an example forgets who has an answer',
    'examples/backend.ts',
    ['filter(user => !this.ended.has(user))', 'filter(() => true)'],
    'server/examples',
  ),
  plant(
    'a receiver goes on behind half a row',
    'examples/receiver.ts',
    ['  fs.ftruncateSync(file, size - tail.length + whole)\n', ''],
    'server/examples',
  ),
  plant(
    'a receiver writes what a spreadsheet takes for a formula',
    'examples/receiver.ts',
    ["typeof value === 'string' &&", "typeof value === 'bigint' &&"],
    'server/examples',
  ),
  plant(
    'the installed command asks for TypeScript before anything strips it',
    'engine/processes/installed.mjs',
    ["  await import('./stripped-types.mjs')\n", ''],
    'server/installed',
  ),
  plant(
    'an engine goes on when the installed command that started it was killed',
    'engine/processes/handed-over.mjs',
    ["process.once('disconnect', end)\n", ''],
    'server/installed',
  ),
  plant(
    'the installed help names a benchmark that is not there',
    'engine/cli.ts',
    ['hasBench() ? HELP :', 'COMMANDS ? HELP :'],
    'server/installed',
  ),
  plant(
    'a folder that is not there is an error of the system',
    'engine/cli/command.ts',
    ["code === 'ENOENT' ? away :", "code === 'NOENT' ? away :"],
    'server/command-files',
  ),
  plant(
    'any word is near a command',
    'engine/config.ts',
    ['if (2 * distance(word, close) <= word.length)', 'if (distance(word, close) <= 2 * word.length)'],
    'server/command-files',
  ),
  plant(
    'a page names every change alike',
    'engine/dashboard/base/engine-api.js',
    ['crypto.getRandomValues(new Uint8Array(16))', 'new Uint8Array(16)'],
    'unit/three-attempts',
  ),
  plant(
    'an option of a new round goes nowhere',
    'engine/cli/round-options.ts',
    ["field: 'allocation.may_end_early'", "field: 'may_end_early'"],
    'server/command-fields',
  ),
  plant(
    'npm start takes away what a test run installed',
    'deploy/set-up.mjs',
    ["all || existsSync(join(ROOT, 'node_modules', 'vitest'))", 'all'],
    'repo/gate',
  ),
  plant(
    'npm test takes what npm start installed for all',
    'deploy/set-up.mjs',
    ['(!all && stamp === hash + RUNS)', 'stamp === hash + RUNS'],
    'repo/gate',
  ),
  plant(
    'the package has none of the pages that its help names',
    'package.json',
    ['    "docs/*.md",\n', ''],
    'server/installed',
  ),
  plant(
    'the command line sends a key that the server would cut',
    'engine/cli/command.ts',
    ['if (/^[!-~]+$/.test(given) &&', 'if (given !== undefined &&'],
    'unit/command',
  ),
  plant(
    'the doctor ends at a command that the server no longer has',
    'engine/store/server/diagnosis.ts',
    ['/NOPERM|unknown (?:command|subcommand)/i', '/NOPERM/'],
    'server/managed',
  ),
  plant(
    'a list of the command line ends with its first page',
    'engine/cli/release-commands.ts',
    ['  while (list.has_more) {', '  while (list.data.length === 0 && list.has_more) {'],
    'server/round-lists',
  ),
  plant(
    'a list that breaks off looks whole',
    'engine/cli/release-commands.ts',
    ['  if (broken) throw', '  if (broken && list.data.length === 0) throw'],
    'cluster/lists',
  ),
  plant(
    'a clone that was never set up fails in words of Node',
    'engine/processes/installed.mjs',
    ['if (isFresh()) {', 'if (isFresh() === null) {'],
    'server/installed',
  ),
]
