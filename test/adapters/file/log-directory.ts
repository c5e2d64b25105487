import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileLog } from '../../../adapters/file/index.js'
import type { SourceHarness, SourceLog, SourceRecord } from '../../../src/conformance/sources.js'
import type { EventBatch, EventSource, Mark, ReadLimits, ReadRange, RecordedEvent } from '../../../src/index.js'

/** A directory under the system's temporary one, removed after the test that made it. */
export async function makeDirectory(onEnd: (clean: () => Promise<void>) => void): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rehydrate-file-'))
  onEnd(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export function lineOf(type: string, key: string | null = 'k', data: unknown = {}): string {
  return `${JSON.stringify({ type, key, data })}\n`
}

/** The batches of (after, upTo]; after and upTo default to all of a partition. */
export async function* batchesOf(
  source: EventSource, partition: string, range: Partial<ReadRange> = {}, limits: Partial<ReadLimits> = {},
): AsyncGenerator<EventBatch, void, void> {
  const { first, last } = range.upTo === undefined ? (await source.bounds()).get(partition)! : { first: 0, last: range.upTo }
  yield* source.read(
    partition,
    { after: first - 1, upTo: last, mark: null, ...range },
    { events: 7, bytes: 1 << 20, ...limits },
    new AbortController().signal,
  )
}

export interface Reading {
  readonly events: RecordedEvent[]
  readonly last: Mark | undefined
}

/** Reads a whole partition; small limits, so that batches end inside pages. */
export async function readPartition(source: EventSource, partition: string): Promise<Reading> {
  const read: RecordedEvent[] = []
  let mark: Mark | undefined
  for await (const batch of batchesOf(source, partition)) {
    for (let i = 0; i < batch.length; i++) read.push(batch.event(i))
    mark = batch.markAt(batch.length - 1)
  }
  return { events: read, last: mark }
}

/** The file adapter under the conformance kit. */
export const fileHarness: SourceHarness = {
  capabilities: ['chain', 'append', 'truncate', 'expire', 'rewrite', 'recreate', 'tear'],
  async make(partitions): Promise<SourceLog> {
    const directory = await mkdtemp(join(tmpdir(), 'rehydrate-file-kit-'))
    const pathOf = (partition: string): string => join(directory, `${partition}.ndjson`)
    for (const [name, entries] of Object.entries(partitions)) {
      const path = pathOf(name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, textOf(entries as readonly SourceRecord[]))
    }
    const edit = async (partition: string, change: (lines: string[]) => string[]): Promise<void> => {
      const lines = (await readFile(pathOf(partition), 'utf8')).split('\n').slice(0, -1)
      await writeFile(pathOf(partition), change(lines).map((line) => `${line}\n`).join(''))
    }
    return {
      open: () => fileLog({ path: directory, readBytes: 4_096 }),
      append: (partition, records) => writeFile(pathOf(partition), textOf(records), { flag: 'a' }),
      truncate: (partition, last) => edit(partition, (lines) => lines.slice(0, last + 1)),
      expire: (partition, first) => edit(partition, (lines) => [
        JSON.stringify({ ...JSON.parse(lines[first]!), offset: first }), ...lines.slice(first + 1),
      ]),
      rewrite: (partition, offset, record) => edit(partition, (lines) => lines.with(offset, JSON.stringify(record))),
      recreate: (partition, records) => writeFile(pathOf(partition), textOf(records)),
      tear: (partition) => writeFile(pathOf(partition), '{"type":"Torn","da', { flag: 'a' }),
      dispose: () => rm(directory, { recursive: true, force: true }),
    }
  },
}

function textOf(records: readonly SourceRecord[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('')
}
