import { ALGORITHM, BUCKET_CAPACITY, CODEC, DIGEST_VERSION } from '../digest/hash.js'
import { RehydrateError } from '../errors.js'
import { positionFromJson } from '../log/position.js'
import type { Mark } from '../log/source.js'
import { pagesOf } from '../replay/listed.js'
import { liveGeneration, MARKS, readEngineCollection } from '../replay/state.js'
import { assertIntact } from '../replay/working-set.js'
import { rootOfCollections } from '../store/checkpoint-codec.js'
import type { Checkpoint, CollectionRoot } from '../store/checkpoint.js'
import type { StateStore, StoreSession } from '../store/contract.js'
import { inputsOf } from './inputs.js'
import type { DigestFormat, DigestSide } from './side.js'

/** How this version makes roots. */
export const FORMAT: DigestFormat = {
  version: DIGEST_VERSION, algorithm: ALGORITHM, codec: CODEC.MESSAGEPACK, capacity: BUCKET_CAPACITY,
}

/** Opens a generation of a store for comparison, pinned: the live one, or the one named. STORE_NOT_FOUND, STORE_GENERATION. */
export async function openStoreSide(store: StateStore, name: string, generation?: number): Promise<StoreSide> {
  const number = generation ?? (await liveGeneration(store))
  const session = await store.open({ generation: number, mode: 'read' })
  try {
    return await storeSide(session, name, number)
  } catch (error) {
    await session.close()
    throw error
  }
}

/** A side that lies in a store of ours, open to what only the store itself can do. */
export interface StoreSide extends DigestSide {
  readonly generation: number
  readonly session: StoreSession
  readonly checkpoint: Checkpoint
  /** By partition. */
  readonly marks: ReadonlyMap<string, Mark>
}

/** The state that a reader has pinned, as a side; closing it closes the session. STORE_GENERATION where its digest is not built yet. */
export async function storeSide(session: StoreSession, name: string, generation: number): Promise<StoreSide> {
  const { checkpoint } = session
  if (checkpoint === null || checkpoint.collections === null) {
    throw new RehydrateError('STORE_GENERATION', {
      message: `Generation ${generation} of ${name} was never sealed: its digest is not built yet.`,
      fix: 'Let its replay finish first; `rehydrate generation list` shows the others.',
    })
  }
  const collections = checkedCollections(checkpoint.collections, checkpoint.manifest.root)
  const position = positionFromJson(checkpoint.manifest.position)
  const marks = await readEngineCollection<Mark>(session, MARKS, checkpoint)
  return {
    kind: 'digest', name, generation, session, checkpoint, marks,
    hello: {
      v: 1, format: FORMAT, manifest: checkpoint.manifest, manifestHash: checkpoint.manifestHash, collections,
      chains: Object.fromEntries([...position.keys()].map((partition) => [partition, marks.get(partition)?.input ?? null])),
    },
    standing: { position, known: 'proved' },
    pages: pagesOf(session),
    async values(collection, keys) {
      const entries = await session.load(collection, keys)
      assertIntact(entries)
      return new Map(entries.map((entry) => [entry.key, entry.bytes]))
    },
    inputs: async () => inputsOf(marks, position),
    traffic: () => null,
    close: () => session.close(),
  }
}

/** The user's collections, which must give the state root of the manifest (rule 5). STATE_CORRUPT. */
function checkedCollections(roots: Readonly<Record<string, CollectionRoot>>, root: string | null): Record<string, CollectionRoot> {
  const own = Object.entries(roots).filter(([name]) => !name.startsWith('$'))
  const actual = rootOfCollections(own)
  if (actual === root) return Object.fromEntries(own)
  throw new RehydrateError('STATE_CORRUPT', {
    message: 'The collection roots of the checkpoint do not give its state root.', expected: root, actual,
  })
}
