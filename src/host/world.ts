import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../replay/api.js'
import { codeOf } from './code.js'
import { hostPurity } from './purity.js'

/** Timers that are set for longer end at once. 24 days are as good as any longer time. */
const LONGEST_MS = 2 ** 31 - 1

/** The real world: this machine's clock, random numbers and files. */
export function hostWorld(): World {
  return {
    clock: {
      nowMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      // An abort ends the pause; it is not an error.
      sleep: (ms, signal) => (ms === 0 ? turn(undefined) : sleep(Math.min(ms, LONGEST_MS), undefined, { signal }).catch(() => undefined)),
    },
    token: () => randomUUID(),
    // One partition to its end, then the next: reads are sequential, and keys of one partition meet in memory.
    pick: () => 0,
    owner: `${hostname()} ${process.pid}`,
    purity: hostPurity,
    codeOf: (projection) => codeOf(projection.module),
  }
}
