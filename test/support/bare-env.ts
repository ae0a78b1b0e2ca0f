/**
 * The environment of a process that a test starts as a person would: its own settings, and of this process's only what
 * finds programs and spares Node the stripping of types (stripped-types.mjs).
 */
export function bareEnv(settings: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  const { PATH, NODE_OPTIONS } = process.env
  return { PATH, NODE_OPTIONS, ...settings }
}
