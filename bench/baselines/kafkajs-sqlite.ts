/** What one would write today: a kafkajs consumer with JSON.parse and better-sqlite3 (WAL, prepared statements, upsert in SQL). */
import Database from 'better-sqlite3'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import type { KafkaInput, KafkaResult } from '../kafka-trial.js'
import { bytesIn } from '../fold-trial.js'
import { checkOf, tableOf, type Line } from '../naive-tables.js'
import { Stretch, tellResult, trialInput } from '../trial.js'

export interface ConsumerInput extends KafkaInput {
  /** 'eachBatch': one transaction a batch. 'eachMessage': autocommit. */
  readonly run: 'eachMessage' | 'eachBatch'
}

const { brokers, topic, events, folder, run } = trialInput<ConsumerInput>()
const stretch = new Stretch()
const database = new Database(join(folder, 'state.db'))
database.pragma('journal_mode = WAL')
database.pragma('synchronous = NORMAL')
database.exec('CREATE TABLE position (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL)')
const setPosition = database.prepare('INSERT INTO position VALUES (?, ?) ON CONFLICT (partition) DO UPDATE SET offset = excluded.offset')
const table = tableOf('columns', database)
const consumer = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  .consumer({ groupId: `bench-${process.pid}-${Date.now()}` })
await consumer.connect()
await consumer.subscribe({ topics: [topic], fromBeginning: true })
let applied = 0
let finish = (): void => {}
const finished = new Promise<void>((resolve) => { finish = resolve })
const apply = (value: Buffer | null): void => {
  stretch.first()
  table.apply(JSON.parse((value as Buffer).toString()) as Line)
  if (++applied === events) finish()
}
await consumer.run({
  autoCommit: false,
  ...(run === 'eachMessage' ? {
    async eachMessage({ partition, message }) {
      apply(message.value)
      setPosition.run(partition, Number(message.offset))
    },
  } : {
    async eachBatch({ batch }) {
      database.transaction(() => {
        for (const { value } of batch.messages) apply(value)
        setPosition.run(batch.partition, Number(batch.lastOffset()))
      })()
    },
  }),
})
await finished
await consumer.stop()
// As with ours, the end is on the disk.
database.pragma('synchronous = FULL')
database.pragma('wal_checkpoint(TRUNCATE)')
const cost = stretch.end()
const result: KafkaResult = { ...cost, events: applied, storeBytes: bytesIn(folder), check: await checkOf(table.rows()), sealMs: null }
database.close()
await consumer.disconnect()
tellResult(result)
