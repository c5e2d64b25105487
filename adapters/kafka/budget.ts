import type { ReadLimits } from '../../src/index.js'

/** Bytes of log that may be fetched and not handed out, where the reader says nothing. */
export const IN_FLIGHT_BYTES = 32 << 20
const LARGEST_SHARE_BYTES = 1 << 20
const SMALLEST_SHARE_BYTES = 16 << 10

/**
 * Bytes of log that are fetched and not handed out yet, over all partitions of a source. Half of them is for pages that are awaited:
 * divided among the readers and never refused, so that no reader waits for another one, whichever page the engine needs next. The other
 * half is for reading ahead: who finds it used up waits until a page was handed out. A batch larger than a share comes all the same, and
 * counts as large as it is.
 */
export class FetchBudget {
  readonly #shares = new Set<FetchShare>()

  /** For one reader, until it leaves. `limits.inFlightBytes` is looked at before each fetch. */
  join(limits: ReadLimits): FetchShare {
    const share = new FetchShare(this, limits)
    this.#shares.add(share)
    return share
  }

  /** Bytes of one fetch of one partition. */
  shareOf(limitBytes: number): number {
    const even = Math.floor(limitBytes / 2 / Math.max(1, this.#shares.size))
    return Math.min(Math.max(even, SMALLEST_SHARE_BYTES), LARGEST_SHARE_BYTES)
  }

  /** Of pages that nobody awaits. */
  get aheadBytes(): number {
    let bytes = 0
    for (const share of this.#shares) if (!share.isAwaited) bytes += share.heldBytes
    return bytes
  }

  /** Lets those go on whose time has come, in the order in which they joined. */
  changed(): void {
    for (const share of this.#shares) share.tryOn()
  }

  leave(share: FetchShare): void {
    this.#shares.delete(share)
    this.changed()
  }
}

/** What one reader has of it: at most one page at a time is fetched and not handed out. */
export class FetchShare {
  readonly #budget: FetchBudget
  readonly #limits: ReadLimits
  #held = 0
  #isAwaited = false
  /** The last page, by which the next one is judged. */
  #lastBytes = 0
  #waiting: (() => void) | null = null

  constructor(budget: FetchBudget, limits: ReadLimits) {
    this.#budget = budget
    this.#limits = limits
  }

  get heldBytes(): number { return this.#held }

  get isAwaited(): boolean { return this.#isAwaited }

  /** Bytes to ask for, once they may be fetched; for ever pending after `leave`. */
  async take(): Promise<number> {
    if (this.#mayGo()) return this.#hold()
    await new Promise<void>((done) => { this.#waiting = done })
    return this.#budget.shareOf(this.#limitBytes)
  }

  /** The page came, and is so large. */
  came(bytes: number): void {
    const grew = bytes > this.#held
    this.#held = bytes
    this.#lastBytes = bytes
    if (!grew) this.#budget.changed()
  }

  /** Somebody waits for the page. */
  await(): void {
    this.#isAwaited = true
    this.#budget.changed()
  }

  /** The page was handed out. */
  release(): void {
    this.#isAwaited = false
    this.#held = 0
    this.#budget.changed()
  }

  leave(): void {
    this.#waiting = null
    this.#budget.leave(this)
  }

  tryOn(): void {
    const waiting = this.#waiting
    if (waiting === null || !this.#mayGo()) return
    this.#waiting = null
    this.#hold()
    waiting()
  }

  get #limitBytes(): number { return this.#limits.inFlightBytes ?? IN_FLIGHT_BYTES }

  get #wanted(): number { return Math.max(this.#budget.shareOf(this.#limitBytes), this.#lastBytes) }

  #mayGo(): boolean {
    return this.#isAwaited || this.#budget.aheadBytes + this.#wanted <= this.#limitBytes / 2
  }

  #hold(): number {
    this.#held = this.#wanted
    return this.#budget.shareOf(this.#limitBytes)
  }
}
