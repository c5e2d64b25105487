import { compareUtf8 } from '../log/position.js'
import { DIGEST } from '../replay/listed.js'
import { MARKS, scanPages } from '../replay/state.js'
import { assertIntact } from '../replay/working-set.js'
import type { Entry, StoreSession } from '../store/contract.js'

/** The first entry in which two states differ; null: absent. */
export interface FirstDifference {
  readonly collection: string
  readonly key: string
  readonly sealed: Entry | null
  readonly rebuilt: Entry | null
}

/** Entries of the engine that no root covers. */
const UNCOVERED: ReadonlySet<string> = new Set([DIGEST, MARKS])

/**
 * By collection and key in the order of their UTF-8 bytes, the engine's own collections last: a merge of two scans. STATE_CORRUPT for an
 * entry that does not fit its hash.
 */
export async function firstDifference(sealed: StoreSession, rebuilt: StoreSession): Promise<FirstDifference | null> {
  const names = new Set([...(await sealed.collections()), ...(await rebuilt.collections())].filter((name) => !UNCOVERED.has(name)))
  const isOwn = (name: string): number => (name.startsWith('$') ? 1 : 0)
  for (const collection of [...names].sort((a, b) => isOwn(a) - isOwn(b) || compareUtf8(a, b))) {
    const [ours, theirs] = [entriesOf(sealed, collection), entriesOf(rebuilt, collection)]
    for (;;) {
      const [a, b] = [await ours(), await theirs()]
      if (a === null && b === null) break
      const order = a === null ? 1 : b === null ? -1 : compareUtf8(a.key, b.key)
      const isSame = order === 0 && Buffer.compare((a as Entry).bytes, (b as Entry).bytes) === 0
      if (!isSame) {
        const { key } = (order <= 0 ? a : b) as Entry
        return { collection, key, sealed: order <= 0 ? a : null, rebuilt: order >= 0 ? b : null }
      }
    }
  }
  return null
}

/** The entries of a collection one by one; null at the end. */
function entriesOf(session: StoreSession, collection: string): () => Promise<Entry | null> {
  const pages = scanPages(session, collection)
  let page: readonly Entry[] = []
  let next = 0
  return async () => {
    if (next === page.length) {
      const { done, value } = await pages.next()
      if (done === true) return null
      assertIntact(value)
      page = value
      next = 0
    }
    return page[next++] as Entry
  }
}
