/**
 * The allocator that replays judge: one function, the only place to say which.
 *
 * It is the second implementation of the draw. An engine's own is set here in its place, as a function from packed
 * records of 17 bytes, the stock of the one pool and a seed of 32 bytes to the winners' places in the list, in any
 * order; everything else of the battery stays as it is.
 */

import { type Allocate, secondImplementation } from './lotteries.ts'

export const allocate: Allocate = secondImplementation
