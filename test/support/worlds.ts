import { hostWorld } from '../../src/host/world.js'
import { startRun } from '../../src/replay/run.js'
import type { ReplayOptions, SealedRun, World } from '../../src/replay/api.js'
import type { EventBatch, EventSource } from '../../src/index.js'

/** A seeded generator of numbers in [0, 1): xorshift32. */
export function seeded(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 2 ** 32
  }
}

const codes = new Map<string | null, Promise<string | null>>()

/** The real world, in which the seed decides which partition is read next, and the code of a projection is read once. */
export function worldOf(seed: number, over: Partial<World> = {}): World {
  const random = seeded(seed)
  const world = hostWorld()
  const codeOf: World['codeOf'] = (projection) => {
    const code = codes.get(projection.module) ?? world.codeOf(projection)
    codes.set(projection.module, code)
    return code
  }
  return { ...world, codeOf, pick: (n) => Math.floor(random() * n), ...over }
}

export function runIn(world: World, options: ReplayOptions): Promise<SealedRun> {
  return startRun(options, world).done
}

/** The error a run ends with. */
export async function failureOf(promise: Promise<unknown>): Promise<any> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('It ended well, and should not have.')
}

/** A source whose deliveries pass through `change`; for faults that a sound source does not show. */
export function tampered(source: EventSource, change: (batch: EventBatch) => EventBatch | readonly EventBatch[]): EventSource {
  return {
    continuity: source.continuity,
    check: (marks) => source.check(marks),
    bounds: (options) => source.bounds(options),
    close: () => source.close(),
    async *read(partition, range, limits, signal) {
      for await (const batch of source.read(partition, range, limits, signal)) {
        const changed = change(batch)
        if (Array.isArray(changed)) yield* changed as EventBatch[]
        else yield changed as EventBatch
      }
    },
  }
}

/** A batch with other records: those of `base` at the given places, with the given offsets. */
export function batchWith(base: EventBatch, records: readonly { readonly from: number; readonly offset: number }[], through: number): EventBatch {
  const at = (i: number): { from: number; offset: number } => records[i] as { from: number; offset: number }
  return {
    partition: base.partition, length: records.length, through, holes: base.holes, bytes: base.bytes,
    offsetAt: (i) => at(i).offset,
    typeAt: (i) => base.typeAt(at(i).from),
    keyAt: (i) => base.keyAt(at(i).from),
    event: (i) => ({ ...base.event(at(i).from), offset: at(i).offset }),
    markAt: (i) => base.markAt(at(i).from),
  }
}
