import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkProof, type Proof, proofText, proveKey } from '../../src/verify/proof.js'
import type { DigestSide } from '../../src/verify/side.js'
import { HOSTILE, sealedValues } from '../support/proofs.js'
import { failureOf } from '../support/worlds.js'

const STEPS = ['form', 'value', 'entry', 'collection', 'state', 'manifest']

async function proofOf(side: DigestSide, collection: string, key: string): Promise<Proof> {
  return await proveKey(side, collection, key)
}

describe('a proof', () => {
  test.each([0, 1, 16, 17, 300, 5_000])('of each key, or of its absence, holds in a collection of %i keys', async (count) => {
    const side = await sealedValues(count)
    const present = fc.sample(fc.nat(Math.max(0, count - 1)), 20).map((i) => `k${i}`)
    for (const key of [...(count === 0 ? [] : present), 'absent', 'k-1', '😀']) {
      const proof = await proofOf(side, 'values', key)
      expect(proof.kind).toBe(present.includes(key) && count > 0 ? 'inclusion' : 'absence')
      const { steps, failure, subject } = checkProof(proofText(proof), { root: side.hello.manifest.root!, manifest: side.hello.manifestHash })
      expect([failure, steps.map(({ step }) => step)]).toEqual([null, [...STEPS, 'given']])
      expect(subject).toEqual(proof)
    }
    const text = proofText(await proofOf(side, 'values', 'absent'))
    if (count === 5_000) expect(text.length).toBeLessThan(5_000)
  })

  test('keeps a hostile value exactly, in JSON and in bytes', async () => {
    const side = await sealedValues(3)
    const proof = await proofOf(side, 'odd', 'ü/😀')
    expect(proof.value?.json).toEqual(HOSTILE)
    const { failure, subject } = checkProof(proofText(proof))
    expect(failure).toBeNull()
    expect(subject!.value!.json).toMatchObject({ big: HOSTILE.big, bytes: 'AP8B' })
    expect((await proofOf(side, 'odd', 'null')).value).toEqual({ json: null, bytes: 'wA==' })
  })

  test('of a key in a collection that is empty, or is not there, needs no path', async () => {
    const side = await sealedValues(3)
    for (const collection of ['empty', 'other']) {
      const proof = await proofOf(side, collection, 'k0')
      expect([proof.kind, proof.path, checkProof(proofText(proof)).failure]).toEqual(['absence', null, null])
    }
  })

  test('is not about another state than the one given', async () => {
    const text = proofText(await proofOf(await sealedValues(3), 'values', 'k0'))
    const other = `sh1:${'0'.repeat(64)}`
    for (const given of [{ root: other }, { manifest: other }]) {
      expect(checkProof(text, given)).toMatchObject({ steps: expect.arrayContaining([expect.objectContaining({ step: 'given', ok: false })]), failure: { code: 'PROOF_INVALID' } })
    }
  })

  test('holds for no other key, value, count, position or waiver', async () => {
    const side = await sealedValues(300)
    const honest = JSON.parse(proofText(await proofOf(side, 'values', 'k7')))
    const failing = (change: (proof: any) => void): string | undefined => {
      const proof = structuredClone(honest)
      change(proof)
      const { steps, failure } = checkProof(JSON.stringify(proof))
      expect(failure === null).toBe(steps.at(-1)!.ok)
      return failure === null ? undefined : steps.at(-1)!.step
    }
    expect(failing(() => {})).toBeUndefined()
    expect(failing((proof) => { proof.key = 'k8' })).toBe('entry')
    expect(failing((proof) => { proof.value.json.i = 8 })).toBe('value')
    expect(failing((proof) => { proof.value = { json: 1, bytes: 'AQ==' } })).toBe('entry')
    expect(failing((proof) => { Object.assign(proof, { kind: 'absence', value: null }) })).toBe('entry')
    expect(failing((proof) => { Object.assign(proof, { kind: 'absence', value: null, path: null }) })).toBe('entry')
    expect(failing((proof) => { proof.path.bucket.reverse() })).toBe('collection')
    expect(failing((proof) => { proof.path.siblings.reverse() })).toBe('collection')
    expect(failing((proof) => { proof.path.count++ })).toBe('collection')
    expect(failing((proof) => { proof.path.count = 16 })).toBe('collection')
    expect(failing((proof) => { delete proof.collections.odd })).toBe('state')
    expect(failing((proof) => { proof.manifest.position['log/ü@1']++ })).toBe('manifest')
    expect(failing((proof) => { proof.manifest.accepted.push({ code: 'LOG_GAP' }) })).toBe('manifest')
    expect(failing((proof) => { proof.manifest.more = 1 })).toBe('form')
    expect(failing((proof) => { proof.v = 2 })).toBe('form')
  })

  test('of an absence can not be made from the bucket of another place', async () => {
    const side = await sealedValues(300)
    const [present, absent] = [await proofOf(side, 'values', 'k7'), await proofOf(side, 'values', 'absent')]
    const forged = { ...absent, key: 'k7' }
    expect(checkProof(proofText(forged)).failure?.code).toBe('PROOF_INVALID')
    expect(checkProof(proofText({ ...present, kind: 'absence', value: null, path: absent.path })).failure?.code).toBe('PROOF_INVALID')
  })

  test('changed in any one character holds no more, or says the same', async () => {
    const text = proofText(await proofOf(await sealedValues(40), 'values', 'k7'))
    const honest = JSON.stringify(checkProof(text).subject)
    fc.assert(fc.property(fc.nat(text.length - 2), fc.constantFrom(...'0123456789abcdefX"}{ ,:=/+é'), (at, char) => {
      const { failure, subject } = checkProof(text.slice(0, at) + char + text.slice(at + 1))
      return failure !== null || JSON.stringify(subject) === honest
    }), { numRuns: 2_000 })
  })

  test('that is no JSON, or not of this form, fails at its form and never throws anything else', () => {
    for (const text of ['', 'null', '[]', '1', '"x"', '{', '{}', '{"v":1}', '\ufeff{}', '[[[[', `${'['.repeat(5_000)}`, '{"v":18446744073709551616}']) {
      const { steps, failure } = checkProof(text)
      expect([text, failure?.code, steps]).toEqual([text, 'PROOF_INVALID', [expect.objectContaining({ step: 'form', ok: false })]])
    }
    fc.assert(fc.property(fc.json(), (text) => checkProof(text).failure?.code === 'PROOF_INVALID'), { numRuns: 300 })
  })

  test('is not made where row, page and root do not give each other, nor of a key that no state has', async () => {
    const side = await sealedValues(300)
    const other = await sealedValues(301)
    const bytes = (await side.values('values', ['k8'])).get('k8')!
    const corrupt: readonly Partial<DigestSide>[] = [
      { values: async () => new Map() },
      { values: async () => new Map([['k7', bytes]]) },
      { pages: other.pages },
      { pages: async () => new Map() },
      { hello: { ...side.hello, collections: other.hello.collections } },
    ]
    for (const over of corrupt) expect(await failureOf(proveKey({ ...side, ...over }, 'values', 'k7'))).toMatchObject({ code: 'STATE_CORRUPT' })
    const phantom: DigestSide = { ...side, values: async () => new Map([['absent', bytes]]) }
    expect(await failureOf(proveKey(phantom, 'values', 'absent'))).toMatchObject({ code: 'STATE_CORRUPT' })
    for (const key of ['', '\ud800', 'x'.repeat(1_025)]) expect(await failureOf(proveKey(side, 'values', key))).toMatchObject({ code: 'KEY_INVALID' })
  })
})
