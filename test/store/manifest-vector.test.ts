import { readFileSync } from 'node:fs'
import { describe, expect, it, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { defineReducer, replay, type Manifest } from '../../src/index.js'
import { makeManifestHash } from '../../src/store/checkpoint-codec.js'
import { encode, type Value } from '../../src/value/canonical.js'

const { vector, mustDiffer, notTheHash } = JSON.parse(
  readFileSync(new URL('../../fixtures/digest/manifest.json', import.meta.url), 'utf8'),
) as {
  vector: { manifest: Manifest; bytes: string; hash: string }
  mustDiffer: { description: string; change: Partial<Manifest>; hash: string }[]
  notTheHash: { mistake: string; hash: string }[]
}

describe('the manifest of the vector', () => {
  test('has the canonical bytes and the hash that docs/formats.md prints', () => {
    expect(Buffer.from(encode(vector.manifest as unknown as Value)).toString('hex')).toBe(vector.bytes)
    expect(makeManifestHash(vector.manifest)).toBe(vector.hash)
    expect(readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8')).toContain(vector.hash)
  })

  it.each(mustDiffer)('has another hash with $description', ({ change, hash }) => {
    expect(makeManifestHash({ ...vector.manifest, ...change })).toBe(hash)
    expect(hash).not.toBe(vector.hash)
  })

  it.each(notTheHash)('is not hashed with $mistake', ({ hash }) => {
    expect(makeManifestHash(vector.manifest)).not.toBe(hash)
  })

  test('has the fields of every manifest that a replay writes, and no other', async () => {
    const counts = defineReducer<{ n: number }>({
      name: 'counts', version: 1, collection: 'counts', on: { Added: (count) => ({ n: (count?.n ?? 0) + 1 }) },
    })
    const source = memoryLog({ partitions: { p: [{ type: 'Added', key: 'a' }] } })
    const { seal } = await replay({ source, projection: counts, store: memoryStore() }).done
    expect(shapeOf(seal.manifest)).toEqual(shapeOf(vector.manifest))
  })

  test('shows every way in which a manifest can differ: each field changes in one variant', () => {
    const changed = new Set(mustDiffer.flatMap(({ change }) => Object.keys(change)))
    expect(Object.keys(vector.manifest).filter((name) => name !== 'v' && !changed.has(name))).toEqual([])
  })
})

/** Names of the fields, and of those with fixed names inside; partitions and waivers are anybody's. */
function shapeOf({ projection, holes, identity, ...rest }: Manifest): object {
  const names = (value: object): string[] => Object.keys(value).sort()
  return {
    manifest: names({ projection, holes, identity, ...rest }),
    projection: names(projection),
    fingerprint: names(projection.fingerprint),
    shape: names(projection.fingerprint.shape),
    holes: names(holes),
    identity: names(Object.values(identity)[0] as object),
  }
}
