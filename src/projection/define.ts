import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import { checkOptions } from '../value/options.js'
import { isPartial } from '../value/partial.js'
import { compile, type LooseOptions, type Projection } from './compile.js'
import type { CollectionOptions, CollectionView, EventOptions, ProjectionOptions, ReducerOptions } from './options.js'
import { requireFunctions, requireText } from './require.js'

export type { Collection, EventType, Projection } from './compile.js'
export type {
  CollectionOptions, CollectionView, EventOf, EventOptions, KeyRef, ProjectionOptions, ReducerOptions, Schema, StateView, Upcaster,
} from './options.js'

const PROJECTION_OPTIONS = [
  'name', 'version', 'order', 'partitioner', 'collections', 'keys', 'on', 'reads', 'events', 'upcasters', 'unknownEvents', 'ids', 'time',
  'history', 'module',
]

/** Defines a projection. Throws CONFIG_INVALID naming the place. */
export function defineProjection<
  const C extends Record<string, CollectionOptions>,
  const T extends string,
  const E extends Record<string, EventOptions> = {},
>(options: ProjectionOptions<C, E, T>): Projection {
  checkOptions('defineProjection()', options, PROJECTION_OPTIONS)
  return compile(options as unknown as LooseOptions, callerOf(defineProjection))
}

/** One entity per event key: sugar over get, put and delete. A reducer that returns undefined is HANDLER_RETURNED_NOTHING. */
export function defineReducer<S = any, const T extends string = string>(options: ReducerOptions<S, T>): Projection {
  const known = ['collection', 'schema', 'columns', ...PROJECTION_OPTIONS.filter((name) => name !== 'keys' && name !== 'collections')]
  checkOptions('defineReducer()', options, known)
  requireText('defineReducer()', 'collection', options.collection)
  requireFunctions('on', options.on)
  const { collection, schema, columns, on, ...rest } = options
  const handlers: Record<string, (state: any, event: RecordedEvent) => unknown> = Object.create(null)
  for (const [type, reduce] of Object.entries<(state: any, event: RecordedEvent) => unknown>(on)) {
    const handler = (state: any, event: RecordedEvent): unknown => {
      const view = state[collection] as CollectionView
      const key = event.key as string
      const next = reduce(view.get(key), event)
      if (next === undefined) {
        throw new RehydrateError('HANDLER_RETURNED_NOTHING', { message: `The reducer of ${type} returned undefined.` })
      }
      if (isPromise(next)) return next
      if (next === null) view.delete(key)
      else view.put(key, next)
      return undefined
    }
    // The fingerprint of a projection without a module is taken from the text of its handlers.
    handlers[type] = Object.assign(handler, { toString: () => reduce.toString() })
  }
  const collections = { [collection]: { schema, columns } }
  return compile({ ...rest, collections, on: handlers } as LooseOptions, callerOf(defineReducer))
}

/** What returned it is refused, and its rejection with it: nobody else must hear of that. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  if (value instanceof Promise) value.catch(() => {})
  // A partial object refuses to be asked for a field that is not declared.
  return typeof value === 'object' && value !== null && !isPartial(value) && typeof (value as { then?: unknown }).then === 'function'
}

/** Key of several parts: the JSON text of the array, without spaces. */
export function compositeKey(...parts: readonly (string | number | boolean | null)[]): string {
  return JSON.stringify(parts)
}

/** File of the code that called `callee`, from the stack; null where the engine shows none. */
export function callerOf(callee: Function): string | null {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  const line = holder.stack?.split('\n')[1] ?? ''
  const match = /(?:\(|at )((?:file:\/\/|\/|[A-Za-z]:\\)[^()]*?):\d+:\d+\)?$/.exec(line)
  return match?.[1] ?? null
}
