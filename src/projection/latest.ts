import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import type { ColumnDeclarations } from '../value/columns.js'
import { checkOptions } from '../value/options.js'
import { compile, type Projection } from './compile.js'
import { callerOf } from './define.js'
import type { CollectionView, KeyRef, Order, Schema } from './options.js'
import { invalid, requireText } from './require.js'

export interface LatestOptions {
  readonly name: string
  readonly version: number
  /** Default: rows. */
  readonly collection?: string
  readonly columns?: ColumnDeclarations
  readonly schema?: Schema
  /** Paths of integers beyond 2^53, besides those of columns. They are bigints, always. */
  readonly int64?: readonly string[]
  /** Default: the event's key. It must follow from the record's key alone, which is all that a tombstone has. */
  readonly key?: (event: RecordedEvent) => string
  /** What is kept of an event; null deletes. Default: its data. */
  readonly value?: (event: RecordedEvent) => unknown
  readonly order?: Order
  readonly module?: string
}

/**
 * A table of the last value per key, for compacted topics and any other log of whole values: every type of event is taken, and one
 * without data (`$tombstone`) deletes. Throws CONFIG_INVALID naming the place.
 */
export function latest(options: LatestOptions): Projection {
  checkOptions('latest()', options, ['name', 'version', 'collection', 'columns', 'schema', 'int64', 'key', 'value', 'order', 'module'])
  const { collection = 'rows', columns, schema, int64 = [], key, value, ...rest } = options
  requireText('latest()', 'collection', collection)
  for (const [name, given] of Object.entries({ key, value })) {
    if (given !== undefined && typeof given !== 'function') invalid('latest()', name, 'a function', given)
  }
  return compile({
    ...rest, history: 'last', on: {},
    collections: { [collection]: { ...(columns && { columns }), ...(schema && { schema }), int64 } },
    anyType: {
      keys: key === undefined ? null : (event: RecordedEvent): KeyRef[] => [{ collection, key: key(event) }],
      handler: handlerOf(collection, key, value),
      int64: (compiled) => (value === undefined ? [...int64, ...(compiled[0]?.columns?.int64 ?? [])] : int64),
      shape: { kind: 'latest' },
    },
  }, callerOf(latest))
}

function handlerOf(collection: string, key: LatestOptions['key'], value: LatestOptions['value']) {
  const handler = (state: Readonly<Record<string, CollectionView>>, event: RecordedEvent): void => {
    const view = state[collection] as CollectionView
    const at = key === undefined ? event.key as string : key(event)
    const next: unknown = event.data === null ? null : value === undefined ? event.data : value(event)
    if (next === undefined) throw new RehydrateError('HANDLER_RETURNED_NOTHING', { message: 'value() of latest() returned undefined.' })
    if (next === null) view.delete(at)
    else view.put(at, next)
  }
  // The fingerprint of a projection without a module is taken from the text of its functions.
  return Object.assign(handler, { toString: () => `latest ${String(key)} ${String(value)}` })
}
