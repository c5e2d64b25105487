import { defineReducer, type ReducerOptions } from '../src/index.js'
import { nextOrder, type Order, type OrderChanged } from './fold.js'

export const COLLECTION = 'orders'

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
