import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cacheFolder } from '../../src/cli/cache-folder.js'
import type { DemoOptions } from '../../src/cli/demo-steps.js'
import { demo } from '../../src/cli/demo.js'

let cache = ''
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), 'rehydrate-demo-'))
})
afterAll(() => rmSync(cache, { recursive: true, force: true }))

async function shown(options: Partial<DemoOptions>): Promise<{ exitCode: number; text: string; live: (string | null)[] }> {
  let text = ''
  const live: (string | null)[] = []
  const exitCode = await demo({
    json: false, small: true, cache, out: (some) => { text += some }, live: (line) => live.push(line), ...options,
  })
  return { exitCode, text, live }
}

async function document(options: Partial<DemoOptions>): Promise<Record<string, unknown>> {
  const { exitCode, text } = await shown({ json: true, ...options })
  expect(exitCode).toBe(0)
  return JSON.parse(text) as Record<string, unknown>
}

describe('the demo', () => {
  test('rebuilds the airports from the log, and a plain loop over the lines agrees', async () => {
    const { exitCode, text } = await shown({})
    expect(text).toContain('check    a plain loop over the lines agrees: 204 of 204 airports')
    expect(text).toMatch(/root {5}sh1:[0-9a-f]{64}\n/)
    expect(text).toContain('at flights/0@2846,flights/1@2049,flights/2@2653,flights/3@2448\n')
    expect(exitCode).toBe(0)
  })

  test('proves itself against the database of an old service: mismatch, the airport, the field and the event, repair, match', async () => {
    const { exitCode, text } = await shown({})
    expect(text).toContain('$ rehydrate verify --against old ; echo $?\nflights  MISMATCH: 1 of 204 keys differs\n')
    expect(text).toContain('airports/ORD\n  $.landed      rebuilt 553  against 552\n')
    expect(text).toMatch(/ {2}blame {2}consistent with the loss of flights\/0@\d+ \(FlightLanded\), the only such event\n1\n/)
    expect(text).toContain('UPDATE "airport" SET "landed" = 553')
    expect(text).toContain('flights  MATCH: 204 keys are equal\n')
    expect(exitCode).toBe(0)
    expect(await document({})).toMatchObject({
      old: {
        before: { verdict: 'mismatch', differing: 1, asserted: false },
        diff: { differences: [{ key: 'ORD', kind: 'value', blame: { hypothesis: 'lost', candidates: 1, exhaustive: true } }] },
        repair: { theirs: 1, repaired: 0 }, after: { verdict: 'match' }, exitCode: 0,
      },
    })
  })

  test('gives the same root every time, each time from the first event', async () => {
    const [first, again] = [await document({}), await document({})]
    expect(again).toMatchObject({ root: first['root'], manifest: first['manifest'], applied: 10_000, agrees: true })
  })

  test('says which airport differs first, and exits 1, when the log is not the data', async () => {
    const small = { events: 1000 }
    await shown(small)
    const file = join(cache, 'flights-10k-first-1000/log/flights/1.ndjson')
    const text = readFileSync(file, 'utf8')
    // As many bytes as before, so that only reading the log can tell; the hash beside it is a forger's.
    const forged = text.replace('"delay":0,', '"delay":9,')
    writeFileSync(file, forged)
    rmSync(`${file}.sha256`)
    const { exitCode, text: said } = await shown(small)
    expect(forged).not.toBe(text)
    expect(said).toMatch(/DISAGREES, first at [A-Z0-9]{3}\n {13}rebuilt {3}\{"landed".*\n {13}computed {2}\{"landed"/)
    expect(exitCode).toBe(1)
  })

  test('stopped while it writes the log, it leaves none', async () => {
    const stopping = shown({ events: 500, signal: AbortSignal.abort('SIGINT') })
    await expect(stopping).rejects.toMatchObject({ code: 'RUN_STOPPED' })
    expect(readdirSync(join(cache, 'flights-10k-first-500'))).toEqual([])
  })

  test('takes only the first flights where that is asked, and says how it goes', async () => {
    const { text, live } = await shown({ small: false, events: 30_000 })
    expect(text).toContain('30,000 events in 4 partitions')
    expect(live[0]).toBe('  log      20,000 events written')
    expect(live.at(-1)).toBeNull()
  })
})

test('the cache is where REHYDRATE_CACHE says, else in the XDG cache folder, else in ~/.cache', () => {
  expect(cacheFolder({ REHYDRATE_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
  expect(cacheFolder({ REHYDRATE_CACHE: '', XDG_CACHE_HOME: '/b' })).toBe('/b/rehydrate')
  expect(cacheFolder({})).toMatch(/\/\.cache\/rehydrate$/)
})
