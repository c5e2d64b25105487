import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { signReceipt, verifyEd25519 } from '../../src/host/keys.js'
import { checkReceipt, type ReceiptFacts, receiptText, signedReceiptText } from '../../src/verify/receipt.js'
import { FACTS, KEYS, NEUTRAL_POINT, OTHER_KEYS, receiptOf, signedByNobody, SMALL_ORDER_KEYS } from '../support/proofs.js'

const check = (text: string, trusted?: string): ReturnType<typeof checkReceipt> => checkReceipt(text, verifyEd25519, trusted)

function failing(text: string, trusted?: string): string | undefined {
  const { steps, failure } = check(text, trusted)
  expect(failure?.code).toBe(steps.at(-1)!.ok ? undefined : 'PROOF_INVALID')
  return failure === null ? undefined : steps.at(-1)!.step
}

const MATCH: ReceiptFacts = {
  ...FACTS, verdict: 'match', differing: 0, against: { ...FACTS.against, root: FACTS.rebuilt.root },
  collections: { airports: { ...FACTS.collections['airports']!, against: FACTS.collections['airports']!.rebuilt } },
}
const NOTHING: ReceiptFacts = {
  ...FACTS, verdict: 'inconclusive', reason: 'POSITIONS_DIFFER', grade: null, differing: null, collections: {},
  against: { ...FACTS.against, root: null, position: null, known: null },
}

describe('a receipt', () => {
  test('says what was signed, who signed it, and whether anybody vouches for the key', () => {
    const { subject, steps, failure } = check(receiptOf())
    expect(failure).toBeNull()
    expect(steps.map(({ step }) => step)).toEqual(['form', 'key', 'signature', 'facts'])
    expect(subject).toMatchObject({ facts: FACTS, vouched: false, signer: expect.stringMatching(/^sh1:[0-9a-f]{64}$/) })
    expect(check(receiptOf(), KEYS.publicKey).subject).toEqual({ ...subject, vouched: true })
  })

  test('is signed over its exact bytes, with the key whose public half stands in it', () => {
    const { receipt, signature, publicKey } = signReceipt(FACTS, KEYS.privateKey)
    expect(receipt).toBe(receiptText(FACTS))
    expect(JSON.parse(receipt)).toEqual({ v: 1, ...FACTS })
    expect(publicKey).toBe(KEYS.publicKey)
    expect(Buffer.from(signature, 'base64')).toHaveLength(64)
    expect(signReceipt(FACTS, KEYS.privateKey).signature).toBe(signature)
    expect(signedReceiptText({ receipt, signature, publicKey })).toBe(receiptOf())
  })

  test('of another key than the one given fails at the key', () => {
    expect(failing(receiptOf(), OTHER_KEYS.publicKey)).toBe('key')
    for (const pem of ['', 'nonsense', KEYS.privateKey]) expect(failing(receiptOf(), pem)).toBe('key')
  })

  test('that was changed fails at its signature, whatever was changed and however small', () => {
    const honest = JSON.parse(receiptOf())
    expect(failing(JSON.stringify({ ...honest, receipt: `${honest.receipt} ` }))).toBe('signature')
    expect(failing(JSON.stringify({ ...honest, receipt: honest.receipt.replace('"mismatch"', '"match"') }))).toBe('signature')
    expect(failing(JSON.stringify({ ...honest, receipt: JSON.stringify(JSON.parse(honest.receipt), null, 1) }))).toBe('signature')
    expect(failing(JSON.stringify({ ...honest, publicKey: OTHER_KEYS.publicKey }))).toBe('signature')
    expect(failing(JSON.stringify({ ...honest, signature: Buffer.alloc(64).toString('base64') }))).toBe('signature')
    expect(failing(JSON.stringify({ ...honest, signature: honest.signature.slice(4) }))).toBe('form')
    expect(failing(JSON.stringify({ ...honest, more: 1 }))).toBe('form')
    expect(failing(JSON.stringify({ ...honest, publicKey: 'x' }))).toBe('key')
  })

  test('with a key of no point of the curve is refused', () => {
    const der = createPublicKey(KEYS.publicKey).export({ type: 'spki', format: 'der' })
    der.fill(0xff, 12)
    const publicKey = `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`
    expect(failing(JSON.stringify({ ...JSON.parse(receiptOf()), publicKey }))).toBe('signature')
  })

  test('with a key for which anybody can sign is refused, though OpenSSL takes it', () => {
    const { receipt, signature } = JSON.parse(signedByNobody(FACTS, NEUTRAL_POINT))
    expect(verifyEd25519(Buffer.from(receipt), Buffer.from(signature, 'base64'), Buffer.from(NEUTRAL_POINT, 'hex'))).toBe(true)
    expect(SMALL_ORDER_KEYS).toHaveLength(14)
    for (const key of SMALL_ORDER_KEYS) expect(failing(signedByNobody(FACTS, key))).toBe('key')
  })

  test.each<readonly [string, Partial<Record<keyof ReceiptFacts, unknown>>]>([
    ['match, with keys that differ', { ...MATCH, differing: 1 }],
    ['match, of other roots', { ...MATCH, against: FACTS.against }],
    ['match, without roots', { ...MATCH, rebuilt: { ...FACTS.rebuilt, root: null }, against: { ...FACTS.against, root: null } }],
    ['match, of a collection that is not the same', { ...MATCH, collections: FACTS.collections }],
    ['match, that found more', { ...MATCH, truncated: true }],
    ['match, without a grade', { ...MATCH, grade: null }],
    ['mismatch, of one root', { against: MATCH.against }],
    ['mismatch, of equal collections', { collections: {} }],
    ['inconclusive, with a number of differences', { ...NOTHING, differing: 0 }],
    ['inconclusive, with a grade', { ...NOTHING, grade: 'maintained' }],
    ['mismatch, with none', { differing: 0 }],
    ['inconclusive, without a reason', { verdict: 'inconclusive' }],
    ['mismatch, with a reason', { reason: 'POSITIONS_DIFFER' }],
    ['a verdict that there is not', { verdict: 'fine' }],
    ['a field that nobody knows', { more: 1 } as object],
    ['a time that is none', { issuedAt: 'yesterday' }],
    ['a root that is none', { rebuilt: { ...FACTS.rebuilt, root: 'sh1:1' } }],
  ])('that was signed and says %s fails at its facts', (_, over) => {
    expect(failing(receiptOf({ ...FACTS, ...over }))).toBe('facts')
    expect(() => signReceipt({ ...FACTS, ...over } as ReceiptFacts, KEYS.privateKey)).toThrow(expect.objectContaining({ code: 'UNEXPECTED' }))
  })

  test('can say that nothing could be said, or that nothing differs', () => {
    expect(check(receiptOf(NOTHING)).subject?.facts).toEqual(NOTHING)
    expect(check(receiptOf(MATCH)).subject?.facts).toEqual(MATCH)
  })

  test('is signed with Ed25519 only, and the key is never quoted', () => {
    const { privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256', privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    for (const pem of [privateKey, '', 'secret text', KEYS.publicKey]) {
      let error: any
      try { signReceipt(FACTS, pem) } catch (thrown) { error = thrown }
      expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
      expect(JSON.stringify(error)).not.toContain('secret')
    }
  })
})
