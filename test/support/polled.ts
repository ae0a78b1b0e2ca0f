/**
 * Waiting for what no event tells: a look every few milliseconds. A loop that looks without a pause takes the processor from
 * what it waits for, which on two cores makes all other tests wait, too.
 */
const PAUSE_MS = 10

/** Resolves as soon as a look finds that it holds; the test's own bound ends a wait in vain. */
export async function untilHolds(look: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await look())) await new Promise(resume => setTimeout(resume, PAUSE_MS))
}
