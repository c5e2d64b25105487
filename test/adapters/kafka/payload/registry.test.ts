import { createServer, type IncomingMessage, type Server } from 'node:http'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BundledSchemas, saveBundle } from '../../../../adapters/kafka/payload/bundle.js'
import { RegistryClient } from '../../../../adapters/kafka/payload/registry.js'
import { Schemas, schemaHash } from '../../../../adapters/kafka/payload/schemas.js'
import { env } from '../../../../src/index.js'
import { failureOf } from '../../../support/worlds.js'

type Answer = readonly [status: number, body: unknown]

const { signal } = new AbortController()
const asked: { readonly url: string; readonly authorization: string | undefined }[] = []
let answer: (request: IncomingMessage) => Answer | Promise<Answer>
let server: Server
let url: string

beforeEach(async () => {
  asked.length = 0
  server = createServer((request, response) => {
    asked.push({ url: request.url as string, authorization: request.headers.authorization })
    void (async () => {
      const [status, body] = await answer(request)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

const PATHS: Readonly<Record<string, unknown>> = {
  '/schemas/ids/1': { schema: '"string"' },
  '/schemas/ids/2': { schemaType: 'PROTOBUF', schema: 'b', references: [{ name: 'a.proto', subject: 'a/b', version: 3 }] },
  '/subjects/a%2Fb/versions/3?deleted=true': { subject: 'a/b', version: 3, id: 9, schemaType: 'PROTOBUF', schema: 'a', references: [] },
  '/subjects/orders-value/versions?deleted=true': [1, 2],
  '/subjects/orders-value/versions/1?deleted=true': { id: 2, schema: 'b' },
  '/subjects/orders-value/versions/2?deleted=true': { id: 1, schema: '"string"' },
}
const serve = ({ url: path }: IncomingMessage): Answer =>
  Object.hasOwn(PATHS, path as string) ? [200, PATHS[path as string]] : [404, { error_code: 40403 }]

describe('a registry', () => {
  test('is asked once for a schema, however many want it, and for what that refers to', async () => {
    answer = serve
    const client = new RegistryClient({ url: `${url}/` })
    const both = await Promise.all([client.schema(2, signal), client.schema(2, signal), client.schema(1, signal)])
    const second = { schemaType: 'PROTOBUF', schema: 'b', references: [{ name: 'a.proto', schemaType: 'PROTOBUF', schema: 'a', references: [] }] }
    expect(both).toEqual([second, second, { schemaType: 'AVRO', schema: '"string"', references: [] }])
    await client.schema(2, signal)
    expect(asked.map(({ url: path }) => path).sort()).toEqual(['/schemas/ids/1', '/schemas/ids/2', '/subjects/a%2Fb/versions/3?deleted=true'])
  })

  test('that does not have a schema is asked again the next time', async () => {
    answer = serve
    const client = new RegistryClient({ url })
    expect([await client.schema(5, signal), await client.schema(5, signal), asked.length]).toEqual([null, null, 2])
  })

  test('in trouble is asked until it answers, and is SOURCE_UNREACHABLE in the end', async () => {
    let left = 2
    answer = (request) => (left-- > 0 ? [left === 0 ? 429 : 503, {}] : serve(request))
    expect(await new RegistryClient({ url }).schema(1, signal)).toMatchObject({ schema: '"string"' })
    expect(asked.length).toBe(3)
    answer = () => [500, {}]
    const error = await failureOf(new RegistryClient({ url }, 100).schema(1, signal))
    expect([error.code, error.message]).toEqual(['SOURCE_UNREACHABLE', expect.stringContaining('500')])
    const nobody = new RegistryClient({ url: 'http://127.0.0.1:9' }, 100)
    const refused = await failureOf(nobody.schema(1, signal))
    expect([refused.code, refused.message]).toEqual(['SOURCE_UNREACHABLE', expect.stringMatching(/bad port|ECONNREFUSED/)])
  })

  test('gets credentials as it wants them, and names no secret when it refuses them', async () => {
    process.env['REGISTRY_SECRET'] = 'tiger'
    answer = serve
    await new RegistryClient({ url, auth: { username: 'scott', password: env('REGISTRY_SECRET') } }).schema(1, signal)
    await new RegistryClient({ url, auth: { token: env('REGISTRY_SECRET') } }).schema(1, signal)
    const file = join(tmpdir(), `registry-password-${process.pid}`)
    await writeFile(file, 'tiger\n')
    await new RegistryClient({ url, auth: { username: 'scott', password: { file } } }).schema(1, signal)
    await rm(file)
    const basic = `Basic ${Buffer.from('scott:tiger').toString('base64')}`
    expect(asked.map(({ authorization }) => authorization)).toEqual([basic, 'Bearer tiger', basic])
    const gone = await failureOf(new RegistryClient({ url, auth: { token: { file } } }).schema(1, signal))
    expect([gone.code, gone.details.path]).toEqual(['CONFIG_INVALID', 'registry.auth.token'])
    answer = () => [401, {}]
    const error = await failureOf(new RegistryClient({ url, auth: { token: env('REGISTRY_SECRET') } }).schema(1, signal))
    expect([error.code, JSON.stringify(error).includes('tiger')]).toEqual(['CONFIG_INVALID', false])
    delete process.env['REGISTRY_SECRET']
  })

  test('whose address or token can not be used is CONFIG_INVALID at once, and neither is shown', async () => {
    for (const given of [url.replace('//', '//scott:tiger@'), url.replace('//', '//:tiger@'), 'tiger', 'ftp://tiger/']) {
      for (const secret of [given, { reveal: () => given }]) {
        const error = await failureOf(new RegistryClient({ url: secret }).schema(1, signal))
        expect([error.code, error.details.path, inspect(error, { depth: 9 }).includes('tiger')]).toEqual(['CONFIG_INVALID', 'registry.url', false])
      }
    }
    const error = await failureOf(new RegistryClient({ url, auth: { token: 'tig\ner' } }).schema(1, signal))
    expect([error.code, error.details.path, inspect(error, { depth: 9 }).includes('tig')]).toEqual(['CONFIG_INVALID', 'registry.auth.token', false])
    expect(asked).toEqual([])
  })

  test('that answers what no registry answers is named, and not asked again', async () => {
    for (const [status, body] of [[200, { schema: 5 }], [200, { schema: 's', schemaType: 'XML' }], [422, {}]] as const) {
      answer = () => [status, body]
      expect((await failureOf(new RegistryClient({ url }).schema(1, signal))).code).toBe('SOURCE_UNREACHABLE')
    }
    answer = ({ url: path }) => [200, { schemaType: 'JSON', schema: '{}', references: [{ name: 'x', subject: path, version: asked.length }] }]
    expect((await failureOf(new RegistryClient({ url }).schema(1, signal))).message).toContain('in a row')
    // Together, each waits for the other.
    answer = ({ url: path }) => [200, { schema: 's', references: [{ name: 'x', subject: path?.includes('a') ? 'b' : 'a', version: 1 }] }]
    const circular = new RegistryClient({ url })
    for (const asking of [circular.schema(1, signal), circular.schema(2, signal), circular.schema(1, signal)]) {
      expect((await failureOf(asking)).message).toMatch(/refers to itself/)
    }
    answer = ({ url: path }) => (path === '/schemas/ids/1' ? [200, { schema: 's', references: [{ name: 'x', subject: 'gone', version: 1 }] }] : [404, {}])
    expect((await failureOf(new RegistryClient({ url }).schema(1, signal))).message).toContain('gone in version 1')
  })

  test('is left by one who no longer waits, not by the others; closing leaves it for all', async () => {
    let go = (): void => {}
    const held = new Promise<void>((done) => { go = done })
    answer = async (request) => held.then(() => serve(request))
    const client = new RegistryClient({ url })
    const leaving = new AbortController()
    const [left, stayed] = [client.schema(1, leaving.signal), client.schema(1, signal)]
    leaving.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    go()
    expect(await stayed).toMatchObject({ schema: '"string"' })
    answer = () => new Promise(() => {})
    const waiting = client.schema(2, signal)
    client.close()
    await expect(waiting).rejects.toThrow('closed')
  })
})

test('a registry gives all versions of the subjects that are there', async () => {
  answer = serve
  const schemas = await new RegistryClient({ url }).schemasOf(['orders-value', 'none'], signal)
  expect(schemas.map(({ schema }) => schema)).toEqual(['b', '"string"'])
})

describe('a bundle', () => {
  let folder: string
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'rehydrate-bundle-')) })
  afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

  test('has what its registry had, and needs no network; its schemas have the same hashes', async () => {
    answer = serve
    const path = join(folder, 'schemas.json')
    expect(await saveBundle({ url, path, subjects: ['orders-value'], ids: [1] })).toEqual([1, 2])
    const client = new RegistryClient({ url })
    const bundled = new BundledSchemas(path)
    for (const id of [1, 2]) {
      const [there, here] = [await client.schema(id, signal), await bundled.schema(id)]
      expect(here).toEqual(there)
      expect(schemaHash(here!)).toBe(schemaHash(there!))
    }
    expect(await bundled.schema(3)).toBe(null)
    expect(schemaHash((await bundled.schema(1))!)).not.toBe(schemaHash((await bundled.schema(2))!))
  })

  test('is not written where a subject or an id is not there', async () => {
    answer = serve
    const path = join(folder, 'schemas.json')
    expect((await failureOf(saveBundle({ url, path, subjects: ['no-value'] }))).message).toContain('no-value')
    expect((await failureOf(saveBundle({ url, path, ids: [77] }))).message).toContain('77')
    await expect(readFile(path)).rejects.toThrow('ENOENT')
  })

  test('that is none is CONFIG_INVALID with its path', async () => {
    const path = join(folder, 'schemas.json')
    for (const text of [null, 'x', 'null', '{}', '{"bundle":2}', '{"bundle":1,"schemas":{"1":{"schema":"s","schemaType":"AVRO"}}}',
      '{"bundle":1,"schemas":{"1":{"schema":"s","schemaType":"AVRO","references":[null]}}}']) {
      if (text !== null) await writeFile(path, text)
      const error = await failureOf(new BundledSchemas(path).schema(1))
      expect([error.code, error.details.file]).toEqual(['CONFIG_INVALID', path])
    }
  })
})

test('a reader is made once for each schema, and one that can not be had says so when it is needed', async () => {
  answer = serve
  const schemas = new Schemas(new RegistryClient({ url }))
  const first = await schemas.readersOf(new Set([1, 4]), signal)
  expect([first.get(1)?.kind, first.get(4)]).toEqual(['avro', { id: 4, hash: '', kind: 'unreadable', why: 'is not in the registry' }])
  expect((await schemas.readersOf(new Set([1]), signal)).get(1)).toBe(first.get(1))
})
