import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { write } from '../host/project.js'
import { KEYS, OTHER_KEYS, receiptOf } from '../support/proofs.js'
import { cli } from './harness.js'
import { ordersProject } from './orders.js'

/** A folder with a proof in it, and nothing else that checks could need. */
async function proven(key = 'order-0-1'): Promise<{ folder: string; root: string; manifest: string; proof: any }> {
  const folder = ordersProject()
  const { root, manifest } = (await cli(folder, ['replay', '--json'])).json()
  const proof = (await cli(folder, ['prove', key])).json()
  const empty = ordersProject({ 'rehydrate.config.ts': 'throw new Error("not needed")', 'proof.json': JSON.stringify(proof) })
  return { folder: empty, root, manifest, proof }
}

test('check says step by step that a proof holds, and that its manifest is to be compared', async () => {
  const { folder, root, manifest } = await proven()
  const ran = await cli(folder, ['check', 'proof.json'])
  expect(ran.exit).toBe(0)
  expect(ran.stdout.match(/^ {2}ok {5}(\w+)/gm)).toHaveLength(6)
  expect(ran.stdout).toContain('holds orders/order-0-1:\n  {"paid":true,"total":1}')
  expect(ran.stdout).toContain(`compare ${manifest} with one from elsewhere`)
  const same = await cli(folder, ['check', 'proof.json', '--manifest', manifest, '--root', root])
  expect([same.exit, same.stdout]).toEqual([0, expect.stringContaining('That is the state you asked about.')])
  expect((await cli(folder, ['check', 'proof.json', '--json'])).json()).toMatchObject({
    valid: true, kind: 'inclusion', collection: 'orders', key: 'order-0-1', value: { paid: true, total: 1 }, root, manifest,
    position: { 0: 6, 1: 6 }, compared: false,
    steps: ['form', 'value', 'entry', 'collection', 'state', 'manifest'].map((step) => ({ step, ok: true, found: expect.any(String) })),
  })
})

test('check of an absence', async () => {
  const { folder } = await proven('order-0-0')
  expect((await cli(folder, ['check', 'proof.json', '--json'])).json()).toMatchObject({ kind: 'absence', value: null })
  expect((await cli(folder, ['check', 'proof.json'])).stdout).toContain('does not hold orders/order-0-0.')
})

test('check of a changed proof is PROOF_INVALID, exit 1, and names the step that fails', async () => {
  const { folder, proof, root } = await proven()
  write(folder, { 'proof.json': JSON.stringify({ ...proof, value: { json: { paid: true, total: 2 }, bytes: proof.value.bytes } }) })
  const ran = await cli(folder, ['check', 'proof.json'])
  expect([ran.exit, ran.stdout]).toEqual([1, expect.stringMatching(/ok {5}form .*\n {2}FAILS {2}value /)])
  expect(ran.stderr).toContain('error PROOF_INVALID  The proof fails at the step value')
  write(folder, { 'proof.json': JSON.stringify(proof) })
  const other = await cli(folder, ['check', 'proof.json', '--manifest', root, '--json'])
  expect([other.exit, other.json().error]).toEqual([1, expect.objectContaining({ code: 'PROOF_INVALID', expected: root })])
})

test('check of a receipt says what was found, by whose key, and whether anybody vouches for it', async () => {
  const folder = ordersProject({ 'receipt.json': receiptOf(), 'own.pem': KEYS.publicKey, 'other.pem': OTHER_KEYS.publicKey })
  const ran = await cli(folder, ['check', 'receipt.json'])
  expect([ran.exit, ran.stdout]).toEqual([0, expect.stringMatching(/MISMATCH, found by rehydrate 0\.1\.0[^]*nobody vouches for that key/)])
  const { signer } = (await cli(folder, ['check', 'receipt.json', '--json'])).json()
  expect(ran.stdout).toContain(signer)
  expect((await cli(folder, ['check', 'receipt.json', '--public-key', 'own.pem'])).stdout).toContain('Signed by the holder of the key you gave.')
  expect((await cli(folder, ['check', 'receipt.json', '--public-key', 'own.pem', '--json'])).json()).toMatchObject({
    valid: true, kind: 'receipt', signer, vouched: true, receipt: { verdict: 'mismatch', differing: 1 },
  })
  const wrong = await cli(folder, ['check', 'receipt.json', '--public-key', 'other.pem'])
  expect([wrong.exit, wrong.stderr]).toEqual([1, expect.stringContaining('fails at the step key')])
})

test('check refuses what is no file, no text, too long for one, and flags of the other kind', async () => {
  const { folder, root } = await proven()
  write(folder, { 'receipt.json': receiptOf(), 'nonsense.json': 'nonsense' })
  expect((await cli(folder, ['check', 'missing.json'])).exit).toBe(64)
  expect((await cli(folder, ['check', '.'])).exit).toBe(64)
  expect((await cli(folder, ['check', 'nonsense.json', '--json'])).json().error).toMatchObject({ code: 'PROOF_INVALID' })
  expect((await cli(folder, ['check', 'proof.json', '--public-key', 'x'])).exit).toBe(64)
  expect((await cli(folder, ['check', 'receipt.json', '--root', root])).exit).toBe(64)
  expect((await cli(folder, ['check', 'proof.json', '--root', 'sh1:12'])).exit).toBe(64)
  expect((await cli(folder, ['check', 'receipt.json', '--public-key', 'missing.pem'])).exit).toBe(64)
  expect(readFileSync(join(folder, 'nonsense.json'), 'utf8')).toBe('nonsense')
})
