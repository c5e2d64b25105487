import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { defineReducer, type EventSource, type Projection, type StateStore, type Value } from '../../src/index.js'
import { runIn, worldOf } from './worlds.js'

/** A state that is whatever the log says: each event puts a value under its key, or takes it away. */
export const table: Projection = defineReducer<Value>({
  name: 'table', version: 1, collection: 'rows', on: { Put: (_, { data }) => data.value, Drop: () => null },
})

export const put = (key: string, value: Value): MemoryEvent => ({ type: 'Put', key, data: { value } })
export const drop = (key: string): MemoryEvent => ({ type: 'Drop', key, data: {} })

export interface Built {
  readonly store: StateStore
  readonly source: EventSource
}

/** A sealed state of these events. */
export async function built(events: readonly MemoryEvent[], store: StateStore = memoryStore(), projection: Projection = table): Promise<Built> {
  const source = memoryLog({ partitions: { log: [...events] } })
  await runIn(worldOf(1), { source, projection, store })
  return { store, source }
}

/** So many events that both of two logs have one length, whatever their states are. */
export function padded(events: readonly MemoryEvent[], length: number): MemoryEvent[] {
  return [put('first', 0), ...events, ...Array.from({ length: length - events.length }, () => put('last', 0))]
}
