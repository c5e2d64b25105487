import { generateKeyPairSync, sign } from 'node:crypto'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { defineProjection } from '../../src/index.js'
import { openStoreSide, type StoreSide } from '../../src/verify/open.js'
import { type ReceiptFacts, signedReceiptText } from '../../src/verify/receipt.js'
import { runIn, worldOf } from './worlds.js'

/** Everything that once made two readers disagree. */
export const HOSTILE = {
  n: [0, 127, 128, -1, -32, -33, 65_536, -2_147_483_649, 0.1, -0.5, 1e20, 1e300, 5e-324],
  big: [2n ** 63n, -(2n ** 63n), 2n ** 64n - 1n, 9_007_199_254_740_993n],
  bytes: new Uint8Array([0, 255, 1]), 'é': '😀\u0000"\\', '': null, list: [[], {}, true, false], long: 'x'.repeat(300),
}

const values = defineProjection({
  name: 'values', version: 3, collections: { values: {}, odd: {}, empty: {} },
  keys: { Set: (event) => [{ collection: event.data.collection, key: event.key! }] },
  on: {
    Set(state, event) {
      const { collection, value } = event.data
      ;(state as any)[collection].put(event.key!, value === 'hostile' ? HOSTILE : value)
    },
  },
})

/** A sealed state with so many plain keys `k0` …, one hostile value, and a second collection. */
export async function sealedValues(count: number): Promise<StoreSide> {
  const events = Array.from({ length: count }, (_, i) => ({ type: 'Set', key: `k${i}`, data: { collection: 'values', value: { i } } }))
  const more = [
    { type: 'Set', key: 'ü/😀', data: { collection: 'odd', value: 'hostile' } },
    { type: 'Set', key: 'null', data: { collection: 'odd', value: null } },
  ]
  const store = memoryStore()
  await runIn(worldOf(1), { source: memoryLog({ partitions: { 'log/ü@1': [...more, ...events] } }), projection: values, store })
  return await openStoreSide(store, 'values')
}

export const KEYS = generateKeyPairSync('ed25519', {
  publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})
export const OTHER_KEYS = generateKeyPairSync('ed25519', {
  publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

const hash = (digit: string): string => `sh1:${digit.repeat(64)}`

export const FACTS: ReceiptFacts = {
  verdict: 'mismatch', reason: null, grade: 'scrubbed',
  rebuilt: {
    name: 'flights', root: hash('1'), manifest: hash('2'), position: { 'flights/ü': 2_999_999, 'a@1': 0 }, known: 'proved',
    identity: { 'flights/ü': { id: 'ab12', proved: true }, 'a@1': { id: 'cd', proved: false } },
    accepted: [{ code: 'LOG_GAP', partition: 'a@1', from: 3, to: 4 }, { code: 'PROJECTION_CHANGED', detail: 'code' }],
  },
  against: { name: 'old.db "😀"', root: hash('3'), manifest: null, position: { 'a@1': 0 }, known: 'asserted', identity: {}, accepted: [] },
  projection: {
    name: 'flights', version: 2,
    fingerprint: { shape: { name: hash('4') }, code: hash('5'), codeFrom: 'modules', reading: { 'event.type': 'header art' } },
  },
  collections: { airports: { rebuilt: { count: 303, root: hash('6') }, against: { count: 302, root: hash('7') }, omitted: ['$.note'] } },
  differing: 1, truncated: false, tool: { name: 'rehydrate', version: '0.1.0' }, issuedAt: '2026-11-21T15:00:00.000Z',
}

/** Signed whatever it says, which signReceipt would not do. */
export function receiptOf(facts: object = FACTS): string {
  const receipt = JSON.stringify({ v: 1, ...facts })
  const signature = sign(null, Buffer.from(receipt), KEYS.privateKey).toString('base64')
  return signedReceiptText({ receipt, signature, publicKey: KEYS.publicKey })
}

/** With the neutral point for its key, which OpenSSL takes, one signature is right for every text: R is that point too, and S is 0. */
export function signedByNobody(facts: object, publicKeyHex: string): string {
  const receipt = JSON.stringify({ v: 1, ...facts })
  const signature = Buffer.concat([Buffer.from(NEUTRAL_POINT, 'hex'), Buffer.alloc(32)]).toString('base64')
  const der = Buffer.from(`302a300506032b6570032100${publicKeyHex}`, 'hex').toString('base64')
  return signedReceiptText({ receipt, signature, publicKey: `-----BEGIN PUBLIC KEY-----\n${der}\n-----END PUBLIC KEY-----\n` })
}

export const NEUTRAL_POINT = `01${'00'.repeat(31)}`

/** Keys of small order in every way to write them: the first 32 bytes, each with and without the sign. */
export const SMALL_ORDER_KEYS = [
  '00'.repeat(32), NEUTRAL_POINT, `ec${'ff'.repeat(30)}7f`, `ed${'ff'.repeat(30)}7f`, `ee${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].flatMap((key) => [key, `${key.slice(0, -2)}${(Number.parseInt(key.slice(-2), 16) | 0x80).toString(16)}`])
