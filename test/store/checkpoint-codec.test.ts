import { describe, expect, it } from 'vitest'
import { makeCheckpoint } from '../../src/conformance/store-scene.js'
import { formatHash, hashValue, manifestHash } from '../../src/digest/hash.js'
import { checkpointBytes, checkpointFromBytes, makeManifestHash } from '../../src/store/checkpoint-codec.js'
import { encode } from '../../src/value/canonical.js'
import type { Value } from '../../src/value/canonical.js'

const checkpoint = makeCheckpoint({ epoch: 3, incarnation: 'ïncarnation' }, 41, true)

describe('checkpoints as bytes', () => {
  it('come back as they were', () => {
    expect(checkpointFromBytes(checkpointBytes(checkpoint))).toEqual(checkpoint)
    const pending = { ...checkpoint, collections: null }
    expect(checkpointFromBytes(checkpointBytes(pending))).toEqual(pending)
  })

  it('are the same bytes whatever the order of their fields', () => {
    const { manifest, ...rest } = checkpoint
    expect(Buffer.compare(checkpointBytes({ ...rest, manifest }), checkpointBytes(checkpoint))).toBe(0)
  })

  it('are STATE_CORRUPT after any flip and at any cut', () => {
    const whole = checkpointBytes(checkpoint)
    for (let at = 0; at < whole.length; at++) {
      const flipped = Uint8Array.from(whole)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      expect(() => checkpointFromBytes(flipped)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
      expect(() => checkpointFromBytes(whole.subarray(0, at))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
    }
  })

  it('are STATE_CORRUPT where the manifest is not the one its hash names', () => {
    const other = { ...checkpoint, manifest: { ...checkpoint.manifest, position: { 'log/0': 42 } } }
    expect(() => checkpointFromBytes(checkpointBytes(other))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
  })

  it('the hash of a manifest is rule 6 over its canonical bytes, and covers no time and no writer', () => {
    const { manifest } = checkpoint
    expect(makeManifestHash(manifest)).toBe(formatHash(manifestHash(encode(manifest as unknown as Value))))
    expect(makeManifestHash(manifest)).not.toBe(formatHash(hashValue(encode(manifest as unknown as Value))))
    expect(makeCheckpoint({ epoch: 9, incarnation: 'other' }, 41, true).manifestHash).toBe(checkpoint.manifestHash)
  })
})
