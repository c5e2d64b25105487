import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { writeTexts } from '../../src/host/digest-protocol.js'
import { remoteSide, type RemoteOptions } from '../../src/host/remote.js'
import { type DigestServer, serveDigest, type ServeDigestOptions } from '../../src/host/serve-digest.js'
import { diffTries } from '../../src/digest/diff.js'
import { packPage } from '../../src/digest/wire.js'
import { openStoreSide } from '../../src/verify/open.js'
import type { CollectionRoot } from '../../src/store/checkpoint.js'
import type { DigestSide } from '../../src/verify/side.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const TOKEN = 'a-token-of-enough-characters'
const store = memoryStore()
const signal = new AbortController().signal

beforeAll(async () => {
  await runIn(worldOf(1), { source: memoryLog({ partitions: accountLog(1, 2, 3_000) }), projection: accounts, store })
})

const open = (): Promise<DigestSide> => openStoreSide(store, 'served')

const ends: (() => unknown)[] = []
afterEach(async () => { for (const end of ends.splice(0).reverse()) await end() })
afterAll(() => store.close())

async function serve(options: Partial<ServeDigestOptions> = {}): Promise<DigestServer> {
  const server = await serveDigest({ open, token: TOKEN, ...options })
  ends.push(() => server.close())
  return server
}

async function dial(url: string, options: Partial<RemoteOptions> & { signal?: AbortSignal } = {}): Promise<DigestSide> {
  const { signal: given = signal, ...rest } = options
  const side = await remoteSide(url, { token: TOKEN, ...rest }).open({ projection: accounts, signal: given }) as DigestSide
  ends.push(() => side.close())
  return side
}

/** The status line and body of an answer to bytes as they stand. */
function raw(url: string, text: string | Buffer, waitMs = 2_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text))
    let got = ''
    const timer = setTimeout(() => socket.destroy(new Error('The server left the connection open.')), waitMs)
    socket.on('data', (part) => { got += part.toString('latin1') })
    socket.on('error', (error) => (got === '' ? reject(error) : undefined))
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(got)
    })
  })
}

function ask(url: string, method: string, path: string, options: { token?: string | null; body?: Buffer } = {}): Promise<Response> {
  const { token = TOKEN, body } = options
  return fetch(`${url}${path}`, {
    method, headers: token === null ? {} : { Authorization: `Bearer ${token}` }, ...(body === undefined ? {} : { body: new Uint8Array(body) }),
  })
}

async function hello(url: string): Promise<any> {
  return await (await ask(url, 'POST', '/digest/v1/views')).json()
}

describe('a digest that another host serves', () => {
  test('says the same as the store it is served from: hello, standing, pages and values', async () => {
    const { url } = await serve()
    const [here, there] = [await open(), await dial(url)]
    ends.push(() => here.close())
    expect(there.name).toBe(url)
    expect(there.hello).toEqual(here.hello)
    expect(there.standing).toEqual(here.standing)
    const buckets = Array.from({ length: 16 }, (_, i) => [1, 2, 3, 4].map((bits) => `accounts/.${(i + 16).toString(2).slice(1, 1 + bits)}`))
    const pages = ['accounts/', 'accounts/0', 'accounts/f', 'closed/', 'none/', 'accounts/0000000', ...new Set(buckets.flat())]
    expect(await there.pages(pages)).toEqual(await here.pages(pages))
    expect((await there.pages(pages)).size).toBeGreaterThan(5)
    const keys = Array.from({ length: 3_000 }, (_, i) => `a${i % 2}-${i}`)
    const values = await here.values('accounts', keys)
    expect(values.size).toBeGreaterThan(50)
    expect(await there.values('accounts', keys)).toEqual(values)
    expect(await there.values('none', keys)).toEqual(new Map())
  })

  test('counts its requests and the bytes of bodies both ways', async () => {
    const { url } = await serve()
    const side = await dial(url)
    const { requests, bytes } = side.traffic()!
    expect(requests).toBe(1)
    expect(bytes).toBe(JSON.stringify(await hello(url)).length)
    const page = (await side.pages(['accounts/'])).get('accounts/')!
    expect(side.traffic()).toEqual({ requests: 2, bytes: bytes + 2 + 9 + 4 + packPage(page).length })
  })

  test('gives an answer that is full in parts, and values of megabytes whole', async () => {
    const long = new Uint8Array(3 * 1024 * 1024).fill(7)
    const values = new Map(Array.from({ length: 5 }, (_, i) => [`k${i}`, long]))
    const { url } = await serve({ open: async () => ({ ...await open(), values: async () => values }) })
    const side = await dial(url)
    const found = await side.values('accounts', [...values.keys()])
    expect([...found.keys()]).toEqual([...values.keys()])
    for (const bytes of found.values()) expect(Buffer.compare(bytes, long)).toBe(0)
    expect(side.traffic()!.requests).toBe(1 + 3)
  })

  test('is asked for many long keys in requests of at most a megabyte', async () => {
    const { url } = await serve()
    const side = await dial(url)
    const keys = Array.from({ length: 1_500 }, (_, i) => `${i}`.padEnd(1_024, 'x'))
    expect(await side.values('accounts', keys)).toEqual(new Map())
    expect(side.traffic()!.requests).toBe(1 + 2)
  })

  test('stays one view while the store goes on', async () => {
    const growing = memoryStore()
    const log = accountLog(2, 1, 400)
    const first = Object.fromEntries(Object.entries(log).map(([name, events]) => [name, events.slice(0, 200)]))
    await runIn(worldOf(1), { source: memoryLog({ partitions: first }), projection: accounts, store: growing })
    const { url } = await serve({ open: () => openStoreSide(growing, 'served') })
    const side = await dial(url)
    const before = await side.pages(['accounts/'])
    await runIn(worldOf(1), { source: memoryLog({ partitions: log }), projection: accounts, store: growing })
    expect(await side.pages(['accounts/'])).toEqual(before)
    expect((await dial(url)).hello.manifest.root).not.toBe(side.hello.manifest.root)
  })

  test('is spoken to again where the connection drops, twice and in the same view', async () => {
    const { url } = await serve()
    let drops = 0
    const proxy = await listening(createTcpServer((client) => forward(client, url, () => drops-- > 0)))
    const side = await dial(proxy)
    drops = 2
    expect((await side.pages(['accounts/'])).size).toBe(1)
    drops = 3
    expect(await failureOf(side.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_UNREACHABLE' })
  })
})

const openssl = spawnSync('openssl', ['version']).status === 0

test.skipIf(!openssl)('a digest behind TLS is read by https, and a certificate that nobody vouches for gets no token', async () => {
  const { url } = await serve()
  const folder = mkdtempSync(join(tmpdir(), 'rehydrate-tls-'))
  ends.push(() => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, ...subject])
  expect(made.status).toBe(0)
  let received = ''
  const proxy = await listening(createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (client) => {
    client.on('data', (part) => { received += part.toString('latin1') })
    forward(client, url, () => false)
  }))
  const secure = proxy.replace('http:', 'https:')
  expect(await failureOf(dial(secure))).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('SELF_SIGNED') })
  expect(received).toBe('')
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  ends.push(() => vi.unstubAllEnvs())
  const side = await dial(secure)
  expect([side.name, (await side.pages(['accounts/'])).size]).toEqual([secure, 1])
  await side.close()
})

async function listening(server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }): Promise<string> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  ends.push(() => {
    const { close, closeAllConnections } = server as unknown as Server
    close.call(server)
    closeAllConnections?.call(server)
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Passes bytes on, or drops the connection at the first of a request. */
function forward(client: Socket, url: string, drops: () => boolean): void {
  const server = connect(Number(new URL(url).port), '127.0.0.1')
  ends.push(() => server.destroy(), () => client.destroy())
  client.on('error', () => {}).on('close', () => server.destroy())
  server.on('error', () => {}).on('close', () => client.destroy())
  client.on('data', (part) => (drops() ? client.resetAndDestroy() : server.write(part)))
  server.on('data', (part) => client.write(part))
}

describe('the server', () => {
  test.each([null, '', 'wrong-token-wrong-token', `${TOKEN}x`, TOKEN.slice(1)])('answers 401 to the token %j, whatever is asked', async (token) => {
    const { url } = await serve()
    for (const [method, path] of [['POST', '/digest/v1/views'], ['GET', '/'], ['DELETE', '/digest/v1/views/x']] as const) {
      const answer = await ask(url, method, path, { token })
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    }
    expect(await failureOf(dial(url, { token: 'wrong-token-wrong-token' }))).toMatchObject({ code: 'AGAINST_UNREACHABLE', exitCode: 2 })
  })

  test('serves nothing else: 404 for other paths, 405 for other methods, 410 for views that are not there', async () => {
    const { url } = await serve()
    const { view } = await hello(url)
    const missing = '00000000-0000-4000-8000-000000000000'
    for (const [status, method, path] of [
      [404, 'GET', '/'], [404, 'POST', '/digest/v1'], [404, 'POST', '/digest/v1/views/'], [404, 'POST', '/digest/v1/views?x=1'],
      [404, 'POST', '/digest/v1/views/../../etc/passwd'], [404, 'POST', `/digest/v1/views/${view}/entries`],
      [404, 'POST', '/digest/v2/views'], [405, 'GET', '/digest/v1/views'], [405, 'PUT', `/digest/v1/views/${view}/pages`],
      [405, 'POST', `/digest/v1/views/${view}`], [410, 'POST', `/digest/v1/views/${missing}/pages`], [410, 'DELETE', `/digest/v1/views/${missing}`],
    ] as const) {
      expect([path, method, (await ask(url, method, path)).status]).toEqual([path, method, status])
    }
  })

  test('refuses requests that are not keys, too many or too long', async () => {
    const { url } = await serve()
    const { view } = await hello(url)
    const pages = (body: Buffer): Promise<Response> => ask(url, 'POST', `/digest/v1/views/${view}/pages`, { body })
    const statuses: number[] = []
    for (const body of [
      Buffer.alloc(0), Buffer.from([0]), Buffer.from([0, 5, 65]), Buffer.from([0, 1, 0xff]), writeTexts(Array.from({ length: 1_025 }, () => 'a')),
      Buffer.alloc(1024 * 1024 + 1),
    ]) statuses.push((await pages(body)).status)
    expect(statuses).toEqual([400, 400, 400, 400, 400, 413])
    expect((await ask(url, 'POST', `/digest/v1/views/${view}/values`, { body: writeTexts(['accounts']) })).status).toBe(400)
    expect((await pages(writeTexts(['accounts/']))).status).toBe(200)
  })

  test("shows neither entries nor pages of the engine's own collections", async () => {
    const { url } = await serve()
    const here = await open()
    ends.push(() => here.close())
    expect((await here.pages(['$owners/'])).size).toBe(1)
    const side = await dial(url)
    expect(await side.pages(['$owners/'])).toEqual(new Map())
    expect(await side.values('$marks', ['moves/0'])).toEqual(new Map())
  })

  test('keeps at most so many views, and closes those that are idle', async () => {
    let closed = 0
    const counting = async (): Promise<DigestSide> => {
      const side = await open()
      return { ...side, close: async () => { closed++; await side.close() } }
    }
    const { url } = await serve({ open: counting, maxViews: 2 })
    const first = await dial(url)
    await dial(url)
    expect(await failureOf(dial(url))).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('can not serve now') })
    await first.close()
    await first.close()
    expect(closed).toBe(1)
    expect((await dial(url)).hello.v).toBe(1)
    const impatient = await serve({ open: counting, idleMs: 50 })
    const idle = await dial(impatient.url)
    await expect.poll(() => closed).toBe(2)
    expect(await failureOf(idle.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('closed the view') })
  })

  test('keeps a view open whose client has other things to do, and no longer than that', async () => {
    let closed = 0
    const counting = async (): Promise<DigestSide> => {
      const side = await open()
      return { ...side, close: async () => { closed++; await side.close() } }
    }
    const { url } = await serve({ open: counting, idleMs: 1_000 })
    const side = await dial(url)
    const left = await hello(url)
    await sleep(2_500)
    expect((await ask(url, 'POST', `/digest/v1/views/${left.view}/pages`, { body: writeTexts(['accounts/']) })).status).toBe(410)
    expect((await side.pages(['accounts/'])).size).toBe(1)
    await side.close()
    expect(closed).toBe(2)
    const { requests } = side.traffic()!
    await sleep(800)
    expect(side.traffic()!.requests).toBe(requests)
  })

  test('closes views that are in use when their use ends, and all of them when it is closed', async () => {
    let closed = 0
    let release = (): void => {}
    const slow = async (): Promise<DigestSide> => ({
      ...await open(), close: async () => { closed++ },
      pages: () => new Promise((resolve) => { release = () => resolve(new Map()) }),
    })
    const server = await serve({ open: slow })
    const side = await dial(server.url)
    const pages = failureOf(side.pages(['accounts/']))
    await expect.poll(() => String(release)).toContain('resolve(')
    await server.close()
    expect(closed).toBe(0)
    release()
    await expect.poll(() => closed).toBe(1)
    expect(await pages).toMatchObject({ code: 'AGAINST_UNREACHABLE' })
  })

  test('ends connections that send their request too slowly, or nonsense', async () => {
    const { url } = await serve({ requestMs: 500 })
    expect(await raw(url, 'POST /digest/v1/views HTTP/1.1\r\nHost: x\r\n')).toMatch(/^HTTP\/1.1 408/)
    const { view } = await hello(url)
    const head = `POST /digest/v1/views/${view}/pages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n`
    expect(await raw(url, `${head}Content-Length: 100\r\n\r\nabc`)).toMatch(/^HTTP\/1.1 40[08]/)
    expect(await raw(url, `${head}Content-Length: 99999999999\r\n\r\nabc`)).toMatch(/^HTTP\/1.1 413/)
    expect(await raw(url, `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`)).toMatch(/^HTTP\/1.1 400|^$/)
    const long = `${(2 ** 20 + 1).toString(16)}\r\n${'x'.repeat(2 ** 20 + 1)}\r\n0\r\n\r\n`
    expect(await raw(url, `${head}Transfer-Encoding: chunked\r\n\r\n${long}`)).toMatch(/^HTTP\/1.1 413/)
    expect(await raw(url, Buffer.alloc(64 * 1024, 'x'))).toMatch(/^HTTP\/1.1 4\d\d/)
    expect(await raw(url, `POST /digest/v1/views HTTP/1.1\r\nX: ${'y'.repeat(64 * 1024)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431/)
    expect((await dial(url)).hello.v).toBe(1)
  })

  test('ends connections that do not take in their answer', async () => {
    const long = new Uint8Array(16 * 1024 * 1024)
    const { url } = await serve({ requestMs: 500, open: async () => ({ ...await open(), values: async () => new Map([['k', long]]) }) })
    const { view } = await hello(url)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    ends.push(() => socket.destroy())
    const body = writeTexts(['accounts', 'k'])
    socket.write(`POST /digest/v1/views/${view}/values HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.write(body)
    socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    let got = 0
    await new Promise((resolve) => { socket.on('data', (part) => { got += part.length }).on('close', resolve).on('error', resolve).resume() })
    expect(got).toBeLessThan(long.length)
  })

  test('says of an error its code and nothing more', async () => {
    const secret = 'iban-DE02120300000000202051'
    const { url } = await serve({
      open: async () => ({
        ...await open(),
        values: async () => { throw new Error(secret) },
        pages: async () => { throw Object.assign(await failureOf(openStoreSide(store, secret, 77)), {}) },
      }),
    })
    const { view } = await hello(url)
    const values = await ask(url, 'POST', `/digest/v1/views/${view}/values`, { body: writeTexts(['accounts', 'k']) })
    expect([values.status, await values.text()]).toEqual([500, expect.not.stringContaining(secret)])
    const pages = await ask(url, 'POST', `/digest/v1/views/${view}/pages`, { body: writeTexts(['accounts/']) })
    expect([pages.status, await pages.json()]).toEqual([503, { error: { code: 'STORE_NOT_FOUND', message: expect.not.stringContaining('77') } }])
  })

  test('tells a client of nothing sealed, or of corrupt rows, what is wrong', async () => {
    const empty = await serve({ open: () => openStoreSide(memoryStore(), 'served') })
    expect(await failureOf(dial(empty.url))).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('STORE_NOT_FOUND') })
    const corrupt = Object.assign(new Error('x'), await failureOf(openStoreSide(memoryStore(), 'x')), { code: 'STATE_CORRUPT' })
    const { url } = await serve({ open: async () => ({ ...await open(), pages: async () => { throw corrupt } }) })
    expect(await failureOf((await dial(url)).pages(['accounts/']))).toMatchObject({ code: 'AGAINST_INVALID' })
  })

  test.each(['short', 'fifteen letters', 'with a space in it', 'ümläut-ümläut-ümläut', ''])('can not be started with the token %j', async (token) => {
    const error = await failureOf(serveDigest({ open, token }))
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    if (token !== '') expect(JSON.stringify(error)).not.toContain(token)
  })

  test('can not be started where another one listens', async () => {
    const { url } = await serve()
    expect(await failureOf(serveDigest({ open, token: TOKEN, port: Number(new URL(url).port) }))).toMatchObject({
      code: 'USAGE', message: expect.stringContaining('EADDRINUSE'),
    })
  })
})

describe('a host that lies, breaks off or hangs', () => {
  const lying = async (listener: RequestListener): Promise<string> => listening(createServer(listener))
  const answering = (body: string | Buffer, status = 200): Promise<string> => lying((_, response) => void response.writeHead(status).end(body))
  const refusal = async (url: string, options: Partial<RemoteOptions> = {}): Promise<any> => await failureOf(dial(url, options))

  async function honest(): Promise<any> {
    const { url } = await serve()
    return await hello(url)
  }

  const LIES: readonly (readonly [what: string, code: string, change: (told: any) => void])[] = [
    ['another state root', 'AGAINST_INVALID', ({ hello: { manifest } }) => { manifest.root = `sh1:${'0'.repeat(64)}` }],
    ['another position', 'AGAINST_INVALID', ({ hello: { manifest } }) => { manifest.position['moves/0']++ }],
    ['another manifest hash', 'AGAINST_INVALID', ({ hello: told }) => { told.manifestHash = told.manifest.root }],
    ['another collection root', 'AGAINST_INVALID', ({ hello: { collections } }) => { collections.accounts.root = collections.closed.root }],
    ['a collection less', 'AGAINST_INVALID', ({ hello: { collections } }) => { delete collections.closed }],
    ['a collection of the engine', 'AGAINST_INVALID', ({ hello: { collections } }) => { collections.$owners = collections.closed }],
    ['a count that is none', 'AGAINST_INVALID', ({ hello: { collections } }) => { collections.closed.count = -1 }],
    ['a position that it does not prove', 'AGAINST_INVALID', ({ standing }) => { standing.position['moves/0']-- }],
    ['a field that nobody knows', 'AGAINST_INVALID', (told) => { told.hello.more = 1 }],
    ['no manifest', 'AGAINST_INVALID', (told) => { delete told.hello.manifest }],
    ['a view that leads elsewhere', 'AGAINST_INVALID', (told) => { told.view = '../../../../other/path/on/the/same/h' }],
    ['text where numbers stand', 'AGAINST_INVALID', ({ hello: { manifest } }) => { manifest.holes.control = '0' }],
    ['another protocol', 'DIGESTS_INCOMPARABLE', (told) => { told.v = 2 }],
    ['another hello', 'DIGESTS_INCOMPARABLE', (told) => { told.hello.v = 2 }],
    ['another codec', 'DIGESTS_INCOMPARABLE', (told) => { told.hello.format.codec = 2 }],
    ['another algorithm', 'DIGESTS_INCOMPARABLE', (told) => { told.hello.format.algorithm = 0x13 }],
  ]

  test.each(LIES)('that tells %s is %s', async (_, code, change) => {
    const told = await honest()
    const url = await answering(JSON.stringify(told))
    expect((await dial(url)).hello.manifestHash).toBe(told.hello.manifestHash)
    change(told)
    expect(await refusal(await answering(JSON.stringify(told)))).toMatchObject({ code })
  })

  test('that says what is not JSON, not UTF-8, or nothing, is AGAINST_INVALID, and is not quoted', async () => {
    for (const body of ['<html>secret page</html>', Buffer.from([0xff, 0xfe]), '', '[]', 'null', '1', '{}']) {
      const error = await refusal(await answering(body))
      expect([body, ['AGAINST_INVALID', 'DIGESTS_INCOMPARABLE'].includes(error.code)]).toEqual([body, true])
      expect(JSON.stringify(error)).not.toContain('secret')
    }
  })

  test('that is another program, or another version, is told apart', async () => {
    for (const status of [301, 403, 404, 405, 418, 500, 502]) expect(await refusal(await answering('<html>', status))).toMatchObject({ code: 'AGAINST_UNREACHABLE' })
    const { url } = await serve()
    const other = await lying((request, response) => {
      void fetch(`${url}${request.url!.replace('v1', 'v7')}`, { method: 'POST', headers: { Authorization: `Bearer ${TOKEN}` } })
        .then(async (answer) => response.writeHead(answer.status).end(await answer.text()))
    })
    expect(await refusal(other)).toMatchObject({ code: 'DIGESTS_INCOMPARABLE' })
  })

  /** Honest until it is asked for pages or values. */
  async function pagesFrom(listener: RequestListener, options: Partial<RemoteOptions> = {}): Promise<DigestSide> {
    const told = JSON.stringify(await honest())
    return await dial(await lying((request, response) => {
      if (request.url === '/digest/v1/views') response.end(told)
      else listener(request, response)
    }), options)
  }

  test('pages that are not those of the root it told are AGAINST_INVALID: changed, exchanged or left out', async () => {
    const [here, other] = [await open(), await otherSide()]
    ends.push(() => here.close(), () => other.close())
    const { root } = here.hello.collections['accounts']!
    const lies: readonly DigestSide['pages'][] = [
      other.pages,
      async () => new Map(),
      async (keys) => new Map([...await here.pages(keys)].map(([key, page]) => [key, key === 'accounts/' ? page : Uint8Array.from(page, (byte, i) => byte ^ (i === 40 ? 1 : 0))])),
      async (keys) => new Map([...await here.pages(keys)].map(([key, page]) => [key, key === 'accounts/' ? page : page.subarray(1)])),
    ]
    const walk = async (pages: DigestSide['pages']): Promise<number> => {
      const { url } = await serve({ open: async () => ({ ...await open(), pages }) })
      const there = await dial(url)
      let differing = 0
      for await (const keys of diffTries('accounts', { load: other.pages }, { load: there.pages, root })) differing += keys.length
      return differing
    }
    expect(await walk(here.pages)).toBeGreaterThan(0)
    for (const pages of lies) expect(await failureOf(walk(pages))).toMatchObject({ code: 'AGAINST_INVALID' })
  })

  test('a count that is not the one of its pages is AGAINST_INVALID', async () => {
    const { url } = await serve({
      async open() {
        const side = await open()
        const { accounts: { count, root }, closed } = side.hello.collections as Record<'accounts' | 'closed', CollectionRoot>
        return { ...side, hello: { ...side.hello, collections: { accounts: { count: count + 1, root }, closed } } }
      },
    })
    expect(await failureOf((await dial(url)).pages(['accounts/']))).toMatchObject({ code: 'AGAINST_INVALID' })
  })

  /** A state that has other accounts. */
  async function otherSide(): Promise<DigestSide> {
    const another = memoryStore()
    await runIn(worldOf(1), { source: memoryLog({ partitions: accountLog(9, 2, 3_000) }), projection: accounts, store: another })
    return await openStoreSide(another, 'another')
  }

  test('frames that are longer than the answer, cut off, too many or none are AGAINST_INVALID', async () => {
    const frame = (length: number, bytes: number): Buffer => Buffer.concat([Buffer.from([length >>> 24, length >>> 16, length >>> 8, length]), Buffer.alloc(bytes)])
    for (const body of [frame(0xffff_fffe, 10), frame(11, 10), Buffer.alloc(3), Buffer.concat([frame(1, 1), frame(1, 1)]), Buffer.alloc(0)]) {
      const side = await pagesFrom((_, response) => void response.end(body))
      expect(await failureOf(side.values('accounts', ['a0-1']))).toMatchObject({ code: 'AGAINST_INVALID' })
    }
  })

  test('an answer without end is cut off at the limit', async () => {
    const chunk = Buffer.alloc(1024 * 1024)
    const side = await pagesFrom((_, response) => {
      const more = (): void => { if (!response.destroyed) response.write(chunk, more) }
      more()
    })
    expect(await failureOf(side.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_INVALID', message: expect.stringContaining('longer than') })
    const claims = await pagesFrom((_, response) => void response.writeHead(200, { 'Content-Length': 2 ** 40 }).write('x'))
    expect(await failureOf(claims.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_INVALID' })
    const endless = await lying((_, response) => {
      const more = (): void => { if (!response.destroyed) response.write(chunk, more) }
      more()
    })
    expect(await refusal(endless)).toMatchObject({ code: 'AGAINST_INVALID' })
  })

  test('an answer that ends before its length is AGAINST_UNREACHABLE after three tries', async () => {
    let tries = 0
    const side = await pagesFrom((_, response) => {
      tries++
      response.writeHead(200, { 'Content-Length': 100 }).write('x', () => response.destroy())
    })
    expect(await failureOf(side.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_UNREACHABLE' })
    expect(tries).toBe(3)
  })

  test('one that hangs is given up, before and within an answer, and at once when the signal comes', async () => {
    const hangs = await lying(() => {})
    expect(await refusal(hangs, { timeoutMs: 100 })).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('did not answer within 100 ms') })
    const side = await pagesFrom((_, response) => void response.writeHead(200).write('x'), { timeoutMs: 1_000 })
    expect(await failureOf(side.pages(['accounts/']))).toMatchObject({ code: 'AGAINST_UNREACHABLE' })
    const stop = new AbortController()
    const stopped = failureOf(dial(hangs, { signal: stop.signal }))
    stop.abort()
    expect(await stopped).toMatchObject({ code: 'RUN_STOPPED' })
  })

  test('nobody there, and an address that is none', async () => {
    const { url, close } = await serve()
    await close()
    expect(await refusal(url)).toMatchObject({ code: 'AGAINST_UNREACHABLE', message: expect.stringContaining('ECONNREFUSED') })
    expect(() => remoteSide('http://x', { token: TOKEN, timeout: 1 } as RemoteOptions)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    for (const address of ['localhost:80', 'ftp://x', 'http://user:pass@x', 'http://x/?token=abc', 'nonsense', '']) {
      expect(() => remoteSide(address, { token: TOKEN })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    }
  })

  test('the token never stands in what is told of an error', async () => {
    for (const url of [await answering('{}', 401), await answering('{}', 503), await answering('{}'), 'http://127.0.0.1:1']) {
      const error = await refusal(url)
      expect(`${JSON.stringify(error)} ${error.stack} ${error.message}`).not.toContain(TOKEN)
    }
  })
})
