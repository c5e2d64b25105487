/** The section on declared reads: JSON read whole, and read for some of its fields. */
import { interleaved, launch } from './launch.js'
import type { Section } from './report.js'
import type { Scale } from './scale.js'
import { median } from './statistics.js'
import type { ReadsInput, ReadsResult } from './trials/reads.js'

const ROUNDS = 20
const WHOLE = 'JSON.parse'
const FIELDS: Readonly<Record<string, readonly string[] | null>> = {
  [WHOLE]: null,
  '6 fields': ['orderId', 'customerId', 'amount', 'currency', 'status', 'placedAt'],
  '3 fields': ['customerId', 'amount', 'currency'],
  'fields of elements': ['items[].sku', 'items[].price'],
  'no field: the key only': [],
}

const count = (value: number): string => Math.round(value).toLocaleString('en')

export function declaredReads(scale: Scale): Section {
  const results = interleaved<ReadsResult>(scale.rounds, Object.entries(FIELDS).map(([name, paths]) => ({
    name, run: () => launch<ReadsResult>('trials/reads.js', { rounds: ROUNDS, paths } satisfies ReadsInput),
  })))
  const rate = (name: string): number => median((results.get(name) ?? []).map(({ values, cpuMs }) => (values * 1_000) / cpuMs))
  const [first] = results.get(WHOLE) ?? []
  return {
    title: 'Declared reads',
    notes: [
      `Orders of ${count(first?.bytesEach ?? 0)} bytes in one buffer. The scanner checks all of the JSON, also what it passes over.`,
    ],
    head: ['', 'values per CPU second', 'against JSON.parse'],
    rows: Object.keys(FIELDS).map((name) => [name, count(rate(name)), `${(rate(name) / rate(WHOLE)).toFixed(2)}×`]),
    targets: [],
  }
}
