import { RehydrateError, type ErrorCode } from '../errors.js'
import type { EventBatch, EventSource, RecordedEvent } from '../log/source.js'
import { EventApplier } from '../projection/apply.js'
import type { Projection } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { Purity } from '../replay/api.js'
import { keepsOwners, ownerKey, Owners } from '../replay/owners.js'
import type { Turn, TurnOptions } from '../replay/turn.js'
import { turnsOf } from '../replay/turns.js'
import { encode, normalise, type Value } from '../value/canonical.js'

/** An event as a test writes it. What is left out: partition 'given', version 1, no key, data null, no time, no id, no headers. */
export interface GivenEvent {
  readonly type: string
  readonly partition?: string
  readonly key?: string | null
  readonly data?: unknown
  readonly schemaVersion?: number
  /** Milliseconds since 1970. */
  readonly recordedAtMs?: number | null
  readonly id?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Collection → key → value. Collections without entries are left out. */
export type GivenState = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export interface Given {
  /** Resolves where the events give exactly this state; rejects with an Error that shows both. */
  then(expected: GivenState): Promise<void>
  /** Resolves with the error where the fold halts with this code; rejects where it does not. */
  fails(code: ErrorCode): Promise<RehydrateError>
  /** The state the events give. Rejects with the RehydrateError that halts the fold. */
  state(): Promise<GivenState>
}

/** `given(projection, events).then(state)`, with the strictness of a replay: keys, schemas, upcasters, purity, double runs, order. */
export function givenIn(purity: Purity): (projection: Projection, events: readonly GivenEvent[]) => Given {
  return (projection, events) => {
    const state = (): Promise<GivenState> => fold(projection, events, purity)
    return {
      state,
      // Called with a state to compare with; the name reads well, and nobody awaits `given` itself.
      // oxlint-disable-next-line unicorn/no-thenable
      async then(expected) {
        const actual = await state()
        if (Buffer.from(encode(actual as Value)).equals(encode(normalise(expected)))) return
        throw new Error(`The state differs.\n  expected ${shown(expected)}\n  actual   ${shown(actual)}`)
      },
      async fails(code) {
        try {
          await state()
        } catch (error) {
          if (error instanceof RehydrateError && error.code === code) return error
          throw error
        }
        throw new Error(`The events were applied; ${code} was expected.`)
      },
    }
  }
}

async function fold(projection: Projection, events: readonly GivenEvent[], purity: Purity): Promise<GivenState> {
  const source = sourceOf(events)
  const upTo = new Map([...(await source.bounds())].map(([partition, { last }]): [string, number] => [partition, last]))
  const stop = new AbortController()
  const options: TurnOptions = {
    source, upTo, from: new Map(), marks: new Map(), gaps: new Map(), signal: stop.signal,
    limits: { events: 1_000, bytes: 1_000_000 }, pick: () => 0, waiting: () => {},
  }
  const turns = turnsOf(options, projection)
  const applier = new EventApplier(projection)
  const slots = new Map<string, Slot>()
  const owners = keepsOwners(projection, upTo.keys()) ? new Owners(projection) : null
  const uninstall = purity.install()
  try {
    for (let turn = await turns.next(); turn !== null; turn = await turns.next()) applyTurn(turn, applier, slots, owners, purity)
  } finally {
    uninstall()
  }
  return stateOf(projection, slots)
}

function applyTurn(turn: Turn, applier: EventApplier, slots: Map<string, Slot>, owners: Owners | null, purity: Purity): void {
  purity.enter()
  try {
    for (let i = turn.from; i < turn.to; i++) {
      const prepared = applier.prepare(turn.batch, i, (collection, key) => {
        const name = ownerKey(collection.name, key)
        const slot = slots.get(name) ?? new Slot(collection, key)
        slots.set(name, slot)
        return slot
      })
      if (prepared === null) continue
      if (owners !== null) for (const slot of prepared.slots) owners.claim(slot, prepared.event)
      applier.apply(prepared, (slot) => { slot.dirty = false })
    }
  } finally {
    purity.leave()
  }
}

function stateOf(projection: Projection, slots: ReadonlyMap<string, Slot>): GivenState {
  const state: Record<string, Record<string, Value>> = {}
  for (const { name } of projection.collections) {
    const rows = [...slots.values()].filter((slot) => slot.collection.name === name && slot.value !== undefined)
    if (rows.length > 0) state[name] = Object.fromEntries(rows.map(({ key, value }) => [key, value as Value]))
  }
  return state
}

function sourceOf(given: readonly GivenEvent[]): EventSource {
  const partitions = new Map<string, RecordedEvent[]>()
  for (const event of given) {
    const partition = event.partition ?? 'given'
    const events = partitions.get(partition) ?? []
    partitions.set(partition, events)
    events.push({
      partition, offset: events.length, type: event.type, schemaVersion: event.schemaVersion ?? 1, key: event.key ?? null,
      data: event.data ?? null, bigIntegers: null, recordedAtMs: event.recordedAtMs ?? null, id: event.id ?? null,
      headers: event.headers ?? {},
    })
  }
  return {
    continuity: 'dense',
    check: async () => new Map(),
    bounds: async () => new Map([...partitions].map(([partition, events]) => [partition, { first: 0, last: events.length - 1 }])),
    async *read(partition) { yield batchOf(partition, partitions.get(partition) ?? []) },
    close: async () => {},
  }
}

function batchOf(partition: string, events: readonly RecordedEvent[]): EventBatch {
  const at = (i: number): RecordedEvent => events[i] as RecordedEvent
  return {
    partition, length: events.length, through: events.length - 1, bytes: 0,
    holes: { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 },
    offsetAt: (i) => i,
    typeAt: (i) => at(i).type,
    keyAt: (i) => at(i).key,
    event: (i) => ({ ...at(i), data: structuredClone(at(i).data) }),
    markAt: () => ({ id: partition, input: null, proof: null }),
  }
}

function shown(state: unknown): string {
  return JSON.stringify(state, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
}
