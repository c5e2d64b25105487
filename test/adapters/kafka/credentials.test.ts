import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { kafka, type KafkaSasl, type KafkaSsl, type KafkaText, type KafkaToken } from '../../../adapters/kafka/index.js'
import { kafkajsPort, type KafkajsOptions } from '../../../adapters/kafka/port-kafkajs.js'
import type { KafkaPort } from '../../../adapters/kafka/port.js'
import { securityOf } from '../../../adapters/kafka/security.js'
import { env } from '../../../src/index.js'
import { failureOf } from '../../support/worlds.js'
import { encodeBatch } from './encode-batch.js'
import { ScriptedCluster } from './scripted-broker.js'

const LIMITS = { bytesPerPartition: 1 << 20, bytes: 8 << 20, waitMs: 10, readCommitted: false }
const never = new AbortController().signal

describe('credentials, against a cluster that says how long they count', () => {
  let cluster: ScriptedCluster
  let folder: string
  const ports: KafkaPort[] = []

  beforeEach(async () => {
    cluster = await new ScriptedCluster().listen()
    cluster.log[0] = [{ base: 0, last: 0, bytes: encodeBatch({ base: 0, records: [{ delta: 0, key: null, value: Buffer.from('v') }] }) }]
    folder = await mkdtemp(join(tmpdir(), 'rehydrate-credentials-'))
  })
  afterEach(async () => {
    for (const port of ports.splice(0)) await port.close()
    cluster.close()
    await rm(folder, { recursive: true })
  })

  function open(options: Partial<KafkajsOptions>): KafkaPort {
    const port = kafkajsPort({ brokers: [cluster.address(0)], requestTimeoutMs: 1_000, giveUpAfterMs: 3_000, ...options })
    ports.push(port)
    return port
  }

  const readOnce = async (port: KafkaPort) => (await port.fetch({ topic: 't', partition: 0, offset: 0 }, LIMITS, never))?.records.length
  const plain = (password: KafkaText): KafkaSasl => ({ mechanism: 'plain', username: 'alice', password })

  test('a session is renewed before it ends, by new connections: no request is refused', async () => {
    cluster.sasl = { username: 'alice', password: 'secret' }
    cluster.sessionMs = 500
    // What fails is not tried again.
    const port = open({ sasl: plain('secret'), giveUpAfterMs: 0 })
    for (const end = Date.now() + 1_500; Date.now() < end; await sleep(5)) {
      expect(await readOnce(port)).toBeGreaterThan(0)
      await port.offsets([{ topic: 't', partition: 0 }])
    }
    // Two connections each time.
    expect(cluster.authentications).toBeGreaterThanOrEqual(6)
  })

  test('a token is asked for again before it expires, and by who connects anew', async () => {
    let issued = 0
    let valid = ''
    cluster.sasl = { token: () => valid }
    const token = async () => ({ value: valid = `token-${++issued}`, expiresAtMs: Date.now() + 400 })
    const port = open({ sasl: { mechanism: 'oauthbearer', token }, giveUpAfterMs: 0 })
    for (const end = Date.now() + 1_000; Date.now() < end; await sleep(5)) expect(await readOnce(port)).toBeGreaterThan(0)
    expect(issued).toBeGreaterThanOrEqual(3)
    const before = issued
    cluster.cut()
    const again = open({ sasl: { mechanism: 'oauthbearer', token } })
    expect(await readOnce(again)).toBeGreaterThan(0)
    expect(issued).toBeGreaterThan(before)
  })

  test('a token that can not be had is tried again, one that is none is CONFIG_INVALID, and so is a refused one', async () => {
    cluster.sasl = { token: () => 'right' }
    let tries = 0
    const flaky = async () => {
      if (++tries < 3) throw new Error('no answer from the identity provider')
      return { value: 'right' }
    }
    expect(await readOnce(open({ sasl: { mechanism: 'oauthbearer', token: flaky } }))).toBeGreaterThan(0)
    for (const token of [async () => ({ value: 'wrong' }), async () => ({ value: '' }), async () => null as never]) {
      const failure = await failureOf(readOnce(open({ sasl: { mechanism: 'oauthbearer', token } })))
      expect(failure).toMatchObject({ code: 'CONFIG_INVALID', details: { path: expect.stringMatching(/^sasl/) } })
    }
    const down = async (): Promise<never> => { throw new Error('the identity provider is down') }
    const failure = await failureOf(readOnce(open({ sasl: { mechanism: 'oauthbearer', token: down }, giveUpAfterMs: 100 })))
    expect(failure).toMatchObject({ code: 'SOURCE_UNREACHABLE', message: expect.stringContaining('sasl.token threw: the identity provider is down') })
    const late = (token: () => Promise<KafkaToken>): Promise<unknown> => failureOf(securityOf(false, { mechanism: 'oauthbearer', token }, 20))
    expect(await late(() => new Promise(() => {}))).toMatchObject({ message: 'sasl.token has given no token for 20 ms.' })
    expect(await late(() => Promise.reject(null))).toMatchObject({ message: 'sasl.token threw: null' })
    expect(await late(async () => ({ value: env('REHYDRATE_NO_SUCH').reveal() }))).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('a password in a file is read for each connection, so that another one counts from then on', async () => {
    const file = join(folder, 'password')
    await writeFile(file, 'first\n')
    cluster.sasl = { username: 'alice', password: 'first' }
    const port = open({ sasl: plain({ file }) })
    expect(await readOnce(port)).toBeGreaterThan(0)
    cluster.sasl = { username: 'alice', password: 'second' }
    await writeFile(file, 'second')
    cluster.cut()
    expect(await readOnce(port)).toBeGreaterThan(0)
    await rm(file)
    cluster.cut()
    expect(await failureOf(readOnce(port))).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'sasl.password', actual: file } })
  })

  test('a variable that is not set is CONFIG_INVALID with its name; a secret is never shown', async () => {
    const failure = await failureOf(readOnce(open({ sasl: plain(env('REHYDRATE_NO_SUCH')) })))
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('REHYDRATE_NO_SUCH') })
    cluster.sasl = { username: 'alice', password: 'secret' }
    const refused = await failureOf(readOnce(open({ sasl: plain('hunter2') })))
    expect(refused).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'sasl' } })
    expect(`${refused.message} ${JSON.stringify(refused)}`).not.toContain('hunter2')
  })

  test('a connection that is lost while it authenticates is no wrong password', async () => {
    cluster.sasl = { username: 'alice', password: 'secret' }
    cluster.answerAfterMs = 100
    const port = open({ sasl: plain('secret'), giveUpAfterMs: 8_000 })
    const reading = readOnce(port)
    while (!cluster.requests.some(({ api }) => api === 36)) await sleep(1)
    cluster.cut()
    cluster.answerAfterMs = 0
    expect(await reading).toBeGreaterThan(0)
  })

  test.each<[string, KafkaSsl]>([
    ['ssl.ca', { ca: { file: '/nowhere/ca.pem' } }], ['ssl.ca', { ca: ['no certificate'] }],
    ['ssl.cert', { cert: 'no certificate', key: 'no key' }], ['ssl.key', { key: { file: '/nowhere/key.pem' }, cert: { file: '/nowhere/key.pem' } }],
  ])('%s that can not be used is CONFIG_INVALID by name, at once', async (option, ssl) => {
    const failure = await failureOf(open({ ssl }).describe(['t']))
    expect(failure.code).toBe('CONFIG_INVALID')
    expect(failure.details.path).toMatch(option === 'ssl.key' ? /^ssl\.(key|cert)$/ : new RegExp(`^${option}$`))
  })
})

describe('options of the kafka source for credentials', () => {
  test.each<[string, object]>([
    ['sasl.mechanism', { sasl: { mechanism: 'gssapi', username: 'a', password: 'b' } }],
    ['sasl.password', { sasl: { mechanism: 'plain', username: 'a' } }],
    ['sasl.username', { sasl: { mechanism: 'plain', username: '', password: 'b' } }],
    ['sasl.token', { sasl: { mechanism: 'oauthbearer' } }],
    ['ssl.key', { ssl: { cert: 'x' } }],
    ['ssl.ca', { ssl: { ca: [1] } }],
    ['rack', { rack: '' }],
    ['clientId', { clientId: 1 }],
  ])('%s that is wrong is CONFIG_INVALID by name, before a broker is asked', (path, options) => {
    let failure: unknown
    try {
      kafka({ brokers: ['a:1'], topics: ['t'], ...options } as never)
    } catch (error) {
      failure = error
    }
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', details: { path } })
  })

  test('all that are right make a source', () => {
    for (const sasl of [
      { mechanism: 'scram-sha-512', username: env('U'), password: { file: 'password' } },
      { mechanism: 'oauthbearer', token: async () => ({ value: 't' }) }, { mechanism: 'oauthbearer', token: { file: 'token' } },
    ] as const) {
      expect(kafka({ brokers: env('B'), topics: ['t'], sasl, ssl: { ca: { file: 'ca' }, cert: { file: 'c' }, key: env('K') }, rack: 'r', clientId: 'c' })).toBeDefined()
    }
  })
})
