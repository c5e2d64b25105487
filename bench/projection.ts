import { defineReducer } from '../src/index.js'
import { nextOrder, type Order, type OrderChanged } from './fold.js'

export const COLLECTION = 'orders'

export const orders = defineReducer<Order>({
  name: 'orders', version: 1, collection: COLLECTION,
  on: { OrderChanged: (order, event) => nextOrder(order, event.data as OrderChanged, event.recordedAtMs as number) },
})
