import { RehydrateError } from '../errors.js'
import { beforeFirst } from '../log/bounds.js'
import type { Offset, Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Collection, Projection } from '../projection/define.js'
import { changedParts, fingerprintOf, type Fingerprint } from '../projection/fingerprint.js'
import { Slot } from '../projection/view.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import { gapsOf } from './accept.js'
import type { World } from './api.js'
import { assertWithin } from './end.js'
import { ownerKey } from './owners.js'
import { Refold } from './refold.js'
import { DEFAULT_LIMITS } from './settings.js'
import { partitionTurns, timeTurns, type TurnOptions } from './turns.js'

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
  const { source, projection, upTo, builtWith } = options
  if (builtWith !== undefined) await assertSameProjection(projection, builtWith, world)
  const uninstall = world.purity.install()
  try {
    const bounds = await source.bounds({ following: true })
    assertWithin('The position', upTo, bounds, new Map())
    const range = { from: beforeFirst(bounds), end: upTo }
    const related = await relatedKeys(options, range, world)
    const applier = new EventApplier(projection)
    const wanted = ownerKey(options.collection, options.key)
    const slots = new Map<string, Slot>()
    for await (const prepared of preparedEvents(options, range, world, applier, slots)) {
      if (!prepared.slots.some((slot) => related.has(nameOf(slot)))) continue
      world.purity.enter()
      try {
        applier.apply(prepared, (slot) => { slot.dirty = false })
      } finally {
        world.purity.leave()
      }
      const touched = prepared.slots.find((slot) => nameOf(slot) === wanted)
      if (touched === undefined) continue
      const { partition, offset, type } = prepared.event
      yield { partition, offset, type, value: touched.value ?? null }
    }
  } finally {
    uninstall()
  }
}

async function assertSameProjection(projection: Projection, builtWith: Fingerprint, world: World): Promise<void> {
  const changed = changedParts(builtWith, fingerprintOf(projection, await world.codeOf(projection)))
  if (changed.length === 0) return
  throw new RehydrateError('PROJECTION_CHANGED', {
    message: `The state was built with another projection: ${changed.join(', ')} changed. Its events would give other values.`,
    why: 'Values are explained by folding the log again, with the projection that made them.',
    fix: 'Replay first, or go back to the projection that the state was built with.',
  })
}

interface Range {
  readonly from: Position
  readonly end: Position
}

/** The key, and every key that shares an event with one of these: what must be folded for its value to be right. */
async function relatedKeys(options: ExplainOptions, range: Range, world: World): Promise<ReadonlySet<string>> {
  const related = new Set([ownerKey(options.collection, options.key)])
  // Where every event has one key, no other key can matter.
  if ([...options.projection.types.values()].every(({ keys }) => keys === null)) return related
  for (let before = 0; before < related.size;) {
    before = related.size
    for await (const { slots } of preparedEvents(options, range, world, new EventApplier(options.projection), new Map())) {
      if (slots.some((slot) => related.has(nameOf(slot)))) for (const slot of slots) related.add(nameOf(slot))
    }
  }
  return related
}

async function* preparedEvents(
  options: ExplainOptions, range: Range, world: World, applier: EventApplier, slots: Map<string, Slot>,
): AsyncGenerator<PreparedEvent> {
  const { source, projection, accepted = [] } = options
  const refold = new Refold(projection, applier, accepted, world.purity)
  const slotOf = (collection: Collection, key: string): Slot => {
    const name = ownerKey(collection.name, key)
    let slot = slots.get(name)
    if (slot === undefined) slots.set(name, (slot = new Slot(collection, key)))
    return slot
  }
  const stop = new AbortController()
  const turnOptions: TurnOptions = {
    source, from: range.from, upTo: range.end, marks: new Map(), limits: DEFAULT_LIMITS, signal: stop.signal,
    gaps: gapsOf(accepted), pick: () => 0, waiting: () => {},
  }
  const turns = projection.order === 'time' ? timeTurns(turnOptions, new Map(), projection.futureMs) : partitionTurns(turnOptions)
  try {
    for (let turn = await turns.next(); turn !== null; turn = await turns.next()) {
      yield* refold.prepare(turn.batch, turn.from, turn.to, slotOf)
    }
  } finally {
    stop.abort()
    await turns.close()
  }
}

function nameOf(slot: Slot): string {
  return ownerKey(slot.collection.name, slot.key)
}
