import { defineReducer, openState, type Projection, type ReducerOptions, type SealedRun, type StateStore } from '../src/index.js'
import { nextOrder, type Order, type OrderChanged } from './fold.js'
import type { Check } from './trial.js'

export const COLLECTION = 'orders'
const PAGE = 10_000

const OPTIONS: ReducerOptions<Order, 'OrderChanged'> = {
  name: 'orders', version: 1, collection: COLLECTION, module: import.meta.url,
  on: { OrderChanged: (order, event) => nextOrder(order, event.data as OrderChanged, event.recordedAtMs as number) },
}

export const orders = defineReducer(OPTIONS)

/** The same, kept as a table with a column for each field where the store can. */
export const ordersInColumns = defineReducer({
  ...OPTIONS,
  columns: { changes: 'int', totalCents: 'int', status: 'text', customerId: 'text', items: 'int', lastAtMs: 'int' },
})

const READS = ['customerId', 'status', 'amountCents', 'items']

/** The same, which declares what it reads of an event, and how many partitions the Java client has put keys into. */
export function ordersOf({ reads, partitions }: { readonly reads: boolean; readonly partitions: number | null }): Projection {
  return defineReducer({
    ...OPTIONS, ...(reads && { reads: READS }), ...(partitions !== null && { partitioner: { hash: 'murmur2', counts: [partitions] } }),
  })
}

/** Root and sums of a sealed state. */
export async function sumsOf(store: StateStore, sealed: SealedRun): Promise<Check> {
  const state = await openState(store, { projection: orders })
  const check = { keys: 0, changes: 0, totalCents: 0, root: sealed.collections[COLLECTION]?.root ?? '' }
  for (let after: string | null = null; ;) {
    const entries = await state.scan(COLLECTION, after, PAGE)
    for (const { value } of entries) {
      const { changes, totalCents } = value as unknown as Order
      check.keys++
      check.changes += changes
      check.totalCents += totalCents
    }
    if (entries.length < PAGE) break
    after = entries.at(-1)?.key ?? null
  }
  await state.close()
  return check
}
