import { describe, expect, test } from 'vitest'
import { memoryLog } from '../../adapters/memory/index.js'
import type { ConformanceCase } from '../../src/conformance/kit.js'
import { sourceCases, type SourceHarness } from '../../src/conformance/sources.js'
import type { EventBatch, EventSource, Mark, ReadRange } from '../../src/index.js'
import { fileHarness } from '../adapters/file/log-directory.js'

const memoryHarness: SourceHarness = {
  capabilities: ['chain', 'append', 'truncate', 'expire', 'rewrite', 'recreate'],
  make: async (partitions) => {
    const source = memoryLog({ partitions })
    const kept = new Map(Object.entries(partitions).map(([name, entries]) => [name, [...entries]]))
    return {
      open: () => source,
      append: async (partition, records) => records.forEach((record) => source.append(partition, record)),
      truncate: async (partition, last) => source.replace(partition, kept.get(partition)!.slice(0, last + 1)),
      expire: async (partition, first) => source.expire(partition, first),
      rewrite: async (partition, offset, record) => source.replace(partition, kept.get(partition)!.with(offset, record)),
      recreate: async (partition, records) => source.replace(partition, records),
      dispose: async () => {},
    }
  },
}

const sparseHarness: SourceHarness = {
  capabilities: ['chain', 'holes'],
  make: async (partitions) => {
    const source = memoryLog({ partitions, continuity: 'sparse' })
    return { open: () => source, dispose: async () => {} }
  },
}

for (const [name, harness] of Object.entries({
  'the file log': fileHarness, 'the memory log': memoryHarness, 'the sparse memory log': sparseHarness,
})) {
  describe(name, () => {
    for (const { name: law, run } of sourceCases(harness)) test(law, run)
  })
}

type Read = AsyncIterable<EventBatch>

/** A source of which one method is replaced. */
function faulty(open: () => EventSource, fault: (real: EventSource) => Partial<EventSource>): () => EventSource {
  return () => {
    const real = open()
    return {
      continuity: real.continuity,
      check: (marks) => real.check(marks),
      bounds: (options) => real.bounds(options),
      read: (...args) => real.read(...args),
      close: () => real.close(),
      ...fault(real),
    }
  }
}

/** A batch of which some members are replaced; getters of a class are not own properties, so each is named. */
function changed(batch: EventBatch, change: Partial<EventBatch>): EventBatch {
  const { partition, length, through, holes, bytes } = batch
  return {
    partition, length, through, holes, bytes,
    offsetAt: (i) => batch.offsetAt(i), typeAt: (i) => batch.typeAt(i), keyAt: (i) => batch.keyAt(i),
    event: (i) => batch.event(i), markAt: (i) => batch.markAt(i),
    ...change,
  }
}

async function* mapped(read: Read, change: (batch: EventBatch, index: number) => EventBatch | null): Read {
  let index = 0
  for await (const batch of read) {
    const next = change(batch, index++)
    if (next !== null) yield next
  }
}

const eachBatch = (change: (batch: EventBatch, index: number, range: ReadRange) => EventBatch | null) =>
  (real: EventSource): Partial<EventSource> => ({
    read: (partition, range, limits, signal) =>
      mapped(real.read(partition, range, limits, signal), (batch, index) => change(batch, index, range)),
  })

const FAULTS: Record<string, (real: EventSource) => Partial<EventSource>> = {
  'loses the first event of every batch': eachBatch((batch) => changed(batch, {
    length: batch.length - 1,
    offsetAt: (i) => batch.offsetAt(i + 1), typeAt: (i) => batch.typeAt(i + 1), keyAt: (i) => batch.keyAt(i + 1),
    event: (i) => batch.event(i + 1), markAt: (i) => batch.markAt(i + 1),
  })),
  'loses every second batch': eachBatch((batch, index) => (index % 2 === 1 ? null : batch)),
  'reads from after instead of from the record behind it': (real) => ({
    read: (partition, range, limits, signal) =>
      real.read(partition, { ...range, after: Math.max(-1, range.after - 1), mark: null }, limits, signal),
  }),
  'reads on beyond upTo': (real) => ({
    async *read(partition, range, limits, signal): Read {
      const last = (await real.bounds()).get(partition)?.last ?? range.upTo
      yield* real.read(partition, { ...range, upTo: Math.min(last, range.upTo + 1) }, limits, signal)
    },
  }),
  'stops one record before upTo': (real) => ({
    read: (partition, range, limits, signal) => real.read(partition, { ...range, upTo: range.upTo - 1 }, limits, signal),
  }),
  'claims to have come further than it has': eachBatch((batch) => changed(batch, { through: batch.through + 1 })),
  'claims upTo with every batch': eachBatch((batch, _index, { upTo }) => changed(batch, { through: upTo })),
  'reuses its buffers, so that an earlier batch changes': (real) => ({
    read(partition, range, limits, signal): Read {
      let latest: EventBatch | undefined
      return mapped(real.read(partition, range, limits, signal), (batch) => {
        latest = batch
        return changed(batch, { event: (i) => latest!.event(Math.min(i, latest!.length - 1)) })
      })
    },
  }),
  'ignores the limits': (real) => ({
    read: (partition, range, _limits, signal) => real.read(partition, range, { events: 1e6, bytes: 1e9 }, signal),
  }),
  'has a chain that depends on how batches were cut': (real) => ({
    read(partition, range, limits, signal): Read {
      return mapped(real.read(partition, range, limits, signal), (batch, index) => changed(batch, {
        markAt: (i) => ({ ...batch.markAt(i), input: `${index}` }),
      }))
    },
  }),
  'forgets its milestones when it resumes': eachBatch((batch, _index, { mark }) => (mark === null ? batch : changed(batch, {
    markAt(i) {
      const { earlier: _earlier, ...rest } = batch.markAt(i)
      return rest
    },
  }))),
  'keeps one milestone only': eachBatch((batch) => changed(batch, {
    markAt(i) {
      const { earlier, ...mark } = batch.markAt(i)
      return { ...mark, ...(earlier !== undefined && { earlier: { ...earlier, chains: earlier.chains.slice(-1) } }) }
    },
  })),
  'begins a new chain when it resumes': (real) => ({
    read: (partition, range, limits, signal) => real.read(partition, { ...range, mark: null }, limits, signal),
  }),
  'calls every log the same': () => ({
    check: async (marks) => new Map([...marks.keys()].map((partition) => [partition, { is: 'same' as const }])),
  }),
  'calls every change a truncation': (real) => ({
    check: async (marks) => new Map([...(await real.check(marks))].map(([partition, check]) =>
      [partition, check.is === 'different' ? { ...check, code: 'LOG_TRUNCATED' as const } : check])),
  }),
  'forgets to answer for a mark': () => ({ check: async () => new Map() }),
  'loses identity: an id that is another one each time': (real) => {
    let reads = 0
    return {
      read: (partition, range, limits, signal) => {
        const id = `${reads++}`
        return mapped(real.read(partition, range, limits, signal), (batch) =>
          changed(batch, { markAt: (i): Mark => ({ ...batch.markAt(i), id }) }))
      },
    }
  },
  'mixes partitions': (real) => ({
    read: (_partition, range, limits, signal) => ({
      async *[Symbol.asyncIterator]() {
        const [name] = [...(await real.bounds()).keys()].sort()
        yield* real.read(name!, range, limits, signal)
      },
    }),
  }),
  'has bounds whose last is exclusive': (real) => ({
    bounds: async (options) =>
      new Map([...(await real.bounds(options))].map(([name, { first, last }]) => [name, { first, last: last + 1 }])),
  }),
  'hides empty partitions': (real) => ({
    bounds: async (options) => new Map([...(await real.bounds(options))].filter(([, { first, last }]) => last >= first)),
  }),
  'throws when it is aborted': (real) => ({
    async *read(partition, range, limits, signal): Read {
      signal.throwIfAborted()
      for await (const batch of real.read(partition, range, limits, signal)) {
        yield batch
        signal.throwIfAborted()
      }
    },
  }),
  'does not hear an abort': (real) => ({
    read: (partition, range, limits) => real.read(partition, range, limits, new AbortController().signal),
  }),
  'can be closed only once': (real) => {
    let isClosed = false
    return {
      close: async () => {
        if (isClosed) throw new Error('closed already')
        isClosed = true
        await real.close()
      },
    }
  },
  'gives columns that are not those of the event': eachBatch((batch) => changed(batch, { keyAt: () => 'another' })),
  'remembers its bounds for ever': (real) => {
    let first: ReturnType<EventSource['bounds']> | undefined
    return { bounds: (options) => (first ??= real.bounds(options)) }
  },
  'reads each time in another way': () => ({ reading: { 'event.type': `function ${Math.random()}` } }),
  'says how it reads in more than texts': () => ({ reading: { event: { type: 'kind' } } as never }),
}

async function failures(cases: readonly ConformanceCase[]): Promise<string[]> {
  const failed: string[] = []
  for (const { name, run } of cases) await run().catch(() => failed.push(name))
  return failed
}

describe('a faulty source fails the kit', () => {
  for (const [name, fault] of Object.entries(FAULTS)) {
    test(`one that ${name}`, async () => {
      const harness: SourceHarness = {
        ...memoryHarness,
        make: async (partitions) => {
          const log = await memoryHarness.make(partitions)
          return { ...log, open: faulty(log.open, fault) }
        },
      }
      expect(await failures(sourceCases(harness))).not.toEqual([])
    })
  }

  test('one whose harness claims what it can not do', async () => {
    const harness: SourceHarness = { ...memoryHarness, capabilities: [...memoryHarness.capabilities, 'tear'] }
    expect(await failures(sourceCases(harness))).toContain(
      'the harness has the capabilities that it names, and the source keeps a chain exactly where it says so',
    )
  })

  test('one that loses what comes with holes', async () => {
    const harness: SourceHarness = {
      ...sparseHarness,
      make: async (partitions) => {
        const log = await sparseHarness.make(partitions)
        const lastOf = (batch: EventBatch): number => (batch.length > 0 ? batch.offsetAt(batch.length - 1) : batch.through)
        const withoutHoles = eachBatch((batch) => changed(batch, { through: lastOf(batch) }))
        return { ...log, open: faulty(log.open, withoutHoles) }
      },
    }
    expect(await failures(sourceCases(harness))).not.toEqual([])
  })
})
