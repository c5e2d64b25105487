import type { Placement } from '../log/partitioner.js'
import { offsetIn, type Offset, type Position } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import type { HeldRange, HeldState } from './held.js'
import { orderedTurns } from './ordered-turns.js'
import { provedTurns } from './proved-turns.js'
import { turnsInSequence, type KeptOrder, type MergeState, type Turn, type TurnOptions, type Turns } from './turn.js'

/**
 * Where topics grew: the partitions that were there first are read first, then those that came with each growth. What lies in a partition
 * of a key that comes from one that is not read before it is held, and released at the end.
 */
export function movingTurns(options: TurnOptions, projection: Projection, placement: Placement, kept: KeptOrder): Turns {
  const held = new Map(kept.held)
  function* releases(): Generator<() => Turns> {
    for (let moves = 1; moves < placement.counts.length; moves++) yield () => releasing(options, projection, placement, held, moves)
  }
  function* parts(): Generator<() => Turns> {
    // A release that was interrupted comes first: what follows belongs behind it.
    if ([...held.values()].some(isBegun)) yield* releases()
    for (const upTo of tiersOf(options.upTo, placement)) {
      yield () => holding({ ...options, upTo }, projection, placement, held, kept.merge)
    }
    yield* releases()
  }
  return turnsInSequence(parts())
}

function isBegun({ after, moves, released }: HeldRange): boolean {
  return moves > 1 || released > after
}

function tiersOf(upTo: Position, placement: Placement): Position[] {
  const tiers = placement.counts.map(() => new Map<string, Offset>())
  for (const [partition, offset] of upTo) tiers[placement.tierOf(partition)]?.set(partition, offset)
  return tiers.filter((tier) => tier.size > 0)
}

/** Reads on, and leaves out what is held. */
function holding(
  options: TurnOptions, projection: Projection, placement: Placement, held: Map<string, HeldRange>, merge: MergeState,
): Turns {
  const reached = new Map<string, { readonly offset: Offset; readonly timeMs: number | null }>()
  let last: Offset | null = null
  const turns = provedTurns(orderedTurns(options, projection, merge), placement, ({ isHeld }, { batch }, i) => {
    if (isHeld) last = batch.offsetAt(i)
    return !isHeld
  })
  return {
    async next() {
      last = null
      const turn = await turns.next()
      if (turn === null) return null
      const { partition } = turn.batch
      const before = reached.get(partition)
        ?? { offset: offsetIn(options.from, partition), timeMs: merge.get(partition)?.timeMs ?? null }
      reached.set(partition, { offset: turn.through, timeMs: turn.merge?.timeMs ?? before.timeMs })
      if (last === null) return turn
      const start = held.get(partition)
        ?? { after: before.offset, highMs: before.timeMs, moves: 1, released: before.offset }
      const range = { ...start, upTo: last }
      held.set(partition, range)
      return { ...turn, held: { range, isRelease: false } }
    },
    close: () => turns.close(),
  }
}

/** Reads again what is held, for the keys that have moved so many times. */
function releasing(
  options: TurnOptions, projection: Projection, placement: Placement, held: Map<string, HeldRange>, moves: number,
): Turns {
  const ranges = new Map([...held].filter(([, range]) => range.moves <= moves))
  const again = orderedTurns(rangeOptions(options, ranges), projection, clocksOf(ranges), true)
  const turns = provedTurns(again, placement, (home, { batch }, i) => {
    const range = ranges.get(batch.partition) as HeldRange
    return home.isHeld && home.former.length === moves && (range.moves < moves || batch.offsetAt(i) > range.released)
  })
  return {
    async next() {
      const turn = await turns.next()
      if (turn === null) return null
      const range = releasedTo(ranges.get(turn.batch.partition) as HeldRange, turn, moves, placement)
      if (range === null) held.delete(turn.batch.partition)
      else held.set(turn.batch.partition, range)
      return { ...turn, duplicates: 0, holes: null, gaps: [], merge: null, last: null, held: { range, isRelease: true } }
    },
    close: () => turns.close(),
  }
}

/** A range that is already fixed, settled and proved to be the log. */
function rangeOptions({ settling: _settled, toEnd: _whole, ...options }: TurnOptions, ranges: HeldState): TurnOptions {
  return {
    ...options, marks: new Map(),
    from: new Map([...ranges].map(([partition, { after }]) => [partition, after])),
    upTo: new Map([...ranges].map(([partition, { upTo }]) => [partition, upTo])),
  }
}

/** Each partition's clock as it stood. */
function clocksOf(ranges: HeldState): MergeState {
  return new Map([...ranges].flatMap(([partition, { highMs }]) =>
    (highMs === null ? [] : [[partition, { timeMs: highMs, partition, offset: ranges.get(partition)?.after ?? -1 }] as const])))
}

function releasedTo(range: HeldRange, { through }: Turn, moves: number, { counts }: Placement): HeldRange | null {
  if (through < range.upTo) return { ...range, moves, released: Math.max(through, range.moves === moves ? range.released : range.after) }
  return moves + 1 < counts.length ? { ...range, moves: moves + 1, released: range.after } : null
}
