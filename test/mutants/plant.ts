/**
 * One planted bug: what it does, the file, the text that is replaced and what by, and the tests, below test/ and
 * without their ending, that have to notice. The text must stand in its file exactly once. The rows are in
 * plants.ts and the files beside it; test/mutants/run.ts plants them one after the other in a copy of the tree.
 */
export interface Plant {
  readonly bug: string
  readonly file: string
  readonly text: string
  readonly instead: string
  readonly tests: readonly string[]
}

export const plant = (
  bug: string,
  file: string,
  [text, instead]: readonly [string, string],
  ...tests: string[]
): Plant => ({ bug, file, text, instead, tests })
