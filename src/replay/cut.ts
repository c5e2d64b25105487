import { RehydrateError } from '../errors.js'
import type { MergePoint } from '../log/order.js'
import { offsetIn, positionFromJson, type Offset, type Position } from '../log/position.js'
import type { EventBatch, Holes, Mark } from '../log/source.js'
import type { Accepted, Checkpoint } from '../store/checkpoint.js'
import { mergeAccepted } from './accept.js'
import type { HeldRange } from './held.js'
import type { KeptOrder, Turn } from './turn.js'

/** Where a fold stands in its log: all that a checkpoint says of the input. */
export class Cut {
  readonly #position: Map<string, Offset>
  readonly #marks: Map<string, Mark>
  readonly #merge: Map<string, MergePoint>
  readonly #held: Map<string, HeldRange>
  /** Of these nothing is held any more since the last commit. */
  #heldGone = new Set<string>()
  /** The last record applied since a partition's mark was taken. */
  readonly #lastRecord = new Map<string, { readonly batch: EventBatch; readonly index: number }>()
  readonly #unproved = new Set<string>()
  #holes: Holes
  #accepted: readonly Accepted[]
  #toHaveWhole: ReadonlySet<string> = new Set()

  constructor(checkpoint: Checkpoint | null, marks: ReadonlyMap<string, Mark>, { merge, held }: KeptOrder) {
    this.#position = new Map(checkpoint === null ? [] : positionFromJson(checkpoint.manifest.position))
    this.#marks = new Map(marks)
    this.#merge = new Map(merge)
    this.#held = new Map(held)
    this.#holes = checkpoint?.manifest.holes ?? { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }
    this.#accepted = checkpoint?.manifest.accepted ?? []
    for (const [partition, { proved }] of Object.entries(checkpoint?.manifest.identity ?? {})) {
      if (!proved) this.#unproved.add(partition)
    }
  }

  get position(): Position { return this.#position }
  get holes(): Holes { return this.#holes }
  get accepted(): readonly Accepted[] { return this.#accepted }
  get merge(): KeptOrder['merge'] { return this.#merge }
  /** Events of moved keys up to the position that are not applied yet. */
  get held(): KeptOrder['held'] { return this.#held }

  /** Of these partitions nothing may be missing without a reason. */
  haveWhole(partitions: ReadonlySet<string>): void {
    this.#toHaveWhole = partitions
  }

  /** Moves past a turn that was applied. COMPACTED_HISTORY where something is missing of a partition that is to be whole. */
  advance(turn: Turn): void {
    const { partition } = turn.batch
    const missing = turn.holes?.compactedOrLost ?? 0
    if (missing > 0 && this.#toHaveWhole.has(partition)) throw notWhole(turn, missing, offsetIn(this.#position, partition))
    if (turn.held !== null) this.#hold(partition, turn.held.range)
    if (turn.held?.isRelease === true) return
    this.#position.set(partition, turn.through)
    if (turn.last !== null) this.#lastRecord.set(partition, turn.last)
    if (turn.merge !== null) this.#merge.set(partition, turn.merge)
    if (turn.holes !== null) this.#holes = sumOfHoles(this.#holes, turn.holes)
    for (const { from, to } of turn.gaps) {
      this.accept({ code: 'LOG_GAP', partition, from, to })
      this.#holes = sumOfHoles(this.#holes, { control: 0, aborted: 0, filtered: 0, compactedOrLost: to - from + 1 })
    }
  }

  #hold(partition: string, range: HeldRange | null): void {
    if (range !== null) this.#held.set(partition, range)
    else if (this.#held.delete(partition)) this.#heldGone.add(partition)
  }

  /** Partitions of which nothing is held any more, since the last call. */
  takeHeldGone(): string[] {
    const gone = [...this.#heldGone].filter((partition) => !this.#held.has(partition))
    this.#heldGone.clear()
    return gone
  }

  accept(accepted: Accepted): void {
    this.#accepted = mergeAccepted(this.#accepted, [accepted])
  }

  /** The source could not prove that this partition is still the one that was read. */
  unprovable(partition: string): void {
    this.#unproved.add(partition)
  }

  /** Puts these in the place of the ones taken: the source has learnt more of them. */
  keep(marks: ReadonlyMap<string, Mark>): void {
    for (const [partition, mark] of marks) this.#marks.set(partition, mark)
  }

  /** Marks at the position, taken where records were applied since the last call. */
  marks(): ReadonlyMap<string, Mark> {
    for (const [partition, { batch, index }] of this.#lastRecord) {
      const mark = batch.markAt(index)
      const before = this.#marks.get(partition)
      if (before !== undefined && before.id !== mark.id) throw recreated(partition, before, mark)
      this.#marks.set(partition, mark)
    }
    this.#lastRecord.clear()
    return this.#marks
  }

  identity(): Record<string, { id: string; proved: boolean }> {
    return Object.fromEntries([...this.marks()].map(([partition, { id }]) => [partition, { id, proved: !this.#unproved.has(partition) }]))
  }
}

export function sumOfHoles(a: Holes, b: Holes): Holes {
  return {
    control: a.control + b.control, aborted: a.aborted + b.aborted,
    filtered: a.filtered + b.filtered, compactedOrLost: a.compactedOrLost + b.compactedOrLost,
  }
}

function notWhole({ batch: { partition }, through }: Turn, missing: number, after: Offset): RehydrateError {
  return new RehydrateError('COMPACTED_HISTORY', {
    message: `${partition} lacks ${missing} of the offsets ${after + 1} to ${through}, and may be compacted or not: that may not be read.`,
    partition, offset: after + 1,
    why: 'If it is, earlier records of a key may be gone, and the projection folds all of them; if it is not, records are lost.',
    fix: 'Allow this user DescribeConfigs on the topic: then it is known, and what is lost can be accepted by name.',
  })
}

function recreated(partition: string, before: Mark, now: Mark): RehydrateError {
  return new RehydrateError('LOG_RECREATED', {
    message: `${partition} became another log while it was read.`, partition, expected: before.id, actual: now.id,
  })
}
