/**
 * Planted bugs of the way from a waiting claim to its answer: the queue and a decision's columns; and of what a recovery gives
 * back to a round whose opening was lost.
 */
import { type Plant, plant } from './plant.ts'

export const BATCH_PLANTS: readonly Plant[] = [
  plant(
    'what was shed may have been executed',
    'engine/campaign/claim/claim-queue.ts',
    ["[from, ask.count], 'overloaded')", "[from, ask.count], 'unknown')"],
    'unit/claim-queue',
  ),
  plant(
    'what was sent was certainly not executed',
    'engine/campaign/claim/claim-queue.ts',
    ["span, 'unknown')", "span, 'overloaded')"],
    'unit/claim-queue',
  ),
  plant(
    'a fault is certain',
    'engine/campaign/claim/claim-queue.ts',
    ["fault instanceof Fault ? fault.code : 'unknown'", "'unavailable'"],
    'unit/claim-queue',
  ),
  plant(
    'answers are given one place too late',
    'engine/campaign/claim/claim-queue.ts',
    ['each(ask, [first, end], place)', 'each(ask, [first, end], place + 1)'],
    'unit/claim-queue',
  ),
  plant(
    'a claim that waited for too long is answered again when its decision comes',
    'engine/campaign/claim/claim-queue.ts',
    ['if (number >= givenUp) each', 'if (givenUp >= 0) each'],
    'unit/claim-queue',
  ),
  plant(
    'the rest of a large ask begins anew in the next batch',
    'engine/campaign/claim/claim-queue.ts',
    ['let [first, place] = [from, 0]', 'let [first, place] = [0 * from, 0]'],
    'unit/claim-queue',
  ),
  plant(
    'an exception of a reply is a place too far',
    'engine/store/data/claim-store.ts',
    ['exceptions.readUInt16BE(at) !== i', 'exceptions.readUInt16BE(at) !== i - 1'],
    'script/claim',
  ),
  plant(
    'a grant that is given back opens no round',
    'scripts/fence-restore.lua',
    ['if restored > 0 and round.state == SCHEDULED then', 'if false then'],
    'script/fence',
  ),
  plant(
    'a round that is opened again by what was given back grants at once',
    'scripts/lib/reopen.lua',
    ["  round_hold(round, 'opened', CODE.not_open)\n", ''],
    'script/fence',
  ),
]
