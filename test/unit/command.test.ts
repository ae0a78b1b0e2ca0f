/**
 * What a command refuses before anything is asked: an Idempotency-Key of which the server would read a part, and a value that begins
 * with a dash. Nothing is started: the command is a row of this test, which notes what it was given.
 */
import { expect, test } from 'vitest'
import { type Command, ONCE, runCommand } from '../../engine/cli/command.ts'

const given: unknown[] = []
const COMMAND: Command = {
  name: 'turn',
  usage: ['turn [--add N]'],
  sentence: 'a command of this test',
  examples: ['fairgrab turn', 'fairgrab turn --add 1'],
  options: { add: { type: 'string', says: 'how many' }, ...ONCE },
  run: async ({ target, values }) => given.push(target.once, values.add),
}

test.each(['round-\u4e00', '', 'a b', 'x'.repeat(129), 'caf\u00e9'])('the Idempotency-Key %j is refused', async key => {
  await expect(runCommand(COMMAND, ['--idempotency-key', key])).rejects.toThrow('is no key; give 1 to 128 visible')
  expect(given).toEqual([])
})

test('a value that begins with a dash is refused with how to give it, and so it is given', async () => {
  await expect(runCommand(COMMAND, ['--add', '-1'])).rejects.toThrow(
    'a value that begins with a dash goes behind --add=;',
  )
  await runCommand(COMMAND, ['--add=-1', '--idempotency-key', 'round-1'])
  expect(given.splice(0)).toEqual(['round-1', '-1'])
})
