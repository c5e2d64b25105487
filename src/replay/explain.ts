import { RehydrateError } from '../errors.js'
import type { Offset, Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Collection, Projection } from '../projection/define.js'
import { changedParts, fingerprintOf, type Fingerprint } from '../projection/fingerprint.js'
import { Slot } from '../projection/view.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import type { World } from './api.js'
import { ownerKey } from './owners.js'
import { hasSingleKeys, nameOf, refolded, RelatedKeys } from './refold.js'

export interface ExplainOptions {
  readonly source: EventSource
  readonly projection: Projection
  readonly collection: string
  readonly key: string
  /** The last offsets to look at, inclusive; `positionAt` finds them for a time. */
  readonly upTo: Position
  /** What the seal's manifest lists: events left out are left out here too. */
  readonly accepted?: readonly Accepted[]
  /** What the state was built with: PROJECTION_CHANGED where `projection` is another. */
  readonly builtWith?: Fingerprint
}

/** One event that touched the key, and the value after it (null: none, or deleted). */
export interface ExplainedEvent {
  readonly partition: string
  readonly offset: Offset
  readonly type: string
  readonly value: Value | null
}

/**
 * The events that made a key, in the order they apply, each with the value after it. The log is folded again, but only for this key
 * and the keys its events read and write with it. Errors of reading and folding as in a replay.
 */
export async function* explainKey(options: ExplainOptions, world: World): AsyncGenerator<ExplainedEvent> {
  const { projection, builtWith } = options
  if (builtWith !== undefined) await assertSameProjection(projection, builtWith, world)
  const uninstall = world.purity.install()
  try {
    const wanted = ownerKey(options.collection, options.key)
    const related = await relatedKeys(options, wanted, world)
    const applier = new EventApplier(projection)
    const slots = new Map<string, Slot>()
    const slotOf = (collection: Collection, key: string): Slot => {
      const name = ownerKey(collection.name, key)
      const slot = slots.get(name) ?? new Slot(collection, key)
      if (related.has(name)) slots.set(name, slot)
      return slot
    }
    for await (const prepared of refolded(options, { applier, slotOf }, world)) {
      for (const event of prepared) {
        if (!event.slots.some((slot) => related.has(nameOf(slot)))) continue
        applyOne(applier, event, world)
        const touched = event.slots.find((slot) => nameOf(slot) === wanted)
        if (touched === undefined) continue
        const { partition, offset, type } = event.event
        yield { partition, offset, type, value: touched.value ?? null }
      }
    }
  } finally {
    uninstall()
  }
}

function applyOne(applier: EventApplier, prepared: PreparedEvent, world: World): void {
  world.purity.enter()
  try {
    applier.apply(prepared, (slot) => { slot.dirty = false })
  } finally {
    world.purity.leave()
  }
}

/** PROJECTION_CHANGED where a state was built with another one. */
export async function assertSameProjection(projection: Projection, builtWith: Fingerprint, world: World): Promise<void> {
  const changed = changedParts(builtWith, fingerprintOf(projection, await world.codeOf(projection)))
  if (changed.length === 0) return
  throw new RehydrateError('PROJECTION_CHANGED', {
    message: `The state was built with another projection: ${changed.join(', ')} changed. Its events would give other values.`,
    why: 'Values are explained by folding the log again, with the projection that made them.',
    fix: 'Replay first, or go back to the projection that the state was built with.',
  })
}

/** The key, and every key that shares an event with one of these: what must be folded for its value to be right. */
async function relatedKeys(options: ExplainOptions, wanted: string, world: World): Promise<ReadonlySet<string>> {
  const keys = new RelatedKeys()
  if (!hasSingleKeys(options.projection)) {
    const applier = new EventApplier(options.projection)
    const slotOf = (collection: Collection, key: string): Slot => new Slot(collection, key)
    for await (const prepared of refolded(options, { applier, slotOf }, world)) {
      for (const { slots } of prepared) keys.join(slots)
    }
  }
  return keys.relatedTo([wanted])
}
