import { checkOptions, RehydrateError, type Offset } from '../../src/index.js'
import type { KafkaPort } from './port.js'
import type { PartitionView } from './prove.js'
import { notThere } from './views.js'

/** Where a log begins for a run that has nothing yet. */
export type LogStart =
  /** Each partition with its first record of this time or later, as the broker's index has it: ISO 8601 with Z or an offset, or ms. */
  | { readonly timestamp: string | number }
  /** The first offset of partitions by name; the others from their beginning. */
  | { readonly offsets: Readonly<Record<string, Offset>> }

/** Milliseconds since 1970; null: not a time. */
export function startTime(timestamp: unknown): number | null {
  const isText = typeof timestamp === 'string' && /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/.test(timestamp)
  const ms = isText ? Date.parse(timestamp) : timestamp
  return Number.isSafeInteger(ms) && (ms as number) >= 0 ? ms as number : null
}

/** CONFIG_INVALID. */
export function checkStart(from: LogStart): void {
  checkOptions('kafka(): from', from, ['timestamp', 'offsets'])
  const { timestamp, offsets } = from as { readonly timestamp?: unknown; readonly offsets?: unknown }
  const isTime = offsets === undefined && startTime(timestamp) !== null
  const isOffsets = timestamp === undefined && typeof offsets === 'object' && offsets !== null
    && Object.values(offsets).every((offset) => Number.isSafeInteger(offset) && offset >= 0)
  if (isTime || isOffsets) return
  const expected = "{ timestamp: '2026-01-01T00:00:00Z' } or { offsets: { 'orders/0': 41 } }"
  throw new RehydrateError('CONFIG_INVALID', { message: `kafka(): from must be ${expected}.`, path: 'from', expected, actual: from })
}

/** The first offset that belongs to the log, per partition. */
export class Starts {
  readonly #start: LogStart | null
  /** As found first: a time stands for one place, also where earlier times are written behind it. */
  readonly #found = new Map<string, Offset>()

  constructor(start: LogStart | null) {
    this.#start = start
  }

  /** Of these partitions. CONFIG_INVALID where an offset or a partition is named that the log does not have. */
  async of(port: KafkaPort, views: ReadonlyMap<string, PartitionView>): Promise<ReadonlyMap<string, Offset>> {
    const first = async (view: PartitionView): Promise<[string, Offset]> => [view.name, await this.#first(port, view)]
    return new Map(await Promise.all([...views.values()].map(first)))
  }

  async #first(port: KafkaPort, view: PartitionView): Promise<Offset> {
    const start = this.#start
    if (start === null) return view.first
    if ('offsets' in start) return offsetIn(start.offsets, view)
    const known = this.#found.get(view.identity.topicId + view.name)
    if (known !== undefined) return Math.max(view.first, known)
    const found = await port.offsetAt(view, startTime(start.timestamp) as number)
    // Nothing of that time yet: the log is empty, up to what comes next.
    if (found === null || found > view.last) return view.last + 1
    this.#found.set(view.identity.topicId + view.name, found)
    return Math.max(view.first, found)
  }

  /** CONFIG_INVALID where a partition is named that is not there. */
  assertThere(views: ReadonlyMap<string, unknown>): void {
    const named = this.#start !== null && 'offsets' in this.#start ? Object.keys(this.#start.offsets) : []
    const stray = named.find((name) => !views.has(name))
    if (stray !== undefined) throw notThere('partition', stray)
  }
}

function offsetIn(offsets: Readonly<Record<string, Offset>>, { name, first, last }: PartitionView): Offset {
  const wanted = offsets[name] ?? first
  if (wanted <= last + 1) return Math.max(first, wanted)
  throw new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): from names ${name}@${wanted}, and ${name} ends at ${last}.`, path: 'from.offsets', partition: name, offset: wanted,
    expected: `at most ${last + 1}`, actual: wanted,
  })
}
