/**
 * Planted bugs of the witness itself (test/support/witness): a rule that does not see, a level that forgives too much. Its
 * planted histories have to notice; a checker that cannot fail proves nothing.
 */
import { type Plant, plant } from './plant.ts'

const SUPPORT = 'test/support/witness'

export const WITNESS_PLANTS: readonly Plant[] = [
  plant(
    'the witness believes every end of the stock',
    `${SUPPORT}/claim-rules.ts`,
    ['if (may < least)', 'if (may < 0)'],
    'unit/witness',
  ),
  plant(
    'the witness forgets who was in doubt',
    `${SUPPORT}/people-told.ts`,
    ["['yes', 'perhaps'].includes(says(outcome))", "['yes'].includes(says(outcome))"],
    'unit/witness',
  ),
  plant(
    'the witness lets a refusal be undone by nothing',
    `${SUPPORT}/turns.ts`,
    ['turn.sent < to && endOf(turn) > from)', 'turn.sent < to)'],
    'unit/witness',
  ),
  plant(
    'the witness lets a lost history stand',
    `${SUPPORT}/calm.ts`,
    ['return this.since(node, sent) > OLDER_MS_MAX', 'return this.since(node, sent) < OLDER_MS_MAX'],
    'unit/witness',
  ),
  plant(
    'a told code may be lost at fenced',
    `${SUPPORT}/levels.ts`,
    [
      "fenced: { nothing: [], 'end of Redis': [], 'fail-over': [] }",
      "fenced: { nothing: [], 'end of Redis': [], 'fail-over': TAIL }",
    ],
    'unit/witness',
  ),
]
