import { project } from '../host/project.js'

/** A project as a user writes it: two partitions of orders, TypeScript configuration, state in SQLite. */
export const ORDERS = {
  'rehydrate.config.ts': `
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { orders } from './orders.ts'

export default defineConfig({
  jobs: {
    orders: {
      source: fileLog({ path: import.meta.dirname + '/log' }),
      projection: orders,
      store: sqlite({ path: import.meta.dirname + '/state.db' }),
    },
  },
})
`,
  'orders.ts': `
import { defineProjection } from 'rehydrate'

interface Order { total: number, paid: boolean }

export const orders = defineProjection({
  name: 'orders', version: 1, collections: { orders: {} },
  on: {
    Placed(state, e) {
      if (e.data.total === 'bad') throw new Error('a total that is no number')
      state.orders.put(e.key!, { total: e.data.total, paid: false } satisfies Order)
    },
    Paid(state, e) { state.orders.put(e.key!, { ...state.orders.get(e.key!), paid: true }) },
    Cancelled(state, e) { state.orders.delete(e.key!) },
  },
})
`,
  'log/0.ndjson': lines(0, 3),
  'log/1.ndjson': lines(1, 3),
}

/** Three events for each of so many orders: all are placed, all are paid, every third is cancelled. */
export function lines(partition: number, orders: number): string {
  const events: object[] = []
  for (const type of ['Placed', 'Paid', 'Cancelled']) {
    for (let i = 0; i < orders; i++) {
      if (type !== 'Cancelled' || i % 3 === 0) {
        events.push({ type, key: `order-${partition}-${i}`, data: { total: i }, recordedAt: Date.UTC(2026, 0, 1, 0, 0, events.length) })
      }
    }
  }
  return `${events.map((event) => JSON.stringify(event)).join('\n')}\n`
}

export function ordersProject(files: Readonly<Record<string, string>> = {}): string {
  return project({ ...ORDERS, ...files })
}
