import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { StopSignal } from '../../src/cli/io.js'
import { write } from '../host/project.js'
import { cli, fakeIo, type FakeIo, type Ran } from './harness.js'
import { ordersProject } from './orders.js'

const TOKEN = 'a-token-of-enough-characters'
const env = { REHYDRATE_TOKEN: TOKEN }

async function sealedProject(): Promise<string> {
  const folder = ordersProject()
  expect((await cli(folder, ['replay'])).exit).toBe(0)
  return folder
}

/** Serves until `use` is done, then sends the signal. */
async function serving(
  folder: string, args: readonly string[], use: (url: string) => Promise<void>, signal: StopSignal = 'SIGTERM', io: FakeIo = fakeIo(folder, { env }),
): Promise<Ran> {
  const running = cli(folder, ['serve', '--digest', '--port', '0', ...args], io)
  await expect.poll(() => io.text('stdout') + io.text('stderr'), { timeout: 10_000 }).toMatch(/http:|error/)
  const url = /http:\/\/[\w.[\]:]+:\d+/.exec(io.text('stdout'))?.[0] ?? ''
  try {
    await use(url)
  } finally {
    io.send(signal)
  }
  return await running
}

test.each(['SIGINT', 'SIGTERM'] as const)('serve --digest prints its address, serves with the token only, and ends at %s with exit 0', async (signal) => {
  const folder = await sealedProject()
  const io = fakeIo(folder, { env })
  const ran = await serving(folder, [], async (url) => {
    const path = `${url}/digest/v1/views`
    expect((await fetch(path, { method: 'POST' })).status).toBe(401)
    const answer = await fetch(path, { method: 'POST', headers: { Authorization: `Bearer ${TOKEN}` } })
    expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ v: 1, standing: { position: { 0: 6, 1: 6 }, known: 'proved' } })])
  }, signal, io)
  expect(ran.exit).toBe(0)
  expect(ran.stdout).toMatch(/rehydrate verify orders --against http:\/\/127\.0\.0\.1:\d+\n/)
  expect(`${ran.stdout}${ran.stderr}`).not.toContain(TOKEN)
  expect(io.listening()).toBe(0)
})

test('serve --digest --json prints one document when it is ready', async () => {
  const folder = await sealedProject()
  const { root } = (await cli(folder, ['status', '--json'])).json()
  const ran = await serving(folder, ['orders', '--json'], async () => {})
  expect([ran.exit, ran.json()]).toEqual([0, { job: 'orders', url: expect.stringMatching(/^http:/), generation: 1, position: { 0: 6, 1: 6 }, root }])
})

test('verify and diff compare with what another host serves: equal, then one key apart, and back', async () => {
  const [here, there] = [await sealedProject(), await sealedProject()]
  await serving(there, [], async (url) => {
    const equal = await cli(here, ['verify', '--against', url, '--json'], fakeIo(here, { env }))
    expect([equal.exit, equal.json()]).toEqual([0, expect.objectContaining({ verdict: 'match', differing: 0, position: { 0: 6, 1: 6 } })])
    expect((await cli(here, ['verify', '--against', url, '--json'])).json().error.code).toBe('USAGE')
  })
  const other = ordersProject({ 'log/1.ndjson': readFileSync(join(there, 'log/1.ndjson'), 'utf8').replace('"total":2', '"total":3') })
  await cli(other, ['replay'])
  await serving(other, [], async (url) => {
    const apart = await cli(here, ['verify', '--against', url, '--json'], fakeIo(here, { env }))
    expect([apart.exit, apart.json()]).toEqual([1, expect.objectContaining({ verdict: 'mismatch', differing: 1 })])
    const diff = await cli(here, ['diff', '--against', url, '--json'], fakeIo(here, { env }))
    expect([diff.exit, diff.json()]).toEqual([1, expect.objectContaining({
      total: 1, differences: [expect.objectContaining({ collection: 'orders', key: 'order-1-2', kind: 'value' })],
    })])
  })
})

test('serve takes the token from a file, without its line feed', async () => {
  const folder = await sealedProject()
  write(folder, { token: `${TOKEN}-of-the-file\n` })
  await serving(folder, ['--token-file', 'token'], async (url) => {
    const statusOf = async (token: string): Promise<number> =>
      (await fetch(`${url}/digest/v1/views`, { method: 'POST', headers: { Authorization: `Bearer ${token}` } })).status
    expect([await statusOf(TOKEN), await statusOf(`${TOKEN}-of-the-file`)]).toEqual([401, 200])
  })
  expect((await cli(folder, ['serve', '--digest', '--token-file', 'missing'])).exit).toBe(64)
})

test('serve --host 0.0.0.0 says that the connection is not encrypted, and an address that others can dial', async () => {
  const ran = await serving(await sealedProject(), ['--host', '0.0.0.0'], async () => {})
  expect(ran.stderr).toContain('the connection is not encrypted')
  expect(ran.stdout).not.toContain('--against http://0.0.0.0')
  const local = await serving(await sealedProject(), ['--host', 'localhost'], async () => {})
  expect(local.stderr).not.toContain('encrypted')
})

test('serve refuses before it listens: no token, a short one, a port that is none, nothing sealed, no --digest', async () => {
  const folder = await sealedProject()
  const codeOf = async (where: string, args: readonly string[], token?: string): Promise<[number, string]> => {
    const ran = await cli(where, ['serve', ...args, '--json'], fakeIo(where, { env: token === undefined ? {} : { REHYDRATE_TOKEN: token } }))
    return [ran.exit, ran.json().error.code]
  }
  expect(await codeOf(folder, ['--digest'])).toEqual([64, 'USAGE'])
  expect(await codeOf(folder, ['--digest'], 'short')).toEqual([64, 'CONFIG_INVALID'])
  expect(await codeOf(folder, ['--digest', '--port', '65536'], TOKEN)).toEqual([64, 'USAGE'])
  expect(await codeOf(folder, [], TOKEN)).toEqual([64, 'OPTION_DEFERRED'])
  expect(await codeOf(ordersProject(), ['--digest'], TOKEN)).toEqual([2, 'STORE_NOT_FOUND'])
})
