/**
 * The real clock with long deadlines: what a link waits for and how it looks is as ever, only what "too late" means is
 * ten times later.
 *
 * For tests of what is decided and not of when: on a machine that is busy elsewhere two seconds pass without anything
 * being wrong, and a claim that ends `unknown` there says nothing about the scripts. Timers are real, so silence on a
 * connection is noticed as by an engine. Tests of the deadlines themselves move a clock by hand (hand-clock.ts).
 */
import { type Clock, realClock } from '../../engine/base/clock.ts'

const SLOWER = 10

export const patientClock: Clock = { ...realClock, monotonicMs: () => realClock.monotonicMs() / SLOWER }
