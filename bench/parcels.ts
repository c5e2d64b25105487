/** What is compared: parcels, as our state and as a table that another program keeps. */
import type { SqliteTablesOptions } from '../adapters/sqlite/index.js'
import { defineReducer } from '../src/index.js'

export interface Parcel {
  readonly customerId: string
  readonly status: string
  readonly stops: number
  readonly valueCents: number
  readonly weightKg: number
  readonly insured: boolean
  /** Microseconds since 1970 UTC. */
  readonly updatedAt: number
}

export const PARCELS = 'parcels'
/** Partition of the log: the name of its file. */
const PARTITION = 'parcels'
export const LOG_FILE = `${PARTITION}.ndjson`

/** Each event holds all of the parcel but the time, which is the event's own. */
export const parcels = defineReducer<Parcel>({
  name: 'parcels', version: 1, collection: PARCELS,
  on: { ParcelChanged: (_, { data, recordedAtMs }) => ({ ...data, updatedAt: (recordedAtMs as number) * 1_000 }) },
})

const STATUS = ['announced', 'collected', 'in transit', 'delivered'] as const
const START_MS = 1_760_000_000_000

export const parcelKey = (i: number): string => `parcel-${String(i).padStart(9, '0')}`

/** The parcel that the event at this offset writes. */
function parcelAt(i: number, offset: number): Parcel {
  return {
    customerId: `customer-${(i * 31) % 250_000}`, status: STATUS[offset & 3] as string, stops: 1 + (offset % 7),
    valueCents: 100 + ((offset * 7_919) % 990_000), weightKg: 0.25 + ((offset * 37) % 4_000) / 100, insured: offset % 3 === 0,
    updatedAt: (START_MS + offset * 250) * 1_000,
  }
}

/** One field or another is not the same. */
const PLANTED: readonly ((parcel: Parcel) => Partial<Parcel>)[] = [
  () => ({ status: 'lost' }),
  ({ valueCents }) => ({ valueCents: valueCents + 1 }),
  ({ weightKg }) => ({ weightKg: weightKg + 0.01 }),
  ({ insured }) => ({ insured: !insured }),
  ({ stops }) => ({ stops: stops + 1 }),
]

export const DIFFERING = 10

/** Events 0 … count − 1 give each parcel its first value; the last DIFFERING ones change some of them, on one side in another way. */
export interface World {
  readonly count: number
  readonly side: 'rebuilt' | 'other'
}

/** The n-th of the parcels that differ. */
const differing = (count: number, n: number): number => Math.floor(((n + 0.5) * count) / DIFFERING)

/** In the order in which they are looked for everywhere: of the keys. */
export function differingKeys(count: number): string[] {
  return Array.from({ length: DIFFERING }, (_, n) => parcelKey(differing(count, n)))
}

/** `parcels/0@41`: where both sides stand at the end. */
export function endOf(count: number): string {
  return `${PARTITION}@${count + DIFFERING - 1}`
}

interface Change {
  readonly key: string
  readonly offset: number
  readonly parcel: Parcel
}

export function* firstChanges(count: number): Generator<Change> {
  for (let i = 0; i < count; i++) yield { key: parcelKey(i), offset: i, parcel: parcelAt(i, i) }
}

export function* lastChanges({ count, side }: World): Generator<Change> {
  for (let n = 0; n < DIFFERING; n++) {
    const [i, offset] = [differing(count, n), count + n]
    const parcel = parcelAt(i, offset)
    const planted = side === 'other' ? PLANTED[n % PLANTED.length]?.(parcel) : {}
    yield { key: parcelKey(i), offset, parcel: { ...parcel, ...planted } }
  }
}

/** Every parcel as it is in the end, in the order of the keys. */
export function* allParcels(world: World): Generator<Change> {
  const last = new Map([...lastChanges(world)].map((change) => [change.key, change]))
  for (const change of firstChanges(world.count)) yield last.get(change.key) ?? change
}

export function lineOf({ key, parcel }: Change): string {
  const { updatedAt, ...data } = parcel
  return `{"type":"ParcelChanged","key":"${key}","recordedAt":${updatedAt / 1_000},"data":${JSON.stringify(data)}}\n`
}

/** As programs keep such things in SQLite: names with underscores, booleans as 0 and 1, times as text of UTC. */
export const TABLE_SQL = `CREATE TABLE parcels (key TEXT PRIMARY KEY, customer_id TEXT NOT NULL, status TEXT NOT NULL,
  stops INTEGER NOT NULL, value_cents INTEGER NOT NULL, weight_kg REAL NOT NULL, insured INTEGER NOT NULL, updated_at TEXT NOT NULL)`

export const TABLE_COLUMNS = ['key', 'customer_id', 'status', 'stops', 'value_cents', 'weight_kg', 'insured', 'updated_at'] as const

export function cellsOf({ key, parcel }: Change): (string | number)[] {
  const time = new Date(parcel.updatedAt / 1_000).toISOString().slice(0, -1).replace('T', ' ')
  const { customerId, status, stops, valueCents, weightKg, insured } = parcel
  return [key, customerId, status, stops, valueCents, weightKg, Number(insured), time]
}

/** How such a table is compared with our state. */
export function tableAt(path: string, count: number): SqliteTablesOptions {
  return {
    path, position: { at: endOf(count) },
    tables: {
      [PARCELS]: {
        table: 'parcels', key: 'key',
        columns: {
          customerId: { column: 'customer_id', type: 'text' }, status: { column: 'status', type: 'text' },
          stops: { column: 'stops', type: 'int' }, valueCents: { column: 'value_cents', type: 'int' },
          weightKg: { column: 'weight_kg', type: 'real' }, insured: { column: 'insured', type: 'bool' },
          updatedAt: { column: 'updated_at', type: 'timestamp', zone: 'UTC' },
        },
      },
    },
  }
}
