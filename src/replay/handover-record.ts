import { hashEntries } from '../digest/batch.js'
import { RehydrateError } from '../errors.js'
import type { Offset, Position } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import { tablesOf } from '../projection/tables.js'
import type { Checkpoint } from '../store/checkpoint.js'
import type { StateStore, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import type { World } from './api.js'
import { readEngineCollection } from './state.js'
import { updateDigest } from './upkeep.js'

/** Holds one entry while a consumer group goes on in our place: no root of the manifest covers it, so the proof stays what it was. */
const HANDOVER = '$handover'
const ENTRY = 'group'

/** To whom a state was handed over. Positions are inclusive, −1 where the group is to begin at offset 0. */
export interface HandoverRecord {
  readonly group: string
  /** 'intended': our writer has stopped, and the group's offsets may be set or not. 'done': they were, and read back. */
  readonly step: 'intended' | 'done'
  /** What the group had committed before, of our partitions. */
  readonly before: Position
  /** What its offsets are set to. */
  readonly to: Position
}

/** True where the checkpoint's state was handed over and not taken back: then no replay may write it. */
export function isHandedOver(checkpoint: Checkpoint | null): boolean {
  return checkpoint?.collections?.[HANDOVER] !== undefined
}

/** Null where there is none. STATE_CORRUPT where it is not what was written. */
export async function readHandover(session: StoreSession): Promise<HandoverRecord | null> {
  if (!isHandedOver(session.checkpoint)) return null
  const kept = (await readEngineCollection<StoredRecord>(session, HANDOVER, session.checkpoint)).get(ENTRY) as StoredRecord
  const { group, step, before, to } = kept
  return { group, step, before: new Map(Object.entries(before)), to: new Map(Object.entries(to)) }
}

interface StoredRecord {
  readonly group: string
  readonly step: HandoverRecord['step']
  readonly before: Readonly<Record<string, Offset>>
  readonly to: Readonly<Record<string, Offset>>
}

/** HANDED_OVER, naming the group. */
export function handedOver({ group, step }: HandoverRecord): RehydrateError {
  return new RehydrateError('HANDED_OVER', {
    message: step === 'done'
      ? `This state was handed over: the consumer group ${group} goes on from here.`
      : `This state is being handed over to the consumer group ${group}, and that was not finished.`,
    actual: group,
    ...(step === 'done' ? {} : {
      fix: `Run \`rehydrate handover --group ${group} --execute\` again, which finishes it, or take the state back with `
        + '`rehydrate handover --back --execute`.',
    }),
  })
}

/** One generation, taken for writing to hand it over or to take it back: whoever wrote it before is fenced off. */
export class HandoverWriter {
  readonly #session: StoreSession
  readonly #world: World
  #checkpoint: Checkpoint
  #record: HandoverRecord | null

  private constructor(session: StoreSession, checkpoint: Checkpoint, record: HandoverRecord | null, world: World) {
    this.#session = session
    this.#checkpoint = checkpoint
    this.#record = record
    this.#world = world
  }

  /** STORE_GENERATION where there is no digest yet: it was never sealed. */
  static async open(store: StateStore, generation: number, projection: Projection, world: World): Promise<HandoverWriter> {
    const session = await store.open({
      generation, mode: 'write', incarnation: world.token(), owner: world.owner, nowMs: world.clock.nowMs(), takeover: true,
      tables: tablesOf(projection),
    })
    try {
      const { checkpoint } = session
      if (checkpoint === null || checkpoint.collections === null) {
        throw new RehydrateError('STORE_GENERATION', { message: `Generation ${generation} was never sealed.`, actual: generation })
      }
      return new HandoverWriter(session, checkpoint, await readHandover(session), world)
    } catch (error) {
      await session.close()
      throw error
    }
  }

  get checkpoint(): Checkpoint { return this.#checkpoint }
  /** As it stands in the store. */
  get record(): HandoverRecord | null { return this.#record }

  /** Durably, in one commit with the digest; null takes the record away. The manifest stays. FENCED where another one took over. */
  async keep(record: HandoverRecord | null): Promise<void> {
    const { writer } = this.#session
    const { collections: roots } = this.#checkpoint
    if (writer === null || roots === null || record === this.#record) return
    const puts = record === null ? [] : [...hashEntries([{ collection: HANDOVER, key: ENTRY, value: storedForm(record) }])]
    const deletes = record === null ? [{ collection: HANDOVER, key: ENTRY }] : []
    const digest = await updateDigest(this.#session, roots, { puts, deletes })
    const next: Checkpoint = { ...this.#checkpoint, writer, collections: digest.roots, writtenAtMs: this.#world.clock.nowMs() }
    const changes = { puts: [...puts, ...digest.puts], deletes: [...deletes, ...digest.deletes] }
    await this.#session.commit(changes, next, writer, { durable: true })
    this.#checkpoint = next
    this.#record = record
  }

  /** FENCED where another one took over. */
  async assertNewest(): Promise<void> {
    await this.#session.beat(this.#world.clock.nowMs())
  }

  close(): Promise<void> { return this.#session.close() }
}

function storedForm({ group, step, before, to }: HandoverRecord): Value {
  return { group, step, before: Object.fromEntries(before), to: Object.fromEntries(to) }
}
