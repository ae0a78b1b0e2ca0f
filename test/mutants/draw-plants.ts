/**
 * Planted bugs in the times of a drawn window: what is logged, stated, signed and held against the rules, in the engine's
 * verifier, the bench's and the browser's; and whether an overdue draw is told.
 */
import { type Plant, plant } from './plant.ts'

const TIMES = 'engine/draw/times.ts'
const BENCH = 'bench/audit/draw-checks.ts'
const BROWSER = 'engine/dashboard/grab/draw-proof.js'
const UNIT = 'unit/draw-times'

export const DRAW_PLANTS: readonly Plant[] = [
  plant(
    'a hold of a draw that was taken before the clock was set back lasts until the clock is there again',
    'scripts/draw-take.lua',
    ['if left > 0 and left <= tonumber(ARGV[4]) then', 'if left > 0 then'],
    'script/draw',
  ),
  plant(
    'the times of a window: an early end passes',
    TIMES,
    ['const isEarly = ended < closes', 'const isEarly = ended < opens'],
    UNIT,
  ),
  plant(
    'the times of a window: an early end passes whatever the rules announce',
    TIMES,
    ['if (isEarly && !rules.may_end_early)', 'if (isEarly && rules.may_end_early === undefined)'],
    UNIT,
  ),
  plant(
    'the times of a window: a pause until the end is no end',
    TIMES,
    ["return before?.change === 'pause' ? before.at : ", 'return '],
    UNIT,
  ),
  plant(
    'the times of a window: a pause inside it passes',
    TIMES,
    ['return Math.max(at, from) < Math.min(next.at, to) ?', 'return at < from && next.at > to ?'],
    UNIT,
  ),
  plant(
    'the times of a window: a late opening passes',
    TIMES,
    ['if (began > opens + lateness(rules))', 'if (began > closes)'],
    UNIT,
  ),
  plant(
    'the times of a window: only the round’s opening counts',
    TIMES,
    [
      "const OPENINGS: readonly ChangeKind[] = ['create', 'open', 'window']",
      "const OPENINGS: readonly ChangeKind[] = ['open']",
    ],
    UNIT,
  ),
  plant(
    'the times of a window: taken out, they are taken for an older engine’s',
    'engine/draw/verify/verification.ts',
    ['if (rules().may_end_early === undefined)', 'if (!rules().may_end_early)'],
    UNIT,
  ),
  plant(
    'the times of a window: what is signed need not be what is shown',
    'engine/draw/commitment.ts',
    ['const fields = Object.keys({ ...signed, ...commit }) as', "const fields = ['n', 'root'] as"],
    UNIT,
  ),
  plant(
    'the times of a window: not verified',
    'engine/draw/verify/verification.ts',
    ["    ['times', () => checkTimes(parts)],\n", ''],
    UNIT,
  ),
  plant(
    'the times of a window: when its list was committed is not held against them',
    'engine/draw/times.ts',
    ['if (Date.parse(committedAt) < drawn - APART_MS)', 'if (false)'],
    'unit/draw-times',
  ),
  plant(
    'the times of a window: a worker whose clock is behind commits before the end',
    'engine/campaign/drawing/draw-files.ts',
    ['committed_at: at < ended ? ended : at', 'committed_at: at < ended ? at : at'],
    'unit/draw-times',
  ),
  plant(
    'a window secret is taken from the wrong kept link',
    'engine/draw/beacon.ts',
    ['this.#windows - from * LINKS_APART)', 'this.#windows - from * LINKS_APART + (from > 3 ? 1 : 0))'],
    'unit/beacon',
  ),
  plant(
    'the times of a window: the commitment leaves them out',
    'engine/campaign/drawing/draw-files.ts',
    ['promised.may_end_early === undefined ?', '!promised.may_end_early ?'],
    'server/draw-times',
  ),
  plant(
    'the times of a window: rules do not demand them',
    'engine/campaign/drawing/window-rules.ts',
    ['    may_end_early: allocation.may_end_early ?? false,\n', ''],
    'server/draw-times',
  ),
  plant(
    'the times of a window: a pause is not among them',
    'engine/campaign/drawing/window-changes.ts',
    ["['create', 'open', 'pause', 'resume', 'close'] as const", "['create', 'open', 'close'] as const"],
    'server/draw-times',
  ),
  plant(
    'the times of a window: those of the window before are among them',
    'engine/campaign/drawing/window-changes.ts',
    ["log.findLastIndex(({ kind }, i) => i < end && kind.startsWith('draw ')) + 1", '0'],
    UNIT,
  ),
  plant(
    'the times of a window: what the clock opened is not among them',
    'engine/campaign/drawing/window-changes.ts',
    ["if (created && lacks('open'))", "if (created && lacks('create'))"],
    UNIT,
  ),
  plant(
    'the times of a window: its draw does not say when it was opened',
    'scripts/draw-take.lua',
    ['math.min(tonumber(draw[9] or 0), round.now))', '0)'],
    'script/draw',
  ),
  plant(
    'the times of a window: it is opened too late for its rules',
    'scripts/draw-open.lua',
    ["if phase == 'open' and now > tonumber(ARGV[4]) then return { CODE.not_open, now } end\n", ''],
    'script/draw',
  ),
  plant(
    'the times of a window: the next one is opened too late for its rules',
    'scripts/draw-finish.lua',
    ['if goes_on and round.now > tonumber(ARGV[6]) then return { CODE.not_open, round_notice(round) } end\n', ''],
    'script/draw',
  ),
  plant(
    'the times of a window: the bench lets an early end pass',
    BENCH,
    [
      'if (shutAt < closes && rules.may_end_early !== true)',
      'if (shutAt < closes && rules.may_end_early === undefined)',
    ],
    'bench/audit-draw',
  ),
  plant(
    'the times of a window: the bench lets a pause pass',
    BENCH,
    ['if (now > opens && shutAt < closes) return', 'if (now > closes && shutAt < opens) return'],
    'bench/audit-draw',
  ),
  plant(
    'the times of a window: the bench lets a late opening pass',
    BENCH,
    ['waits.size === 0 && now > latest(opens, closes))', 'waits.size === 0 && now > closes)'],
    'bench/audit-draw',
  ),
  plant(
    'the times of a window: the bench does not miss them',
    BENCH,
    ["rules.may_end_early === undefined ? undefined : 'the times of the window are missing'", 'undefined'],
    'bench/audit-draw',
  ),
  plant(
    'the times of a window: the browser lets an early end pass',
    BROWSER,
    ['need(ended >= closes || early,', 'need(ended >= closes || early !== undefined,'],
    UNIT,
  ),
  plant(
    'the times of a window: the browser lets a pause pass',
    BROWSER,
    ['Math.max(from, opens) < Math.min(to, closes, ended)', 'from < opens && to > ended'],
    UNIT,
  ),
  plant(
    'the times of a window: the browser lets a late opening pass',
    BROWSER,
    ['need(began <= opens + late,', 'need(began <= closes,'],
    UNIT,
  ),
  plant(
    'the times of a window: the browser does not miss them',
    BROWSER,
    ['if (!changes && early === undefined)', 'if (!changes)'],
    UNIT,
  ),
  plant(
    'a draw that is held back is not overdue',
    'engine/campaign/drawing/draw-due.ts',
    ["['closed', 'committed', 'beacon'].includes(phase)", "['closed', 'beacon'].includes(phase)"],
    'server/draw-times',
  ),
]
