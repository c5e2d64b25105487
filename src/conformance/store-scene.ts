import { hashValue } from '../digest/hash.js'
import { isRehydrateError } from '../errors.js'
import type { ErrorCode } from '../errors.js'
import type { Checkpoint, Manifest, Writer } from '../store/checkpoint.js'
import { makeManifestHash } from '../store/checkpoint-codec.js'
import type { Entry, EntryKey, OpenWrite, PutEntry, StateStore, StoreSession } from '../store/contract.js'
import { encode } from '../value/canonical.js'
import type { Value } from '../value/canonical.js'
import { expectSame, expectTrue } from './kit.js'

/** A store to be tested, empty. */
export interface StoreUnderTest {
  readonly store: StateStore
  /** Another handle to the same data. Needed where `capabilities.durable`; the first handle may still be open. */
  reopen?(): Promise<StateStore>
  /** Ends everything and removes the data. */
  dispose(): Promise<void>
}

export type StoreCapability = 'durable'

export interface StoreFactory {
  /** What the store's own `capabilities` say. */
  readonly capabilities: readonly StoreCapability[]
  /** A new store that nothing was written to. Called once per case. */
  make(): Promise<StoreUnderTest>
}

export interface CaseBody {
  readonly name: string
  readonly needs?: readonly StoreCapability[]
  readonly body: (scene: StoreScene) => Promise<void>
}

export interface CommitOptions {
  readonly puts?: Iterable<PutEntry>
  readonly deletes?: Iterable<EntryKey>
  /** Position of partition "log/0"; the checkpoint differs with it. */
  readonly at?: number
  readonly sealed?: boolean
  readonly durable?: boolean
  readonly goLive?: boolean
  readonly expected?: Writer
}

/** A store under test with the words that the cases are written in. */
export class StoreScene {
  readonly store: StateStore
  readonly #under: StoreUnderTest
  #incarnations = 0

  constructor(under: StoreUnderTest) {
    this.store = under.store
    this.#under = under
  }

  reopen(): Promise<StateStore> {
    if (this.#under.reopen === undefined) throw new Error('A durable store under test needs reopen().')
    return this.#under.reopen()
  }

  write(generation = 1, over: Partial<OpenWrite> = {}, store = this.store): Promise<StoreSession> {
    const incarnation = `incarnation-${(this.#incarnations += 1)}`
    return store.open({ generation, mode: 'write', incarnation, owner: 'conformance 1', nowMs: 1_000, takeover: false, ...over })
  }

  read(generation = 1, store = this.store): Promise<StoreSession> {
    return store.open({ generation, mode: 'read' })
  }

  /** A generation with a sealed checkpoint and one entry; its writer is closed. */
  async sealed(generation: number, goLive: boolean): Promise<void> {
    const session = await this.write(generation)
    await commit(session, { puts: [put('orders', `of-${generation}`, generation)], sealed: true, goLive })
    await session.close()
  }

  async live(): Promise<number | null> {
    const rows = (await this.store.generations()).filter(({ live }) => live)
    check(rows.length <= 1, 'at most one generation is live', rows)
    return rows[0]?.generation ?? null
  }
}

export function put(collection: string, key: string, value: Value): PutEntry {
  const bytes = encode(value)
  return { collection, key, value, bytes, hash: hashValue(bytes) }
}

/** An entry of one of the engine's collections, whose bytes need not be a value's. */
export function rawPut(collection: string, key: string, bytes: Uint8Array): PutEntry {
  return { collection, key, value: null, bytes, hash: hashValue(bytes) }
}

export function makeCheckpoint(writer: Writer, at: number, sealed: boolean): Checkpoint {
  const part = `sh1:${'0'.repeat(64)}`
  const manifest: Manifest = {
    v: 1,
    sealed,
    root: part,
    position: { 'log/0': at },
    identity: { 'log/0': { id: 'ïd', proved: true } },
    projection: { name: 'conformance', version: 1, fingerprint: { shape: { name: part }, code: part, codeFrom: 'text' } },
    order: 'partition',
    holes: { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 },
    accepted: [{ code: 'LOG_GAP', partition: 'log/0', from: 3, to: 4 }],
    scrubbedAt: null,
    control: null,
  }
  const collections = { orders: { count: 1, root: part } }
  return { manifest, manifestHash: makeManifestHash(manifest), writer, collections, keys: null, writtenAtMs: at }
}

/** Commits as the engine does; what the options leave out is empty, unsealed, not durable. */
export async function commit(session: StoreSession, options: CommitOptions = {}): Promise<Checkpoint> {
  const writer = session.writer ?? { epoch: 0, incarnation: 'none' }
  const next = makeCheckpoint(writer, options.at ?? 0, options.sealed ?? false)
  const goLive = options.goLive === undefined ? {} : { goLive: options.goLive }
  await session.commit(
    { puts: options.puts ?? [], deletes: options.deletes ?? [] },
    next,
    options.expected ?? writer,
    { durable: options.durable ?? false, ...goLive },
  )
  return next
}

/** Everything in a collection, read by pages. */
export async function all(session: StoreSession, collection: string, page = 1_000): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for (;;) {
    const next = await session.scan(collection, entries.at(-1)?.key ?? null, page)
    entries.push(...next)
    check(next.length <= page, `a scan gives at most ${page} entries`, next.length)
    check(entries.length < 1_000_000, 'scanning page by page comes to an end', entries.length)
    if (next.length < page) return entries
  }
}

export async function keys(session: StoreSession, collection: string): Promise<readonly string[]> {
  return (await all(session, collection)).map(({ key }) => key)
}

/** Entries as text, in the order given: what two of them must agree in. */
export function shown(entries: readonly Entry[]): readonly string[] {
  return entries.map((entry) => {
    const { bytes, hash } = entry
    return JSON.stringify([entry.collection, entry.key, hex(bytes), hex(hash)])
  })
}

/** The same for a set of entries in no order. */
export function sortedShown(entries: readonly Entry[]): readonly string[] {
  return [...shown(entries)].sort()
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

export function check(holds: boolean, law: string, actual?: unknown): void {
  expectTrue(actual === undefined ? law : `${law}; got ${JSON.stringify(actual)}`, holds)
}

export function same(actual: unknown, expected: unknown, law: string): void {
  expectSame(law, actual, expected)
}

/** `work` must reject with a RehydrateError: of `code`, or any where that is null. */
export async function refuses(work: () => Promise<unknown>, code: ErrorCode | null, law: string): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (isRehydrateError(error) && (code === null || error.code === code)) return
    throw new Error(`${law}: expected ${code ?? 'a RehydrateError'}, got ${String(error)}`, { cause: error })
  }
  throw new Error(`${law}: expected ${code ?? 'a RehydrateError'}, but it went well`)
}
