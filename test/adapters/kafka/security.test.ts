import { setTimeout as sleep } from 'node:timers/promises'
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka, type KafkaOptions } from '../../../adapters/kafka/index.js'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import type { EventSource } from '../../../src/index.js'
import { kafkaListeners, type KafkaListeners } from '../../support/kafka-listeners.js'
import { expectRoot, knownLog, topicOf, type KnownLog } from '../../support/kafka-replays.js'
import { canHaveKafka } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'

type Security = Pick<KafkaOptions, 'ssl' | 'sasl'>
const { READ, DESCRIBE, DESCRIBE_CONFIGS } = AclOperationTypes

describe.skipIf(!canHaveKafka('the Kafka source with SASL, TLS and permissions', { own: true }))('credentials', { timeout: 20_000 }, () => {
  let listeners: KafkaListeners
  let log: KnownLog
  let topic: string
  beforeAll(async () => {
    listeners = await kafkaListeners()
    log = await knownLog(3, 600)
    topic = await topicOf(listeners.broker, log)
    for (const user of ['reader', 'CN=reader']) await allow(user, topic, [READ, DESCRIBE, DESCRIBE_CONFIGS])
  }, 180_000)
  afterAll(() => listeners?.broker.dispose())

  async function allow(user: string, name: string, operations: readonly AclOperationTypes[]): Promise<void> {
    await listeners.broker.admin.createAcls({ acl: operations.map((operation) => ({
      resourceType: AclResourceTypes.TOPIC, resourceName: name, resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${user}`, host: '*', operation, permissionType: AclPermissionTypes.ALLOW,
    })) })
  }

  const source = (listener: keyof KafkaListeners['ports'], security: Security, topics = [topic]): EventSource =>
    kafka({ brokers: [`127.0.0.1:${listeners.ports[listener]}`], topics, ...security })
  const as = (username: string, mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512' = 'plain', password = `${username}-secret`) =>
    ({ sasl: { mechanism, username, password } })
  /** A token without a signature, which the test broker takes; it is made anew for each connection. */
  const bearer = (validForMs: number): Security => ({ sasl: { mechanism: 'oauthbearer', token: async () => ({ value: tokenOf('reader', validForMs) }) } })
  const tls = () => ({ ca: [listeners.authority] })

  /** That a run ends with at once: whatever may pass is tried for two minutes. */
  async function refusal(listener: keyof KafkaListeners['ports'], security: Security, topics = [topic]) {
    const refused = source(listener, security, topics)
    const failure = await failureOf(expectRoot(log, refused))
    await refused.close()
    return failure
  }

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('SASL %s lets its user read, and a wrong password is CONFIG_INVALID at once', async (mechanism) => {
    await expectRoot(log, source('SASL', as('reader', mechanism)))
    const failure = await refusal('SASL', as('reader', mechanism, 'another'))
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64, details: { fix: expect.stringContaining('`sasl`') } })
    expect(failure.message).toMatch(/^127\.0\.0\.1:\d+: .*[Aa]uthentication/)
    expect(JSON.stringify(failure)).not.toContain('another')
  })

  test('SASL oauthbearer lets the owner of a token read, and a token that has expired is CONFIG_INVALID at once', async () => {
    await expectRoot(log, source('SASL', bearer(3_600_000)))
    const failure = await refusal('SASL', bearer(-3_600_000))
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64, details: { fix: expect.stringContaining('`sasl`') } })
  })

  test('a mechanism that the broker does not offer is CONFIG_INVALID at once', async () => {
    const failure = await refusal('SASL_TLS', { ...as('reader', 'scram-sha-512'), ssl: tls() })
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', details: { fix: expect.stringContaining('mechanism') } })
  })

  test('SASL over TLS reads with the authority of the broker; without it, it is CONFIG_INVALID at once', async () => {
    for (const mechanism of ['plain', 'scram-sha-256'] as const) await expectRoot(log, source('SASL_TLS', { ...as('reader', mechanism), ssl: tls() }))
    const failure = await refusal('SASL_TLS', { ...as('reader'), ssl: true })
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64, details: { fix: expect.stringContaining('authority') } })
    expect(failure.message).toMatch(/^127\.0\.0\.1:\d+: .*certificate/)
  })

  test('a client certificate is asked for: ours reads, none and that of a stranger are CONFIG_INVALID at once', async () => {
    await expectRoot(log, source('MUTUAL', { ssl: { ...tls(), ...listeners.reader } }))
    for (const ssl of [tls(), { ...tls(), ...listeners.stranger }]) {
      const failure = await refusal('MUTUAL', { ssl })
      expect(failure).toMatchObject({ code: 'CONFIG_INVALID', details: { fix: expect.stringContaining('our certificate') } })
    }
  })

  test('TLS to a listener that has none is told as that', async () => {
    const port = kafkajsPort({ brokers: [`127.0.0.1:${listeners.ports.SASL}`], ssl: tls(), giveUpAfterMs: 500 })
    const failure = await failureOf(port.describe([topic]))
    expect([failure.code, failure.message]).toEqual(['SOURCE_UNREACHABLE', expect.stringContaining('TLS')])
    await port.close()
  })

  test('who may not describe a topic, or not read it, is told at once which one and what to allow', async () => {
    const seen = await topicOf(listeners.broker, log)
    await allow('stranger', seen, [DESCRIBE, DESCRIBE_CONFIGS])
    for (const name of [topic, seen]) {
      const failure = await refusal('SASL', as('stranger'), [name])
      expect(failure).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64, details: { actual: 'TOPIC_AUTHORIZATION_FAILED' } })
      expect(failure.message).toContain(name)
      expect(failure.details.fix).toBe('Allow this user Read on the topic.')
    }
  })

  test('Read on the topic is enough to read it; its policy is not known then', async () => {
    const least = await topicOf(listeners.broker, log)
    await allow('reader', least, [READ])
    const port = kafkajsPort({ brokers: [`127.0.0.1:${listeners.ports.SASL}`], ...as('reader') })
    expect((await port.describe([least])).topics.get(least)).toMatchObject({ compacted: null })
    await port.close()
    const reader = source('SASL', as('reader'), [least])
    const bounds = await reader.bounds()
    let read = 0
    for (const [partition, { first, last }] of bounds) {
      const range = { after: first - 1, upTo: last, mark: null }
      for await (const batch of reader.read(partition, range, { events: 500, bytes: 1 << 20 }, new AbortController().signal)) read += batch.length
    }
    expect(read).toBe(log.total)
    await reader.close()
    // A projection that needs every record is sealed as well: none is missing.
    await expectRoot(log, source('SASL', as('reader'), [least]))
  })

  test('sessions that end after two seconds are no end of a read, and cost and repeat nothing', async () => {
    const long = await knownLog(4)
    const name = await topicOf(listeners.broker, long)
    await allow('reader', name, [READ, DESCRIBE_CONFIGS])
    // 120 batches: each read lasts for several sessions.
    await Promise.all([as('reader', 'scram-sha-256'), bearer(3_600_000)].map((security) =>
      expectRoot(long, source('SESSIONS', security, [name]), () => sleep(35))))
  }, 60_000)
})

function tokenOf(user: string, validForMs: number): string {
  const seconds = Math.floor(Date.now() / 1_000)
  const claims = { sub: user, iat: seconds - 7_200, exp: seconds + validForMs / 1_000 }
  return `${[{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`
}
