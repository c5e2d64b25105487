import { formatShard, type Shard } from '../index.js'
import { type Flags, usage, wholeNumber } from './command.js'

/** `--shard I/N`; undefined where it was not given. USAGE for what names no shard. */
export function shardOf(flags: Flags): Shard | undefined {
  const text = flags.text('shard')
  if (text === undefined) return undefined
  const match = /^(\d+)\/(\d+)$/.exec(text)
  const shard = { index: Number(match?.[1]), of: Number(match?.[2]) }
  if (match === null || !Number.isSafeInteger(shard.index) || !Number.isSafeInteger(shard.of)) {
    throw usage(`--shard ${text} is not a shard.`, {
      expected: 'INDEX/COUNT with INDEX from 0, such as 0/8 for the first of eight', actual: text,
    })
  }
  if (shard.index < shard.of) return shard
  const of = Math.max(1, shard.of)
  throw usage(`There is no shard ${text}: they are counted from 0.`, {
    expected: `${formatShard({ index: 0, of })} to ${formatShard({ index: of - 1, of })}`, actual: text,
  })
}

/** Every shard of so many. */
export function shardsOf(count: number): Shard[] {
  return Array.from({ length: count }, (_, index) => ({ index, of: count }))
}

/** A number of shards from a flag; undefined where it was not given. USAGE for 0. */
export function countOf(flags: Flags, name: string): number | undefined {
  const text = flags.text(name)
  if (text === undefined) return undefined
  const count = wholeNumber(`--${name}`, text)
  if (count > 0) return count
  throw usage(`--${name} takes 1 or more.`, { expected: 'a whole number from 1', actual: text })
}
