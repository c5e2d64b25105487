import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { verifyEd25519 } from '../../src/host/keys.js'
import { checkProof, proofText, proveKey } from '../../src/verify/proof.js'
import { checkReceipt } from '../../src/verify/receipt.js'
import { FACTS, KEYS, OTHER_KEYS, receiptOf, sealedValues, signedByNobody, SMALL_ORDER_KEYS } from '../support/proofs.js'

const script = fileURLToPath(new URL('check.py', import.meta.url))
const isThere = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0
const python = isThere('python3', '--version')
const openssl = python && isThere('openssl', 'version')
const skipped = [...(python ? [] : ['python3']), ...(openssl ? [] : ['openssl'])]
if (skipped.length > 0) console.warn(`SKIPPED: ${skipped.join(' and ')} not installed, so proofs and receipts were not checked by a second reader.`)

const folder = mkdtempSync(join(tmpdir(), 'proofs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The step at which Python refuses each; 'holds' where it does not. One process for all: to start one takes long. */
function theirs(texts: readonly (string | Buffer)[], args: readonly string[] = []): string[] {
  const files = texts.map((text, i) => {
    const file = join(folder, `${i}.json`)
    writeFileSync(file, text)
    return file
  })
  const { status, stdout, stderr } = spawnSync('python3', [script, ...files, ...args], { encoding: 'utf8' })
  const steps = stdout.split(/^# .*\n/m).slice(1).map((lines) => /^FAILS (\w+): /m.exec(lines)?.[1] ?? 'holds')
  const expected = steps.every((step) => step === 'holds') ? 0 : 1
  if (steps.length !== texts.length || status !== expected) throw new Error(`It could not tell (${status}): ${stdout} ${stderr}`)
  return steps
}

function ourStep({ steps, failure }: { steps: readonly { step: string }[]; failure: unknown }): string {
  return failure === null ? 'holds' : steps.at(-1)!.step
}

type Change = (document: any) => void

const PROOF_CHANGES: readonly (readonly [expected: string, change: Change])[] = [
  ['holds', () => {}],
  ['form', (p) => { p.v = 2 }],
  ['form', (p) => { p.v = true }],
  ['form', (p) => { p.more = 1 }],
  ['form', (p) => { delete p.collections }],
  ['form', (p) => { p.kind = 'presence' }],
  ['form', (p) => { p.kind = 'absence' }],
  ['form', (p) => { p.key = '' }],
  ['form', (p) => { p.key = '\ud800' }],
  ['form', (p) => { p.key = 'x'.repeat(1_025) }],
  ['form', (p) => { p.collection = '$owners' }],
  ['form', (p) => { p.value.bytes += '=' }],
  ['form', (p) => { p.value.bytes = 'wB==' }],
  ['form', (p) => { p.path.bucket[0] = p.path.bucket[0].toUpperCase() }],
  ['form', (p) => { p.path.bucket = Array.from({ length: 17 }, () => p.path.bucket[0]) }],
  ['form', (p) => { p.path.siblings[0] = `${p.path.siblings[0]}00` }],
  ['form', (p) => { p.path.count = 0 }],
  ['form', (p) => { p.path.count = 2 ** 53 }],
  ['form', (p) => { p.path = null }],
  ['form', (p) => { p.manifestHash = p.manifestHash.slice(4) }],
  ['form', (p) => { p.manifest.holes.control = -1 }],
  ['form', (p) => { p.manifest.holes.control = 0.5 }],
  ['form', (p) => { p.manifest.sealed = 1 }],
  ['form', (p) => { p.manifest.projection.fingerprint.codeFrom = 'guess' }],
  ['form', (p) => { p.manifest.accepted = [{ detail: 'no code' }] }],
  ['form', (p) => { p.manifest.position['__proto__x'] = '1' }],
  ['value', (p) => { p.value.json = { i: 8 } }],
  ['value', (p) => { p.value.json = [] }],
  ['value', (p) => { p.value.bytes = '' }],
  ['value', (p) => { Object.assign(p.value, { json: 7, bytes: 'zAc=' }) }],
  ['value', (p) => { Object.assign(p.value, { json: { b: 1, a: 2 }, bytes: Buffer.from('82a16201a16102', 'hex').toString('base64') }) }],
  ['value', (p) => { p.value.bytes = 'wMA=' }],
  ['value', (p) => { p.value.bytes = Buffer.from('a1ff', 'hex').toString('base64') }],
  ['value', (p) => { p.value.bytes = Buffer.from('cb7ff8000000000000', 'hex').toString('base64') }],
  ['value', (p) => { p.value.bytes = Buffer.from('d6ff00000000', 'hex').toString('base64') }],
  ['entry', (p) => { Object.assign(p.value, { json: 7, bytes: 'Bw==' }) }],
  ['entry', (p) => { p.key = 'k8' }],
  ['entry', (p) => { Object.assign(p, { kind: 'absence', value: null }) }],
  ['entry', (p) => { Object.assign(p, { kind: 'absence', value: null, path: null }) }],
  ['entry', (p) => { p.path.bucket = [] }],
  ['collection', (p) => { p.path.bucket.reverse() }],
  ['collection', (p) => { p.path.siblings.reverse() }],
  ['collection', (p) => { p.path.siblings.pop() }],
  ['collection', (p) => { p.path.siblings = [] }],
  ['collection', (p) => { p.path.siblings[0] = '00'.repeat(32) }],
  ['collection', (p) => { p.path.siblings.push('00'.repeat(32)) }],
  ['collection', (p) => { p.path.count += 1 }],
  ['collection', (p) => { p.path.count = 16 }],
  ['collection', (p) => { p.collection = 'odd' }],
  ['collection', (p) => { p.collections.values = p.collections.odd }],
  ['collection', (p) => { delete p.collections.values }],
  ['state', (p) => { delete p.collections.odd }],
  ['state', (p) => { p.collections.odd = p.collections.values }],
  ['state', (p) => { p.collections.more = p.collections.odd }],
  ['state', (p) => { p.manifest.root = null }],
  ['state', (p) => { p.manifest.root = p.manifestHash }],
  ['manifest', (p) => { p.manifestHash = p.manifest.root }],
  ['manifest', (p) => { p.manifest.position['log/ü@1'] += 1 }],
  ['manifest', (p) => { p.manifest.identity['log/ü@1'].proved = false }],
  ['manifest', (p) => { p.manifest.sealed = false }],
  ['manifest', (p) => { p.manifest.scrubbedAt = null }],
  ['manifest', (p) => { p.manifest.accepted = [{ code: 'LOG_GAP', partition: 'log/ü@1', from: 1, to: 2 }] }],
  ['manifest', (p) => { p.manifest.projection.version = 4 }],
  ['manifest', (p) => { p.manifest.projection.fingerprint.code = p.manifestHash }],
  ['manifest', (p) => { p.manifest.holes.aborted = 1 }],
]

/** Of the receipt, then of what was signed (and is signed again). */
const RECEIPT_CHANGES: readonly (readonly [expected: string, change: Change])[] = [
  ['holds', () => {}],
  ['form', (r) => { r.more = 1 }],
  ['form', (r) => { delete r.signature }],
  ['form', (r) => { r.signature = r.signature.slice(4) }],
  ['form', (r) => { r.signature = r.signature.replace('==', '') }],
  ['key', (r) => { r.publicKey = 'x' }],
  ['key', (r) => { r.publicKey = KEYS.privateKey }],
  ['key', (r) => { r.publicKey = `\n${r.publicKey}` }],
  ['signature', (r) => { r.publicKey = OTHER_KEYS.publicKey }],
  ['signature', (r) => { r.receipt += ' ' }],
  ['signature', (r) => { r.receipt = r.receipt.replace('2999999', '3000000') }],
  ['signature', (r) => { r.receipt = r.receipt.replace('"mismatch"', '"match"') }],
  ['signature', (r) => { r.signature = Buffer.alloc(64).toString('base64') }],
  ['signature', (r) => { r.signature = Buffer.from(r.signature, 'base64').fill(1, 0, 1).toString('base64') }],
]
const match: Change = (f) => {
  Object.assign(f, { verdict: 'match', differing: 0 })
  f.against.root = f.rebuilt.root
  f.collections.airports.against = { ...f.collections.airports.rebuilt }
}
const FACT_CHANGES: readonly (readonly [expected: string, change: Change])[] = [
  ['holds', match],
  ['facts', (f) => { match(f); f.against.root = f.against.manifest }],
  ['facts', (f) => { match(f); f.rebuilt.root = f.against.root = null }],
  ['facts', (f) => { match(f); f.against.root = f.rebuilt.root.replace('1', '2') }],
  ['facts', (f) => { match(f); f.collections.airports.against.count = 302 }],
  ['facts', (f) => { match(f); f.collections.airports.against = null }],
  ['facts', (f) => { match(f); f.truncated = true }],
  ['facts', (f) => { match(f); f.grade = null }],
  ['facts', (f) => { f.against.root = f.rebuilt.root }],
  ['facts', (f) => { f.collections.airports.against = f.collections.airports.rebuilt }],
  ['facts', (f) => { Object.assign(f, { verdict: 'inconclusive', reason: 'LOGS_DIFFER', differing: 0, grade: null }) }],
  ['facts', (f) => { Object.assign(f, { verdict: 'inconclusive', reason: 'LOGS_DIFFER', differing: null }) }],
  ['holds', (f) => { Object.assign(f, { verdict: 'inconclusive', reason: 'LOGS_DIFFER', differing: null, grade: null, collections: {} }) }],
  ['facts', (f) => { f.verdict = 'match' }],
  ['facts', (f) => { f.differing = 0 }],
  ['facts', (f) => { f.reason = 'LOGS_DIFFER' }],
  ['facts', (f) => { f.more = 1 }],
  ['facts', (f) => { delete f.tool }],
  ['facts', (f) => { f.tool.version = 1 }],
  ['facts', (f) => { f.rebuilt.root = 'sh1:12' }],
  ['facts', (f) => { f.rebuilt.known = 'guessed' }],
  ['facts', (f) => { f.against.position = { a: -1 } }],
  ['facts', (f) => { f.collections.airports.rebuilt.count = 0 }],
  ['facts', (f) => { f.issuedAt = '2026-11-21' }],
  ['facts', (f) => { f.truncated = null }],
]

describe('the second reader', () => {
  it('is there where tests must not be skipped', () => {
    expect(skipped.length === 0 || process.env['CI'] !== 'true').toBe(true)
  })

  it.skipIf(!python)('finds that real proofs hold: of presence and absence, in collections of any size, of hostile values', async () => {
    for (const count of [0, 1, 17, 3_000]) {
      const side = await sealedValues(count)
      const keys = [['values', 'k0'], ['values', 'absent'], ['odd', 'ü/😀'], ['odd', 'null'], ['empty', 'k0']] as const
      const texts = await Promise.all(keys.map(async ([collection, key]) => proofText(await proveKey(side, collection, key))))
      const { manifest: { root }, manifestHash } = side.hello
      expect(texts.map((text) => ourStep(checkProof(text)))).toEqual(texts.map(() => 'holds'))
      expect(theirs(texts, ['--root', root!, '--manifest', manifestHash])).toEqual(texts.map(() => 'holds'))
      expect(theirs(texts, ['--root', manifestHash])).toEqual(texts.map(() => 'given'))
    }
  }, 60_000)

  it.skipIf(!python)(`refuses each of ${PROOF_CHANGES.length - 1} changes to a proof at the step at which we do`, async () => {
    const honest = proofText(await proveKey(await sealedValues(300), 'values', 'k7'))
    const changed = PROOF_CHANGES.map(([expected, change]) => {
      const proof = JSON.parse(honest)
      change(proof)
      return { expected, change: String(change), text: JSON.stringify(proof) }
    })
    const texts = ['', '{', 'null', '[]', '\ufeff{}', '{"v":NaN}', '[1e400]', '{"v":18446744073709551616}', honest.slice(0, -3)]
    const cases = [...changed, ...texts.map((text) => ({ expected: 'form', change: text, text }))]
    const steps = theirs(cases.map(({ text }) => text))
    cases.forEach(({ expected, change, text }, i) => {
      expect([change, ourStep(checkProof(text)), steps[i]]).toEqual([change, expected, expected])
    })
    expect(theirs([Buffer.concat([Buffer.from(honest.slice(0, 40)), Buffer.from([0xff])])])).toEqual(['form'])
  }, 60_000)

  it.skipIf(!openssl)('finds that a receipt holds, and whose it is not', () => {
    writeFileSync(join(folder, 'own.pem'), KEYS.publicKey)
    writeFileSync(join(folder, 'other.pem'), OTHER_KEYS.publicKey)
    expect(theirs([receiptOf()], ['--public-key', join(folder, 'own.pem')])).toEqual(['holds'])
    expect(theirs([receiptOf()], ['--public-key', join(folder, 'other.pem')])).toEqual(['key'])
  })

  it.skipIf(!openssl)(`refuses each of ${RECEIPT_CHANGES.length + FACT_CHANGES.length - 3} changes to a receipt at the step at which we do`, () => {
    const cases = [
      ...RECEIPT_CHANGES.map(([expected, change]) => {
        const receipt = JSON.parse(receiptOf())
        change(receipt)
        return { expected, change: String(change), text: JSON.stringify(receipt) }
      }),
      ...FACT_CHANGES.map(([expected, change]) => {
        const facts = structuredClone(FACTS)
        change(facts)
        return { expected, change: String(change), text: receiptOf(facts) }
      }),
      ...SMALL_ORDER_KEYS.map((key) => ({ expected: 'key', change: key, text: signedByNobody(FACTS, key) })),
    ]
    const steps = theirs(cases.map(({ text }) => text))
    cases.forEach(({ expected, change, text }, i) => {
      expect([change, ourStep(checkReceipt(text, verifyEd25519)), steps[i]]).toEqual([change, expected, expected])
    })
  }, 60_000)
})
