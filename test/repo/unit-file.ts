/**
 * A unit file of systemd as tests read it: its directives, each as often as it stands there, its command line, and the environment
 * that it gives. Lines that go on behind a backslash and values in quotes are not read: the unit that ships has none.
 */

export interface Unit {
  /** Every value of a directive, in order. */
  readonly all: (name: string) => readonly string[]
  /** The last value of a directive, which is the one that holds; empty where there is none. */
  readonly one: (name: string) => string
  /** What it sets itself. */
  readonly environment: Readonly<Record<string, string>>
  /** Its command line, without variables. */
  readonly command: readonly string[]
}

export function readUnit(text: string): Unit {
  const lines = text.split('\n').flatMap(line => {
    const [, name = '', value = ''] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? []
    return name === '' ? [] : [{ name, value }]
  })
  const all = (name: string) => lines.filter(line => line.name === name).map(({ value }) => value)
  const one = (name: string) => all(name).at(-1) ?? ''
  const pairs = all('Environment').flatMap(value => value.split(' '))
  return {
    ...{ all, one, command: one('ExecStart').split(' ') },
    environment: Object.fromEntries(pairs.map(pair => pair.split(/=(.*)/s).slice(0, 2))),
  }
}
