/**
 * A bug that nobody caught, for a worker process of a test: loaded by `NODE_OPTIONS=--import`, it throws at SIGUSR2 and
 * leaves a promise unhandled at SIGHUP. Only worker processes of a test that asks for it have it, so the engine needs
 * no hook to be broken by.
 *
 * Rejected: SIGKILL, which other tests send: it says nothing about what a worker does that notices its own bug.
 */
if (process.argv[1]?.endsWith('worker.ts')) {
  process.on('SIGUSR2', () => {
    throw new Error('a planted bug was thrown')
  })
  process.on('SIGHUP', () => {
    void Promise.reject(new Error('a planted bug was rejected'))
  })
}
