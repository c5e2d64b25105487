import { RehydrateError, TOMBSTONES_SHARE, type MarkCheck, type Offset } from '../../src/index.js'

/**
 * A reading of a compacted partition from one instant at its end to the next. Deletes that were written meanwhile, and are not read yet,
 * must not leave the log before it is over.
 */
export interface Pass {
  /** Where the reader stood at the end when it began, inclusive; before its first record where it had read nothing. */
  readonly since: Offset
  /** By our own clock, before the broker was asked; milliseconds since 1970. */
  readonly beganMs: number
}

/** How far a pass has got, and what the partition allows it. */
interface PassAt {
  readonly name: string
  /** Null: the broker does not say. */
  readonly tombstonesMs: number | null
  readonly nowMs: number
}

/** Null while deletes since the pass began are all still there; else why they may not be. */
export function whyExpired({ beganMs }: Pass, { name, tombstonesMs, nowMs }: PassAt): string | null {
  if (tombstonesMs === null) return null
  const tookMs = nowMs - beganMs
  const isWithin = tookMs <= TOMBSTONES_SHARE * tombstonesMs && tookMs >= (TOMBSTONES_SHARE - 1) * tombstonesMs
  if (isWithin) return null
  return `${name} was read up to its end last at ${new Date(beganMs).toISOString()}, ${Math.round(tookMs / 1_000)} s ago; `
    + `the topic keeps deletes for ${tombstonesMs / 1_000} s (delete.retention.ms), of which ${TOMBSTONES_SHARE * 100} % are relied on.`
}

/** TOMBSTONES_EXPIRED where it is too late for the rest of this pass. */
export function assertInTime(pass: Pass, at: PassAt, offset: Offset): void {
  const why = whyExpired(pass, at)
  if (why === null) return
  throw new RehydrateError('TOMBSTONES_EXPIRED', {
    message: `${at.name} took too long from one end to the next: deletes behind ${pass.since} may be gone.`,
    partition: at.name, offset, why,
  })
}

/** Where each partition was read to by this process, and in which pass. */
export class Passes {
  readonly #stands = new Map<string, { readonly id: string; readonly through: Offset; readonly pass: Pass }>()

  /** The pass of a partition of this identity that was read to `at`, inclusive; null where that is not known. */
  at(name: string, id: string, at: Offset): Pass | null {
    const stand = this.#stands.get(name)
    return stand?.id === id && stand.through === at ? stand.pass : null
  }

  stand(name: string, id: string, through: Offset, pass: Pass): void {
    this.#stands.set(name, { id, through, pass })
  }

  /** The end was looked at: partitions that were read up to it stand at it, if they are not too late. */
  looked(name: string, id: string, last: Offset, at: PassAt & { readonly askedMs: number }): void {
    const stand = this.#stands.get(name)
    if (stand?.id !== id || stand.through !== last) return
    const next = passAt(stand.pass, last, last, at)
    if (!('expired' in next)) this.stand(name, id, last, next)
  }
}

/**
 * The pass of a reader that stands at `at`, where the log ends at `last` now: a new one where that is the end. Nothing was missed by one
 * that stood there when its pass began, however long ago.
 */
export function passAt(
  pass: Pass, at: Offset, last: Offset, look: PassAt & { readonly askedMs: number },
): Pass | { readonly expired: MarkCheck & { readonly is: 'different' } } {
  const isAtEnd = at >= last
  const why = isAtEnd && pass.since >= at ? null : whyExpired(pass, look)
  if (why !== null) return { expired: { is: 'different', code: 'TOMBSTONES_EXPIRED', why } }
  return isAtEnd ? { since: at, beganMs: look.askedMs } : pass
}

/** Milliseconds since 1970 that run on where the clock of the machine is put back, and while the machine sleeps. */
export function risingClock(): () => number {
  let wallMs = Date.now()
  let steadyMs = performance.now()
  let nowMs = wallMs
  return () => {
    const [wall, steady] = [Date.now(), performance.now()]
    nowMs += Math.max(wall - wallMs, steady - steadyMs)
    wallMs = wall
    steadyMs = steady
    return Math.floor(nowMs)
  }
}
