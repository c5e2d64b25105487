/** JSON in one buffer, as a batch of a log has it, read to its end: by JSON.parse of each text, or by the scanner of declared reads. */
import { compileReads, JsonScanner } from '../../src/index.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'

export interface ReadsInput {
  readonly rounds: number
  /** Null: JSON.parse. */
  readonly paths: readonly string[] | null
}

export interface ReadsResult extends Cost {
  readonly values: number
  readonly bytesEach: number
  /** Of the amounts, where they were read. */
  readonly sum: number
}

const VALUES = 20_000
const CURRENCIES = ['EUR', 'USD', 'GBP']
const STATUS = ['placed', 'paid', 'shipped']

function orderOf(i: number): object {
  return {
    orderId: `order-${1_000_000 + i}`, customerId: `customer-${(i * 7_919) % 500_000}`, amount: (i % 9_999) + 0.25,
    currency: CURRENCIES[i % 3], status: STATUS[i % 3], placedAt: 1_760_000_000_000 + i,
    items: [{ sku: `sku-${i % 977}`, quantity: i % 5, price: 12.5 }, { sku: `sku-${i % 313}`, quantity: 2, price: 2.75 }],
    note: 'leave it with the neighbours', address: { street: 'Main Street 5', city: 'Springfield', zip: '12345' },
  }
}

const texts = Array.from({ length: VALUES }, (_, i) => Buffer.from(JSON.stringify(orderOf(i))))
const bytes = Buffer.concat(texts)
const starts = [0]
for (const text of texts) starts.push((starts.at(-1) as number) + text.length)

const { rounds, paths } = trialInput<ReadsInput>()
const scanner = paths === null ? null : new JsonScanner(compileReads(paths, 'Order').root)
const readsAmount = paths === null || paths.includes('amount')

function valueAt(i: number): unknown {
  const from = starts[i] as number
  const to = starts[i + 1] as number
  return scanner === null ? JSON.parse(bytes.toString('latin1', from, to)) : scanner.scan(bytes, from, to)
}

function readAll(times: number): number {
  let sum = 0
  for (let round = 0; round < times; round++) {
    for (let i = 0; i < VALUES; i++) {
      const value = valueAt(i) as { readonly amount: number }
      if (readsAmount) sum += value.amount
    }
  }
  return sum
}

readAll(3)
const { value: sum, cost } = await measured(async () => readAll(rounds))
const result: ReadsResult = { ...cost, values: VALUES * rounds, bytesEach: bytes.length / VALUES, sum }
tellResult(result)
