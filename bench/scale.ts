import type { DataSet } from './data.js'

/** How large a run of the bench is. */
export interface Scale {
  readonly rounds: number
  readonly fold: DataSet
  /** Events in one transaction, for the baselines that are tried. */
  readonly transactions: readonly number[]
  /** Small: autocommit is as slow as the disk's syncs. */
  readonly autocommit: DataSet
  readonly partitioned: DataSet
  /** Logs of different length over the same keys. */
  readonly lengths: readonly DataSet[]
  readonly boundedBytes: number
  readonly hashKeys: number
  readonly hashUpdateKeys: number
  /** Of two states that are compared, by every means. */
  readonly comparedKeys: number
  /** The same with maintained digests alone: sizes, and calls in one process. */
  readonly digests: { readonly keys: readonly number[]; readonly calls: number }
  /** Logs in which some keys lost an event. */
  readonly blame: readonly { readonly events: number; readonly keys: number; readonly faults: number }[]
  /** Kept as canonical bytes, and as a table with columns. */
  readonly columns: DataSet
  /** Written to a topic. */
  readonly kafka: DataSet
  readonly pause: { readonly log: DataSet; readonly dirtyKeys: number; readonly checkpoints: number }
}

const MIB = 1_024 * 1_024
const log = (events: number, keys: number, partitions = 1): DataSet => ({ events, keys, partitions })

export const SHORT: Scale = {
  rounds: 2,
  fold: log(500_000, 50_000),
  transactions: [10_000],
  autocommit: log(20_000, 2_000),
  partitioned: log(250_000, 25_000, 4),
  lengths: [log(100_000, 100_000), log(500_000, 100_000)],
  boundedBytes: 16 * MIB,
  hashKeys: 200_000,
  hashUpdateKeys: 200_000,
  comparedKeys: 20_000,
  digests: { keys: [20_000], calls: 10 },
  blame: [{ events: 500, keys: 1, faults: 1 }, { events: 20_000, keys: 100, faults: 3 }],
  columns: log(100_000, 10_000),
  kafka: log(200_000, 20_000),
  pause: { log: log(100_000, 100_000), dirtyKeys: 10_000, checkpoints: 3 },
}

export const FULL: Scale = {
  rounds: 3,
  fold: log(10_000_000, 1_000_000),
  transactions: [10_000],
  autocommit: log(20_000, 2_000),
  partitioned: log(1_000_000, 100_000, 4),
  lengths: [log(1_000_000, 1_000_000), log(3_000_000, 1_000_000), log(10_000_000, 1_000_000)],
  boundedBytes: 64 * MIB,
  hashKeys: 1_000_000,
  hashUpdateKeys: 5_000_000,
  comparedKeys: 1_000_000,
  digests: { keys: [1_000_000, 5_000_000], calls: 100 },
  blame: [{ events: 165_000, keys: 1, faults: 1 }, { events: 1_000_000, keys: 5_000, faults: 10 }],
  columns: log(1_000_000, 100_000),
  kafka: log(2_000_000, 500_000),
  pause: { log: log(1_000_000, 1_000_000), dirtyKeys: 100_000, checkpoints: 10 },
}
