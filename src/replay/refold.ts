import type { EventBatch } from '../log/source.js'
import type { EventApplier, PreparedEvent, SlotOf } from '../projection/apply.js'
import type { Projection } from '../projection/define.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Purity } from './api.js'
import { IdWindow } from './ids.js'

/** Reads a log again from its beginning as a state was built from it: without the events that were left out, and without repeated ids. */
export class Refold {
  readonly #applier: EventApplier
  readonly #purity: Purity
  readonly #leftOut: ReadonlySet<string>
  /** Null: ids are not compared. */
  readonly #ids: IdWindow | null

  constructor(projection: Projection, applier: EventApplier, accepted: readonly Accepted[], purity: Purity) {
    this.#applier = applier
    this.#purity = purity
    this.#leftOut = new Set(accepted.map(({ partition, from }) => `${partition}@${from}`))
    this.#ids = projection.idWindow === 0 ? null : new IdWindow(projection.idWindow, new Map())
  }

  /** The events of records [from, to), ready for their handlers. Each record comes once, in the order of the fold. */
  prepare(batch: EventBatch, from: number, to: number, slotOf: SlotOf): PreparedEvent[] {
    const ready: PreparedEvent[] = []
    this.#purity.enter()
    try {
      for (let i = from; i < to; i++) {
        if (this.#leftOut.has(`${batch.partition}@${batch.offsetAt(i)}`)) continue
        if (this.#ids?.isRepeat(batch.event(i)) === true) continue
        const prepared = this.#applier.prepare(batch, i, slotOf)
        if (prepared !== null) ready.push(prepared)
      }
      return ready
    } finally {
      this.#purity.leave()
    }
  }
}
