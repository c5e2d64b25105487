import { RehydrateError } from '../errors.js'
import { misplacedPartitions } from '../log/partitioner.js'
import type { Bounds, BoundsOptions, EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'

/**
 * The bounds of a log that may be written to at this moment. Where keys move, the partitions that came last are looked at first: what
 * belongs before an event that is seen there is then within the bounds of the others.
 */
export async function boundsInOrder(
  source: EventSource, { placement }: Projection, options: BoundsOptions,
): Promise<ReadonlyMap<string, Bounds>> {
  const later = new Map<string, Bounds>()
  for (let tier = (placement?.counts.length ?? 1) - 1; tier > 0; tier--) {
    for (const [partition, bound] of await source.bounds(options)) {
      if (placement?.tierOf(partition) === tier) later.set(partition, bound)
    }
  }
  const bounds = await source.bounds(options)
  if (placement?.moves !== true) return bounds
  return new Map([...bounds].flatMap(([partition, bound]): [string, Bounds][] => {
    if (placement.tierOf(partition) === 0) return [[partition, bound]]
    const seen = later.get(partition)
    // One that has come since is there from the next look on.
    return seen === undefined ? [] : [[partition, seen]]
  }))
}

/** CONFIG_INVALID where the partitions do not fit the declared partitioner. `isWhole`: all of the log is seen, not a shard of it. */
export function checkPlacement(
  { order, placement }: Projection, partitions: Iterable<string>, isWhole: boolean, refuse: (error: RehydrateError) => void,
): void {
  const wrong = placement === null ? null : misplacedPartitions(order, placement, partitions, isWhole)
  if (wrong === null) return
  refuse(new RehydrateError('CONFIG_INVALID', {
    message: wrong, path: 'partitioner', why: `It is declared for order '${order}'.`,
    fix: "Read the topics that fit, correct partitioner.counts (`rehydrate plan` says what the log shows), or use order 'time'.",
  }))
}
