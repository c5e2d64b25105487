/** What a trial and its baselines compute alike: one state for each order. */

export interface OrderChanged {
  readonly customerId: string
  readonly status: string
  readonly amountCents: number
  readonly items: number
}

export interface Order {
  readonly changes: number
  readonly totalCents: number
  readonly status: string
  readonly customerId: string
  readonly items: number
  readonly lastAtMs: number
}

export function nextOrder(order: Order | undefined, data: OrderChanged, recordedAtMs: number): Order {
  const { customerId, status, amountCents, items } = data
  if (order === undefined) return { changes: 1, totalCents: amountCents, status, customerId, items, lastAtMs: recordedAtMs }
  return {
    changes: order.changes + 1, totalCents: order.totalCents + amountCents, status, customerId,
    items: order.items + items, lastAtMs: recordedAtMs,
  }
}
