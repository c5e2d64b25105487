import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startService, type Service } from '../../../docs/examples/handover/service.js'
import { cli, type Ran } from '../../cli/harness.js'
import { kafka } from '../../../adapters/kafka/index.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { handOver } from '../../../src/index.js'
import { accountLog, accounts } from '../../support/accounts.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { seeded } from '../../support/worlds.js'
import { messageOf, optionsFor } from './topic-log.js'

const EXAMPLE = join(import.meta.dirname, '../../../docs/examples/handover')
const PARTITIONS = 3

describe.skipIf(!canHaveKafka('handing a state over to a real consumer group'))('a hand-over, on a real broker', () => {
  let broker: TestBroker
  let folder: string
  beforeAll(async () => {
    broker = await kafkaBroker()
    folder = mkdtempSync(join(tmpdir(), 'rehydrate-handover-'))
    cpSync(EXAMPLE, folder, { recursive: true })
    process.env['KAFKA_BROKERS'] ??= broker.brokers.join()
  }, 180_000)
  afterAll(async () => {
    await broker?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const random = seeded(6)
  const moves = (count: number): Message[] => Array.from({ length: count }, () => ({
    key: `a${Math.floor(random() * 40)}`,
    value: JSON.stringify(random() < 0.05 ? { type: 'Closed', data: {} } : { type: 'Moved', data: { cents: Math.floor(random() * 1_000) } }),
  }))
  const accountOf = ({ key }: Message): number => Number(String(key).slice(1)) % PARTITIONS
  /** The partition follows from the key. */
  const produce = async (topic: string, count: number): Promise<void> => {
    const messages = moves(count)
    for (let p = 0; p < PARTITIONS; p++) await broker.produce(topic, messages.filter((message) => accountOf(message) === p), { partition: p })
  }
  /** Partition 0 ends in the marker of a transaction: the next offset lies behind it. */
  const endInMarker = async (topic: string): Promise<void> => {
    const producer = await broker.producer({ transactionalId: 'mover', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    const messages = moves(200).filter((message) => accountOf(message) === 0).map((message) => ({ ...message, partition: 0 }))
    const before = (await ends(topic))[`${topic}/0`] as number
    await transaction.send({ topic, messages })
    await transaction.commit()
    await until(async () => (await ends(topic))[`${topic}/0`] === before + messages.length + 1)
  }
  const json = async (...args: string[]): Promise<Ran & { readonly document: any }> => {
    const ran = await cli(folder, [...args, '--json'])
    return { ...ran, document: ran.json() }
  }
  const progressOf = (): Record<string, number> => {
    const db = new Database(join(folder, 'service.db'), { readonly: true })
    const rows = db.prepare<[], { partition: string; last_offset: number }>('SELECT partition, last_offset FROM progress').all()
    db.close()
    return Object.fromEntries(rows.map(({ partition, last_offset: offset }) => [partition, offset]))
  }
  const ends = async (topic: string): Promise<Record<string, number>> => Object.fromEntries(
    (await broker.admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [`${topic}/${partition}`, Number(high) - 1]))
  const committedOf = async (group: string, topic: string): Promise<Record<string, number>> => Object.fromEntries(
    ((await broker.admin.fetchOffsets({ groupId: group, topics: [topic] }))[0]?.partitions ?? [])
      .map(({ partition, offset }) => [`${topic}/${partition}`, Number(offset)]))
  const serve = (topic: string, group: string): Promise<Service> => startService({ brokers: broker.brokers, topic, group, folder })
  const until = async (isSo: () => Promise<boolean> | boolean): Promise<void> => {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
  }

  test('the handed-over example service ends with the state that the rebuild proves at its last offset, and can be handed back', async () => {
    const topic = await broker.makeTopic({ partitions: PARTITIONS })
    const other = await broker.makeTopic()
    const group = `service-of-${topic}`
    process.env['TOPIC'] = topic
    await produce(topic, 3_000)
    await endInMarker(topic)
    await broker.admin.setOffsets({ groupId: group, topic: other, partitions: [{ partition: 0, offset: '0' }] })

    expect((await json('replay', 'accounts')).exit).toBe(0)
    await produce(topic, 500)
    const planned = await json('handover', 'accounts', '--group', group)
    expect(planned.document).toMatchObject({ outcome: 'planned', state: 'Empty', members: [], others: [`${other}/0`], refusals: [] })
    expect(await committedOf(group, topic)).toMatchObject({ [`${topic}/0`]: -1 })
    const given = await json('handover', 'accounts', '--group', group, '--wait', '--execute')
    expect(given.exit).toBe(0)
    writeFileSync(join(folder, 'handover.json'), given.stdout)
    const standing = given.document.position
    expect(standing).toEqual(await ends(topic))
    expect(await committedOf(group, topic)).toEqual(Object.fromEntries(Object.entries(standing).map(([name, at]) => [name, Number(at) + 1])))
    expect((await json('replay', 'accounts')).document.error.code).toBe('HANDED_OVER')

    await produce(topic, 1_500)
    let service = await serve(topic, group)
    await until(() => service.tally.applied >= 1_500)
    // With members nobody may be set back, nor take the state.
    expect((await json('handover', 'accounts', '--back', '--execute')).document.error.code).toBe('GROUP_ACTIVE')
    expect((await json('handover', 'proof', '--group', group, '--execute')).document.error.code).toBe('GROUP_ACTIVE')
    expect((await json('verify', 'accounts', '--against', 'service', '--wait')).document).toMatchObject({ verdict: 'match', differing: 0 })
    await service.stop()
    expect(service.tally).toEqual({ applied: 1_500, repeated: 0 })
    for (const [partition, offset] of service.firstOffsets) expect(offset).toBe(standing[partition] + 1)

    // It goes on by itself, as any consumer, and where its own commit came without the group's, as after a crash.
    await produce(topic, 300)
    const before = await committedOf(group, topic)
    await broker.admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: String((before[`${topic}/0`] as number) - 5) }] })
    service = await serve(topic, group)
    await until(() => service.tally.applied >= 300)
    await service.stop()
    expect(service.tally).toEqual({ applied: 300, repeated: 5 })
    expect(progressOf()).toEqual(await ends(topic))

    const position = Object.entries(progressOf()).map(([partition, offset]) => `${partition}@${offset}`).join()
    const proof = await json('replay', 'proof', '--until', position)
    expect(proof.document.position).toEqual(progressOf())
    const verdict = (await json('verify', 'proof', '--against', 'service')).document
    expect(verdict).toMatchObject({ verdict: 'match', differing: 0, asserted: false })

    const taken = await json('handover', 'accounts', '--back', '--execute')
    expect(taken.document).toMatchObject({ outcome: 'ours', group, position: standing })
    const ours = await json('replay', 'accounts')
    expect(ours.document).toMatchObject({ applied: 1_800, root: proof.document.root })
    // Of every other stored byte it was read when it was written only.
    expect(ours.document.seal).toEqual({ ...proof.document.seal, scrubbedAt: ours.document.seal.scrubbedAt })
  }, 120_000)

  test('a service that lost or repeated one event is found by the same comparison', async () => {
    const db = new Database(join(folder, 'service.db'))
    db.prepare('UPDATE account SET chain = chain + 1 WHERE id = (SELECT id FROM account LIMIT 1)').run()
    db.close()
    expect((await json('verify', 'proof', '--against', 'service')).document).toMatchObject({ verdict: 'mismatch', differing: 1 })
  })

  test('behind the position an open transaction is said, and the group begins with its records; partitions without records begin at 0', async () => {
    const topic = await broker.makeTopic({ partitions: 2 })
    const messages = accountLog(1, 1, 8)['moves/0']!.map((event) => messageOf(event as never))
    await broker.produce(topic, messages.slice(0, 5), { partition: 0 })
    const producer = await broker.producer({ transactionalId: 'open', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: messages.slice(5).map((message) => ({ ...message, partition: 0 })) })
    const source = kafka(optionsFor(broker, topic))
    const group = `group-of-${topic}`
    const given = await handOver({ source, store: memoryStore(), projection: accounts, group, execute: true })
    await transaction.commit()
    expect(given.partitions).toEqual([
      { partition: `${topic}/0`, committed: null, position: 4, behind: 0, atOpenTransaction: true },
      { partition: `${topic}/1`, committed: null, position: -1, behind: 0, atOpenTransaction: false },
    ])
    expect(await committedOf(group, topic)).toEqual({ [`${topic}/0`]: 5, [`${topic}/1`]: 0 })
  })
})
