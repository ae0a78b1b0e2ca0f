/**
 * Something that is wrong, or may become so, in words for an operator: what it is, and what to do about it. Health shows
 * findings in `/readyz?verbose`, on the desk and in the log, where the second field is called `mend`.
 */
export interface Finding {
  readonly what: string
  readonly mend: string
}

/** Problems stop every grant, warnings stop nothing. */
export interface Findings {
  readonly problems: readonly Finding[]
  readonly warnings: readonly Finding[]
}
