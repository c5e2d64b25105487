import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryLog } from '../../adapters/memory/index.js'
import {
  defineProjection, explain, openState, parsePosition, type Accepted, type EventSource, type Manifest, type Position, type StateStore,
} from '../../src/index.js'
import { assertNotCompacted } from '../../src/verify/compacted.js'
import { stateAt, statesAt, type PastOptions } from '../../src/verify/past.js'
import { accountLog, accounts } from '../support/accounts.js'
import { put, table } from '../support/states.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const EVENTS = 120
/** What the modules hold is not read anew for each of the many runs. */
const code = { codeOf: async () => 'this file' }
const partitions = accountLog(9, 3, EVENTS)
const log = (): MemoryLog => memoryLog({ partitions })
const optionsOf = (over: Partial<PastOptions> = {}): PastOptions =>
  ({ source: log(), projection: accounts, world: worldOf(3, code), signal: new AbortController().signal, ...over })

async function manifestOf(store: StateStore): Promise<Manifest> {
  const state = await openState(store, { projection: accounts })
  await state.close()
  return state.checkpoint.manifest
}

async function plain(until: Position | Date): Promise<Manifest> {
  return (await runIn(worldOf(1, code), { source: log(), projection: accounts, store: memoryStore(), until })).seal.manifest
}

const offset = fc.integer({ min: -1, max: EVENTS - 1 })
const position = fc.tuple(offset, offset, offset).map((offsets): Position =>
  new Map(offsets.flatMap((at, i): [string, number][] => (at < 0 ? [] : [[`moves/${i}`, at]]))))

describe('the state at another position', () => {
  test('is the one that a run to there gives, manifest included', async () => {
    await fc.assert(fc.asyncProperty(position, async (at) => {
      expect(await manifestOf(await stateAt({ ...optionsOf(), at }))).toEqual(await plain(at))
    }), { numRuns: 10 })
  })

  test('a time is the prefix before the first record at or after it', async () => {
    const at = new Date(1_700_000_000_000 + 33_500)
    const manifest = await manifestOf(await stateAt({ ...optionsOf(), at }))
    expect(manifest).toEqual(await plain(at))
    expect(manifest.position).toEqual({ 'moves/0': 33, 'moves/1': 33, 'moves/2': 33 })
  })

  test('two positions share what both have read, whichever is the later one, and where each is behind in some partition', async () => {
    await fc.assert(fc.asyncProperty(position, position, async (from, to) => {
      const read = new Map<string, number>()
      const source = log()
      const reading = source.read.bind(source)
      source.read = async function* (partition, ...more) {
        for await (const batch of reading(partition, ...more)) {
          read.set(partition, (read.get(partition) ?? 0) + batch.length)
          yield batch
        }
      }
      const states = await statesAt({ ...optionsOf({ source }), from, to })
      expect(unscrubbed(await manifestOf(states.from))).toEqual(unscrubbed(await plain(from)))
      expect(unscrubbed(await manifestOf(states.to))).toEqual(unscrubbed(await plain(to)))
      // Owners are found by reading the first partition again where a second one comes in.
      const [a, b] = [from, to].map((one) => one.size)
      if (a === 3 && b === 3) {
        for (const partition of ['moves/0', 'moves/1', 'moves/2']) {
          expect(read.get(partition)).toBe(Math.max(from.get(partition) as number, to.get(partition) as number) + 1)
        }
      }
      await states.close()
    }), { numRuns: 15 })
  })

  test('with the manifest of a state, its waivers stay', async () => {
    const projection = defineProjection({
      name: 'sums', version: 1, collections: { sums: {} },
      on: { Add: (state: any, event: any) => {
        if (event.data === 'bad') throw new Error('bad')
        state.sums.put(event.key, (state.sums.get(event.key) ?? 0) + 1)
      } },
    })
    const source = memoryLog({ partitions: { 'p@q': ['a', 'bad', 'b', 'c'].map((data) => ({ type: 'Add', key: 'k', data })) } })
    const sealed = await runIn(worldOf(1, code), { source, projection, store: memoryStore(), accept: ['HANDLER_FAILED=p%40q@1'] })
    const options = { ...optionsOf({ source, projection }), at: parsePosition('p%40q@2') }
    expect((await failureOf(stateAt(options))).code).toBe('HANDLER_FAILED')
    const state = await openState(await stateAt({ ...options, manifest: sealed.seal.manifest }), { projection })
    expect(await state.get('sums', 'k')).toBe(2)
    expect(state.checkpoint.manifest.accepted).toEqual(sealed.accepted)
    const states = await statesAt({ ...optionsOf({ source, projection }), manifest: sealed.seal.manifest, from: parsePosition('p%40q@0'), to: parsePosition('p%40q@3') })
    expect((await openState(states.to, { projection })).checkpoint.manifest.root).toBe(sealed.root)
  })

  test('another projection than the one that built the state is PROJECTION_CHANGED', async () => {
    const manifest = await plain(parsePosition('moves/0@3'))
    const projection = defineProjection({ name: 'accounts', version: 1, collections: { accounts: {} }, on: { Moved: () => {}, Closed: () => {} } })
    const error = await failureOf(stateAt({ ...optionsOf({ projection, manifest }), at: parsePosition('moves/0@2') }))
    expect(error).toMatchObject({ code: 'PROJECTION_CHANGED', exitCode: 8 })
  })

  test("under order 'time' it must be one that the merge goes through", async () => {
    const projection = defineProjection({
      name: 'last', version: 1, order: 'time', collections: { last: {} }, on: { Did: (state: any, event: any) => state.last.put('k', event.offset) },
      keys: { Did: () => [{ collection: 'last', key: 'k' }] },
    })
    const did = (recordedAt: number): { type: string; recordedAt: number } => ({ type: 'Did', recordedAt })
    const source = memoryLog({ partitions: { a: [1, 5, 9].map(did), b: [2, 3, 10].map(did) } })
    const options = optionsOf({ source, projection })
    expect((await failureOf(stateAt({ ...options, at: parsePosition('a@1,b@0') }))).code).toBe('USAGE')
    const states = await statesAt({ ...options, from: parsePosition('a@1,b@1'), to: parsePosition('a@0,b@0') })
    expect(await (await openState(states.from, { projection })).get('last', 'k')).toBe(1)
    expect(await (await openState(states.to, { projection })).get('last', 'k')).toBe(0)
  })

  test('beyond the log it is USAGE', async () => {
    expect((await failureOf(stateAt({ ...optionsOf(), at: parsePosition('moves/0@120') }))).code).toBe('USAGE')
    expect((await failureOf(stateAt({ ...optionsOf(), at: parsePosition('moves/7@1') }))).code).toBe('USAGE')
  })
})

describe('a log that was compacted', () => {
  const holes = (compactedOrLost: number): Manifest['holes'] => ({ control: 4, aborted: 5, filtered: 6, compactedOrLost })

  test('is LOG_COMPACTED, unless a person waived what is missing as gaps', () => {
    expect(() => assertNotCompacted({ holes: holes(0), accepted: [] })).not.toThrow()
    expect(() => assertNotCompacted({ holes: holes(3), accepted: [{ code: 'LOG_GAP', partition: 'p', from: 5, to: 7 }] })).not.toThrow()
    for (const accepted of [[], [{ code: 'LOG_GAP', partition: 'p', from: 5, to: 6 }], [{ code: 'HANDLER_FAILED', partition: 'p', from: 1, to: 9 }]]) {
      expect(() => assertNotCompacted({ holes: holes(3), accepted })).toThrow(expect.objectContaining({ code: 'LOG_COMPACTED' }))
    }
  })

  test('has no earlier states: by its manifest before anything is read, else by what is read', async () => {
    const projection = defineProjection({ name: 'n', version: 1, collections: { n: {} }, on: { Put: (state: any, { key, type }: any) => state.n.put(key, type) } })
    const event = { type: 'Put', key: 'k' }
    const source = memoryLog({ continuity: 'sparse', partitions: { p: [event, { hole: 'compactedOrLost' }, event, { hole: 'control' }, event] } })
    const options = optionsOf({ source, projection })
    expect(await failureOf(stateAt({ ...options, at: parsePosition('p@2') }))).toMatchObject({ code: 'LOG_COMPACTED', exitCode: 2 })
    await stateAt({ ...options, at: parsePosition('p@0') })
    const { seal: { manifest } } = await runIn(worldOf(1, code), { source, projection, store: memoryStore() })
    expect((await failureOf(stateAt({ ...options, manifest, at: parsePosition('p@0') }))).code).toBe('LOG_COMPACTED')
  })
})

/** When every stored byte was last re-read is no part of what a state is. */
function unscrubbed(manifest: Manifest): Manifest {
  return { ...manifest, scrubbedAt: null }
}

describe('what a key held at an earlier event', () => {
  const explained = async (source: EventSource, accepted: readonly Accepted[] = []): Promise<unknown[]> => {
    const values: unknown[] = []
    for await (const { value } of explain({ source, projection: table, collection: 'rows', key: 'x', upTo: parsePosition('log@2'), accepted })) values.push(value)
    return values
  }
  const events = [put('x', 1), put('x', 2), put('x', 3)]

  test('is not told from a log that lost its beginning since', async () => {
    const source = memoryLog({ partitions: { log: events } })
    expect(await explained(source)).toEqual([1, 2, 3])
    source.expire('log', 1)
    expect(await failureOf(explained(source))).toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'log', offset: 0, actual: 1 } })
  })

  test('begins where the state began, though the log has come to reach further back', async () => {
    const accepted = [{ code: 'HISTORY_INCOMPLETE', partition: 'log', to: 0 }]
    expect(await explained(memoryLog({ partitions: { log: events } }), accepted)).toEqual([2, 3])
  })
})
