/**
 * The types of stripped-source.mjs, which is JavaScript because it runs before anything strips types.
 * Rejected: reading JavaScript with the compiler for one function.
 */

/** The source of the TypeScript file at a path, without its types. */
export function strippedSource(path: string): string
