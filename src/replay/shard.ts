import { hashKeys } from '../digest/batch.js'
import { RehydrateError } from '../errors.js'
import { familyOf } from '../log/domains.js'
import type { Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Checkpoint, Shard } from '../store/checkpoint.js'
import type { StateStore } from '../store/contract.js'
import type { ReplayOptions } from './api.js'

/** `0/8` */
export function formatShard({ index, of }: Shard): string {
  return `${index}/${of}`
}

/** CONFIG_INVALID for what is no shard, and where the projection's order leaves nothing to share out. */
export function checkShard(shard: Shard, order: Projection['order']): Shard {
  const { index, of } = shard
  if (!Number.isSafeInteger(of) || of < 1 || !Number.isSafeInteger(index) || index < 0 || index >= of) {
    const expected = of >= 1 ? `an index from 0 to ${of - 1}` : 'at least one shard'
    throw invalid(`There is no shard ${String(index)}/${String(of)}.`, expected, index)
  }
  if (of === 1 || (order !== 'time' && order !== 'any')) return shard
  throw invalid(`A projection of order '${order}' has one shard only, and ${of} are asked for.`, '1', of, order === 'time'
    ? "Order 'time' makes one sequence of all partitions: whoever reads a part of them can not know what comes between."
    : "Under order 'any' a key may be touched by every partition, so that no shard would have the whole of it.")
}

/**
 * Which of `of` shards an order domain belongs to: its number where it ends in one (`orders/7`), else the hash of its name (rule 1 of
 * the state hash). It depends on nothing but its name, so that a partition that is added moves no other.
 */
export function shardOfDomain(domain: string, of: number): number {
  const number = /(?:^|\D)(\d{1,15})$/.exec(domain)?.[1]
  return (number === undefined ? Buffer.from(hashKeys([domain])).readUInt32BE() : Number(number)) % of
}

/** The shard of a partition. Where keys moved between partitions because a topic grew, all that a key may have come through is in one. */
export function shardOfPartition(partition: string, of: number, { order, placement }: Projection): number {
  return of === 1 ? 0 : shardOfDomain(familyOf(order, placement?.counts ?? null, partition) ?? partition, of)
}

/** The part of a run's options that is one shard's: its partitions of the log, and its own store. */
export function shardOptions<T extends Pick<ReplayOptions, 'source' | 'store' | 'projection'>>(options: T, shard: Shard): T {
  const { source, store, projection } = options
  return { ...options, source: new ShardSource(source, belongsTo(shard, projection)), store: shardStore(store, shard) }
}

/** The partitions of a position that are this shard's. */
export function shardPosition(position: Position, shard: Shard, projection: Projection): Position {
  const belongs = belongsTo(shard, projection)
  return new Map([...position].filter(([partition]) => belongs(partition)))
}

/** The store of this shard alone. CONFIG_INVALID where the store has none. */
export function shardStore(store: StateStore, shard: Shard): StateStore {
  if (store.shard !== undefined) return store.shard(shard)
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'This store can not be divided: each shard needs one of its own.', path: 'store', expected: 'a store that has shard()',
    fix: 'Use a store that can be divided, such as sqlite({ path }), or run without --shard and --workers.',
  })
}

/** A state is that of one shard for good: of another, keys would be missing that no event brings again. */
export function checkSameShard(checkpoint: Checkpoint, shard: Shard | null, refuse: (error: RehydrateError) => void): void {
  const before = checkpoint.shard ?? null
  if (before?.index === shard?.index && before?.of === shard?.of) return
  const [was, asked] = [nameOf(before), nameOf(shard)]
  refuse(new RehydrateError('CONFIG_INVALID', {
    message: `The store holds ${was}, and ${asked} is asked for.`, path: 'shard', expected: was, actual: asked,
    why: 'Which partitions a state is of is settled when it is begun.',
    fix: `Go on as ${was}. Another number of shards needs stores of its own, or --restart, which builds anew from the log.`,
  }))
}

function nameOf(shard: Shard | null): string {
  return shard === null ? 'the whole' : `shard ${formatShard(shard)}`
}

function belongsTo({ index, of }: Shard, projection: Projection): (partition: string) => boolean {
  return (partition) => shardOfPartition(partition, of, projection) === index
}

/** A log of which some partitions are not there. */
class ShardSource implements EventSource {
  readonly continuity: EventSource['continuity']
  readonly reading?: NonNullable<EventSource['reading']>
  readonly check: EventSource['check']
  readonly read: EventSource['read']
  readonly close: EventSource['close']
  readonly bounds: EventSource['bounds']
  readonly offsetAt?: NonNullable<EventSource['offsetAt']>
  readonly lacking?: NonNullable<EventSource['lacking']>

  constructor(source: EventSource, belongs: (partition: string) => boolean) {
    this.continuity = source.continuity
    this.check = (marks) => source.check(marks)
    this.read = (partition, range, limits, signal) => source.read(partition, range, limits, signal)
    this.close = () => source.close()
    this.bounds = async (options) => new Map([...(await source.bounds(options))].filter(([partition]) => belongs(partition)))
    if (source.reading !== undefined) this.reading = source.reading
    if (source.lacking !== undefined) this.lacking = (type, paths) => source.lacking!(type, paths)
    if (source.offsetAt !== undefined) this.offsetAt = (partition, timeMs) => source.offsetAt!(partition, timeMs)
  }
}

function invalid(message: string, expected: string, actual: unknown, why?: string): RehydrateError {
  const more = why === undefined ? {} : { why }
  return new RehydrateError('CONFIG_INVALID', { message, path: 'shard', expected, actual: String(actual), ...more })
}
