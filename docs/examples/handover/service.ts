import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kafka, logLevel, type Batch, type Consumer } from 'kafkajs'
import { moved, type Account } from './rule.ts'

export interface ServiceOptions {
  readonly brokers: readonly string[]
  readonly topic: string
  readonly group: string
  /** Where state.db and handover.json are, and service.db will be. */
  readonly folder: string
}

export interface Service {
  /** Events applied, and those that came though they were applied before, since the start. */
  readonly tally: { readonly applied: number; readonly repeated: number }
  /** The first offset that came, by partition. */
  readonly firstOffsets: ReadonlyMap<string, number>
  stop(): Promise<void>
}

/** A service that had no state of its own: it begins with the one that was handed over to it, and goes on as an ordinary consumer. */
export async function startService({ brokers, topic, group, folder }: ServiceOptions): Promise<Service> {
  const tables = openTables(folder)
  const consumer = new Kafka({ clientId: 'accounts-service', brokers: [...brokers], logLevel: logLevel.ERROR }).consumer({ groupId: group })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  await consumer.run({ autoCommit: false, eachBatch: ({ batch }) => applyBatch(tables, consumer, batch) })
  return {
    tally: tables.tally, firstOffsets: tables.firstOffsets,
    async stop() {
      await consumer.disconnect()
      tables.db.close()
    },
  }
}

/** Rows and progress change in one transaction. The group's offset comes after it: who crashes between them meets events again. */
async function applyBatch(tables: Tables, consumer: Consumer, batch: Batch): Promise<void> {
  tables.apply(batch)
  await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset: String(Number(batch.lastOffset()) + 1) }])
}

interface Tables {
  readonly db: Database.Database
  readonly tally: { applied: number; repeated: number }
  readonly firstOffsets: Map<string, number>
  readonly apply: (batch: Batch) => void
}

function openTables(folder: string): Tables {
  const db = new Database(join(folder, 'service.db'))
  db.pragma('journal_mode = WAL')
  const isNew = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'progress'").get() === undefined
  if (isNew) takeOver(db, folder)
  const statements = {
    lastOffset: db.prepare<[string], { last_offset: number }>('SELECT last_offset FROM progress WHERE partition = ?'),
    read: db.prepare<[string], Account>('SELECT cents, moves, chain FROM account WHERE id = ?'),
    write: db.prepare('INSERT OR REPLACE INTO account (id, cents, moves, chain) VALUES (?, ?, ?, ?)'),
    remove: db.prepare('DELETE FROM account WHERE id = ?'),
    advance: db.prepare('INSERT OR REPLACE INTO progress (partition, last_offset) VALUES (?, ?)'),
  }
  const tally = { applied: 0, repeated: 0 }
  const firstOffsets = new Map<string, number>()
  const apply = db.transaction((batch: Batch) => {
    const partition = `${batch.topic}/${batch.partition}`
    const applied = statements.lastOffset.get(partition)?.last_offset ?? -1
    for (const { offset, key, value } of batch.messages) {
      if (!firstOffsets.has(partition)) firstOffsets.set(partition, Number(offset))
      if (Number(offset) <= applied) {
        tally.repeated++
        continue
      }
      const id = String(key)
      const { type, data } = JSON.parse(String(value))
      if (type === 'Closed') statements.remove.run(id)
      if (type === 'Moved') {
        const { cents, moves, chain } = moved(statements.read.get(id), data.cents)
        statements.write.run(id, cents, moves, chain)
      }
      tally.applied++
    }
    statements.advance.run(partition, Math.max(applied, Number(batch.lastOffset())))
  })
  return { db, tally, firstOffsets, apply }
}

/** The rows of the view `accounts`, and the position that `rehydrate handover --json` printed, as one transaction. */
function takeOver(db: Database.Database, folder: string): void {
  const { outcome, position } = JSON.parse(readFileSync(join(folder, 'handover.json'), 'utf8'))
  if (outcome !== 'handedOver') throw new Error('Nothing was handed over: run `rehydrate handover accounts --group … --execute` first.')
  db.prepare('ATTACH ? AS rebuilt').run(join(folder, 'state.db'))
  db.transaction(() => {
    db.exec('CREATE TABLE account (id TEXT PRIMARY KEY, cents INTEGER NOT NULL, moves INTEGER NOT NULL, chain INTEGER NOT NULL)')
    db.exec('CREATE TABLE progress (partition TEXT PRIMARY KEY, last_offset INTEGER NOT NULL)')
    db.exec('INSERT INTO account (id, cents, moves, chain) SELECT key, cents, moves, chain FROM rebuilt.accounts')
    const insert = db.prepare('INSERT INTO progress (partition, last_offset) VALUES (?, ?)')
    for (const [partition, offset] of Object.entries(position)) insert.run(partition, offset)
  })()
  db.exec('DETACH rebuilt')
}

if (process.argv[1] === import.meta.filename) {
  const { KAFKA_BROKERS = 'localhost:9092', TOPIC = 'accounts', GROUP = 'accounts' } = process.env
  const service = await startService({ brokers: KAFKA_BROKERS.split(','), topic: TOPIC, group: GROUP, folder: import.meta.dirname })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void service.stop())
}
