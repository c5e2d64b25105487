import { expectSame, expectTrue, type ConformanceCase } from './kit.js'
import { compactionCases } from './source-compaction.js'
import { makeRecords, readAll, withLog, type SourceHarness } from './source-harness.js'
import { readingCases } from './source-reading.js'
import { trustCases } from './source-trust.js'

export type { SourceCapability, SourceEntry, SourceHarness, SourceHole, SourceLog, SourceRecord } from './source-harness.js'

/**
 * The laws of EventSource, as cases for any test runner. Cases whose needs the harness does not have are left out;
 * that it has what it says, and nothing it does not say, is a case too.
 */
export function sourceCases(harness: SourceHarness): readonly ConformanceCase[] {
  const cases = [
    honestHarness(harness), steadyReading(harness), ...readingCases(harness), ...trustCases(harness), ...compactionCases(harness),
  ]
  return cases.filter(({ needs }) => needs.every((need) => (harness.capabilities as readonly string[]).includes(need)))
}

const METHODS = ['append', 'truncate', 'expire', 'rewrite', 'recreate', 'tear', 'compact'] as const

function honestHarness(harness: SourceHarness): ConformanceCase {
  return {
    name: 'the harness has the capabilities that it names, and the source keeps a chain exactly where it says so',
    needs: [],
    run: () => withLog(harness, { p: makeRecords(3) }, async (log, source) => {
      for (const method of METHODS) {
        expectSame(`the log can ${method}`, log[method] !== undefined, harness.capabilities.includes(method))
      }
      const { marks } = await readAll(source, 'p')
      expectSame('marks carry a chain', marks.at(-1)?.input !== null, harness.capabilities.includes('chain'))
      if (harness.capabilities.includes('holes')) expectSame('continuity of a log with holes', source.continuity, 'sparse')
    }),
  }
}

function steadyReading(harness: SourceHarness): ConformanceCase {
  return {
    name: 'how records become events is said before the log is opened, in texts, and by every source of the log in the same ones',
    needs: [],
    run: () => withLog(harness, { p: makeRecords(3) }, async (log, source) => {
      const settings = Object.entries(source.reading ?? {})
      expectTrue('every setting is a text', settings.every(([, text]) => typeof text === 'string'))
      await readAll(source, 'p')
      expectSame('the reading, behind a read', Object.entries(source.reading ?? {}), settings)
      const other = log.open()
      expectSame('the reading of another source', Object.entries(other.reading ?? {}), settings)
      await other.close()
    }),
  }
}
