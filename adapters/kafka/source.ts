import {
  RehydrateError,
  type Bounds, type BoundsOptions, type ConsumerGroup, type EventBatch, type EventSource, type Finding, type Mark, type MarkCheck,
  type Offset, type OpenTransaction, type Reading, type ReadLimits, type ReadRange,
} from '../../src/index.js'
import { batchesOf } from './batch.js'
import { FetchBudget } from './budget.js'
import { InputChain } from './chain.js'
import { diagnose } from './diagnose.js'
import { followLineage, type EpochRead } from './lineage.js'
import { idOf, inPass, passOf, type KeptRecord } from './mark.js'
import { readPages } from './pages.js'
import { assertInTime, passAt, Passes, risingClock, type Pass } from './pass.js'
import { EventReaders, readingOf, type PayloadSettings } from './payload/readers.js'
import type { KafkaPort } from './port.js'
import { keptBehind, proveMark, type PartitionView, type Proved } from './prove.js'
import { Starts, type LogStart } from './start.js'
import { startsAfter, Views, type ViewSettings } from './views.js'

export interface SourceSettings extends Omit<ViewSettings, 'clock'>, PayloadSettings {
  /** Where a fresh run begins; null: where the log does. */
  readonly from?: LogStart | null
  /** Default: our own clock. */
  readonly clock?: () => number
  /** By which the brokers know us, where that is no secret. */
  readonly user?: string | null
}

const NOTHING_KNOWN: ReadonlySet<string> = new Set()

/** Topics as a log: partitions are called TOPIC/N. Positions are ours: no group, nothing is committed to the cluster. */
export class KafkaSource implements EventSource {
  readonly continuity = 'sparse'
  readonly reading: Reading
  readonly #openPort: () => KafkaPort
  readonly #settings: SourceSettings
  readonly #views: Views
  readonly #starts: Starts
  readonly #readers: EventReaders
  readonly #budget = new FetchBudget()
  #passes = new Passes()
  /** Who holds a last stable offset back, by partition and offset: asked once. */
  readonly #holders = new Map<string, { readonly last: Offset; readonly producerId: string | null }>()
  #port: KafkaPort | null = null

  constructor(openPort: () => KafkaPort, settings: SourceSettings) {
    this.#openPort = openPort
    this.reading = readingOf(settings)
    this.#settings = settings
    this.#views = new Views({ ...settings, clock: settings.clock ?? risingClock() })
    this.#starts = new Starts(settings.from ?? null)
    this.#readers = new EventReaders(settings)
  }

  async bounds({ following = false, known = NOTHING_KNOWN }: BoundsOptions = {}): Promise<ReadonlyMap<string, Bounds>> {
    const views = await this.#look(known)
    this.#starts.assertThere(views)
    const port = this.#connect()
    const fresh = new Map([...views].filter(([name]) => !known.has(name)))
    const [firsts, bytes, open] = await Promise.all([
      this.#starts.of(port, fresh), following ? null : port.logBytes([...views.values()]), this.#openTransactions(views, following),
    ])
    return new Map([...views].map(([name, { first, last, policy, tombstonesMs }]): [string, Bounds] => {
      const [size, behindOpenTransaction] = [bytes?.get(name), open.get(name)]
      return [name, {
        first: firsts.get(name) ?? first, last,
        ...(policy !== false && { compacted: policy }),
        ...(tombstonesMs !== null && { tombstonesMs }),
        ...(size !== undefined && { bytes: size }),
        ...(behindOpenTransaction !== undefined && { behindOpenTransaction }),
      }]
    }))
  }

  async check(
    marks: ReadonlyMap<string, { readonly mark: Mark; readonly at: Offset }>,
  ): Promise<ReadonlyMap<string, MarkCheck>> {
    if (marks.size === 0) return new Map()
    const views = await this.#look(null)
    const checks = new Map<string, MarkCheck>()
    for (const [partition, { mark, at }] of marks) {
      const view = views.get(partition)
      const gone = { is: 'different', code: 'LOG_TRUNCATED', why: 'The cluster has no such partition any more.' } as const
      checks.set(partition, view === undefined ? gone : await this.#check(view, mark, at))
    }
    return checks
  }

  async *read(
    partition: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal,
  ): AsyncGenerator<EventBatch, void, void> {
    const { after, upTo, toEnd = false } = range
    if (signal.aborted || (upTo <= after && !toEnd)) return
    const view = await this.#viewOf(partition, range)
    const next = after + 1
    if (next < view.first) throw startsAfter(view, next)
    const { chain, kept: keptBefore } = await this.#begin(view, range, signal)
    const { name, identity, topic, partition: number } = view
    const port = this.#connect()
    const readers = this.#readers.of(topic, number, range.mark)
    let kept = keptBefore
    let epoch = epochOf(keptBefore)
    let pass = this.#passOf(view, range)
    for await (const page of readPages(port, view, { from: next, upTo, toEnd }, signal, this.#budget.join(limits))) {
      epoch = await followLineage(port, view, page, epoch)
      const { askedMs, answeredMs } = page.moment
      if (view.compacted) pass ??= { since: after, beganMs: askedMs }
      if (pass !== null && toEnd && page.through > pass.since) assertInTime(pass, { ...view, nowMs: answeredMs }, page.through)
      const passBehind = pass !== null && page.atEnd ? { since: page.through, beganMs: askedMs } : null
      const readWith = await readers.readerOf(page, signal)
      if (readWith === null) return
      const read = { page, partition, identity, chain: chain?.take(page) ?? null, kept, pass, passBehind, ...readWith }
      for (const batch of batchesOf(read, limits)) {
        if (signal.aborted) return
        yield batch
      }
      if (signal.aborted) return
      kept = keptBehind(page, kept)
      pass = passBehind ?? pass
      if (pass !== null && toEnd) this.#passes.stand(name, idOf(identity), page.through, pass)
    }
  }

  async offsetAt(partition: string, timeMs: number): Promise<Offset | null | undefined> {
    // An envelope may say another recordedAt than its record does, and which of them do is seen by reading only.
    if (this.#settings.payload !== 'raw' || this.#settings.event.recordedAt !== undefined) return undefined
    const view = (this.#views.latest ?? await this.#look(null)).get(partition)
    return view === undefined ? undefined : await this.#connect().offsetAt(view, timeMs)
  }

  lacking(type: string, paths: readonly string[]): Promise<readonly string[]> {
    return this.#readers.lacking(this.#settings.topics, type, paths)
  }

  group(name: string): ConsumerGroup {
    return this.#connect().group(name, this.#settings.topics)
  }

  async diagnose({ replayMs }: { readonly replayMs: number | null }): Promise<readonly Finding[]> {
    const { topics, user = null } = this.#settings
    const views = await this.#look(NOTHING_KNOWN)
    return await diagnose(this.#connect(), { topics, views, user, replayMs, nowMs: Date.now() })
  }

  async close(): Promise<void> {
    const port = this.#port
    this.#port = null
    this.#views.latest = null
    this.#passes = new Passes()
    this.#readers.close()
    await port?.close()
  }

  #connect(): KafkaPort {
    this.#port ??= this.#openPort()
    return this.#port
  }

  async #look(known: ReadonlySet<string> | null): Promise<ReadonlyMap<string, PartitionView>> {
    const views = await this.#views.look(this.#connect(), known)
    for (const view of views.values()) {
      this.#passes.looked(view.name, idOf(view.identity), view.last, { ...view, nowMs: view.answeredMs })
    }
    return views
  }

  /** With which chain to go on; a mark is proved first, so that a changed log is never read on. */
  async #begin(view: PartitionView, { after, mark }: ReadRange, signal: AbortSignal): Promise<Pick<Proved, 'chain' | 'kept'>> {
    if (mark === null) return { chain: after < view.first ? new InputChain(null) : null, kept: [] }
    const proved = await this.#prove(view, mark, after, signal)
    if (proved.check.is !== 'different') return proved
    const { code, why } = proved.check
    throw new RehydrateError(code, {
      message: `Partition ${view.name} is not the log that was read before: ${why}`, partition: view.name, offset: after, why,
    })
  }

  /** The pass that a read goes on with; null: none is known, or none is needed. */
  #passOf(view: PartitionView, { after, mark, toEnd = false }: ReadRange): Pass | null {
    if (!view.compacted) return null
    const stood = toEnd ? this.#passes.at(view.name, idOf(view.identity), after) : null
    return stood ?? (mark === null ? null : passOf(mark))
  }

  async #check(view: PartitionView, mark: Mark, at: Offset): Promise<MarkCheck> {
    const { check } = await this.#prove(view, mark, at, new AbortController().signal)
    const { name, identity, last, answeredMs } = view
    const known = view.compacted ? this.#passes.at(name, idOf(identity), at) ?? passOf(mark) : null
    if (check.is === 'different' || known === null) return check
    const pass = passAt(known, at, last, { ...view, nowMs: answeredMs })
    if ('expired' in pass) return pass.expired
    this.#passes.stand(name, idOf(identity), at, pass)
    return pass === passOf(mark) ? check : { ...check, mark: inPass(mark, pass) }
  }

  #prove(view: PartitionView, mark: Mark, at: Offset, signal: AbortSignal): Promise<Proved> {
    return proveMark(this.#connect(), view, mark, at, signal)
  }

  async #viewOf(partition: string, { upTo, mark }: ReadRange): Promise<PartitionView> {
    // A mark is proved against what the cluster says now, not against what it said once.
    const views = mark === null && this.#views.latest !== null ? this.#views.latest : await this.#look(null)
    const view = views.get(partition)
    if (view !== undefined && view.last >= upTo) return view
    const where = view === undefined ? `There is no partition ${partition}` : `Partition ${partition} ends at ${view.last}`
    throw new RehydrateError('LOG_TRUNCATED', { message: `${where}; it was to be read up to ${upTo}.`, partition, offset: upTo })
  }

  /** Of partitions whose end an open transaction holds back. While following, whose it is is asked where it still is at a second look. */
  async #openTransactions(
    views: ReadonlyMap<string, PartitionView>, following: boolean,
  ): Promise<ReadonlyMap<string, OpenTransaction>> {
    const held = [...views.values()].filter(({ isolation, last, written }) => isolation === 'read_committed' && last < written)
    return new Map(await Promise.all(held.map(async (view): Promise<[string, OpenTransaction]> => {
      const { name, last, written } = view
      const before = this.#holders.get(name)
      const isAsked = before?.last === last ? before.producerId === null : !following
      const found = isAsked ? await this.#connect().openTransaction(view) : null
      const fresh = found?.firstOffset === last + 1 ? String(found.producerId) : null
      const producerId = before?.last === last ? before.producerId ?? fresh : fresh
      this.#holders.set(name, { last, producerId })
      return [name, { written, producerId }]
    })))
  }
}

function epochOf(kept: readonly KeptRecord[]): EpochRead | null {
  const last = kept.at(-1)
  return last === undefined ? null : { leaderEpoch: last.leaderEpoch, to: last.offset }
}
