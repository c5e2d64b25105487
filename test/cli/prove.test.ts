import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { cli } from './harness.js'
import { ordersProject } from './orders.js'

const HASH = expect.stringMatching(/^sh1:[0-9a-f]{64}$/)

async function sealed(): Promise<{ folder: string; root: string; manifest: string }> {
  const folder = ordersProject()
  const { root, manifest } = (await cli(folder, ['replay', '--json'])).json()
  return { folder, root, manifest }
}

test('prove prints the proof of a key, and that of an absent one; both are exit 0', async () => {
  const { folder, root, manifest } = await sealed()
  const found = await cli(folder, ['prove', 'order-0-1'])
  expect([found.exit, found.json()]).toEqual([0, expect.objectContaining({
    v: 1, kind: 'inclusion', collection: 'orders', key: 'order-0-1', manifestHash: manifest,
    value: { json: { paid: true, total: 1 }, bytes: expect.any(String) }, collections: { orders: HASH },
    manifest: expect.objectContaining({ root, position: { 0: 6, 1: 6 } }),
  })])
  expect((await cli(folder, ['prove', 'order-0-1', '--json', '--collection', 'orders'])).stdout).toBe(found.stdout)
  const absent = await cli(folder, ['prove', 'order-0-0'])
  expect([absent.exit, absent.json()]).toEqual([0, expect.objectContaining({ kind: 'absence', value: null })])
})

test('prove --out writes the file, says its size, and how it is checked', async () => {
  const { folder, manifest } = await sealed()
  const ran = await cli(folder, ['prove', 'order-0-1', '--out', 'proof.json', '--json'])
  const text = readFileSync(join(folder, 'proof.json'), 'utf8')
  expect(ran.json()).toMatchObject({ out: 'proof.json', kind: 'inclusion', key: 'order-0-1', bytes: Buffer.byteLength(text), manifest, generation: 1 })
  expect(text).toBe((await cli(folder, ['prove', 'order-0-1'])).stdout)
  const said = (await cli(folder, ['prove', 'order-0-1', '--out', 'proof.json'])).stdout
  expect(said).toContain(`rehydrate check proof.json --manifest ${manifest}`)
  expect((await cli(folder, ['prove', 'order-0-1', '--out', 'no/such/folder'])).exit).toBe(64)
})

test('prove needs no log, and takes another generation', async () => {
  const { folder, manifest } = await sealed()
  await cli(folder, ['replay', '--restart', '--until', '0@6,1@2'])
  const old = await cli(folder, ['prove', 'order-1-1', '--generation', '1', '--json'])
  expect(old.json().manifestHash).toBe(manifest)
  const live = await cli(folder, ['prove', 'order-1-1', '--json'])
  expect(live.json().manifest.position).toEqual({ 0: 6, 1: 2 })
  expect((await cli(folder, ['prove', 'order-1-1', '--generation', '9', '--json'])).json().error.code).toBe('STORE_NOT_FOUND')
})

test('prove refuses keys and collections that no state has, and a store that holds nothing', async () => {
  const { folder } = await sealed()
  expect((await cli(folder, ['prove', 'x', '--collection', 'others'])).exit).toBe(64)
  expect((await cli(folder, ['prove', 'x'.repeat(1_025), '--json'])).json().error.code).toBe('KEY_INVALID')
  expect((await cli(ordersProject(), ['prove', 'x', '--json'])).json().error.code).toBe('STORE_NOT_FOUND')
})

test('prove makes no proof of a row that was changed behind its back', async () => {
  const { folder } = await sealed()
  const file = new Database(join(folder, 'state.db'))
  const { id } = file.prepare("select id from collections where name = 'orders'").get() as { id: number }
  const { bytes, hash } = file.prepare(`select bytes, hash from entries_${id} where key = 'order-0-2'`).get() as { bytes: Buffer; hash: Buffer }
  file.prepare(`update entries_${id} set bytes = ?, hash = ? where key = 'order-0-1'`).run(bytes, hash)
  file.close()
  const ran = await cli(folder, ['prove', 'order-0-1', '--json'])
  expect([ran.exit, ran.json().error]).toEqual([2, expect.objectContaining({ code: 'STATE_CORRUPT', key: 'order-0-1' })])
})
