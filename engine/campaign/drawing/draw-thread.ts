/**
 * The thread that works on a long list (draw-work.ts): it gets its work as it starts, answers once, and ends. The list is
 * shared memory; what it answers is copied, a few megabytes at most. A list that is wrong makes it die of the error,
 * which its worker reports. Rejected: a pool of threads, because a draw is rare.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { type DrawWork, doWork } from './draw-work.ts'

parentPort?.postMessage(doWork(workerData as DrawWork))
