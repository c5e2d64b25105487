import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { changedParts, fingerprintOf } from '../../src/projection/fingerprint.js'
import { functionText, type Reading } from '../../src/log/reading.js'
import { explainKey } from '../../src/replay/explain.js'
import { handOver } from '../../src/replay/handover.js'
import { planRun } from '../../src/replay/plan.js'
import { stateAt } from '../../src/verify/past.js'
import { joinSeals, shardStore, type EventSource, type SealedRun, type StateStore } from '../../src/index.js'
import { accountLog, accounts } from '../support/accounts.js'
import { FakeGroup, withGroup } from '../support/groups.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const world = worldOf(1, { codeOf: async () => 'sh1:one' })
const LOG = accountLog(1, 2, 40)

/** The same log, told to read its records in some way. */
function read(reading?: Reading): EventSource {
  return Object.assign(memoryLog({ partitions: LOG }), reading !== undefined && { reading })
}

const run = (source: EventSource, store: StateStore, more: object = {}): Promise<SealedRun> =>
  runIn(world, { source, projection: accounts, store, ...more })

const HALF = new Map([['moves/0', 19], ['moves/1', 19]])
const WAS = { payload: 'msgpack', 'event.type': 'header kind' }
const IS = { payload: 'msgpack', 'event.type': 'field meta.kind', key: 'registry' }

describe('how records become events', () => {
  test('is kept with the state: under the same reading it goes on, and ends as one run does', async () => {
    const store = memoryStore()
    await run(read(WAS), store, { until: HALF })
    const resumed = await run(read({ ...WAS }), store)
    const whole = await run(read(WAS), memoryStore())
    expect([resumed.root, resumed.seal.manifest.projection]).toEqual([whole.root, whole.seal.manifest.projection])
    expect(whole.seal.manifest.projection.fingerprint.reading).toEqual(WAS)
  })

  test('halts a run under another reading, which names each setting with what it was and is, and changes nothing', async () => {
    const store = memoryStore()
    const { seal } = await run(read(WAS), store, { until: HALF })
    const error = await failureOf(run(read(IS), store))
    expect(error).toMatchObject({
      code: 'PROJECTION_CHANGED', exitCode: 8,
      details: { expected: 'event.type "header kind", key not given', actual: 'event.type "field meta.kind", key "registry"' },
    })
    expect(error.message).toContain('event.type was "header kind", and is "field meta.kind"; key was not given, and is "registry".')
    expect(error.fix).toMatch(/raise the version.*--restart.*--accept PROJECTION_CHANGED=reading/)
    expect((await store.generations())[0]?.checkpoint?.manifestHash).toBe(seal.manifestHash)
    expect((await planRun({ source: read(IS), projection: accounts, store }, world)).refusals).toMatchObject([{ code: 'PROJECTION_CHANGED' }])
  })

  test.each([[WAS, undefined], [undefined, WAS], [{}, WAS]])('differs where it was %j and is %j: none is the own way of the source', async (was, is) => {
    const store = memoryStore()
    const { seal } = await run(read(was), store, { until: HALF })
    expect(await failureOf(run(read(is), store))).toMatchObject({ code: 'PROJECTION_CHANGED' })
    expect('reading' in seal.manifest.projection.fingerprint).toBe(was === WAS)
  })

  test('of a source that has no settings leaves no trace in the manifest', async () => {
    const [none, empty] = [await run(read(), memoryStore()), await run(read({}), memoryStore())]
    expect(empty.seal.manifestHash).toBe(none.seal.manifestHash)
  })

  test('may change with --restart, and by name, which stands in the seal', async () => {
    const store = memoryStore()
    await run(read(WAS), store, { until: HALF })
    expect(await failureOf(run(read(IS), store, { accept: ['PROJECTION_CHANGED=code'] }))).toMatchObject({ code: 'PROJECTION_CHANGED' })
    const waived = await run(read(IS), store, { accept: ['PROJECTION_CHANGED=reading'] })
    expect(waived.accepted).toEqual([{ code: 'PROJECTION_CHANGED', detail: 'reading' }])
    expect(waived.seal.manifest.projection.fingerprint.reading).toEqual(IS)
    expect((await run(read(IS), store)).accepted).toEqual(waived.accepted)
    expect(await failureOf(run(read(WAS), store))).toMatchObject({ code: 'PROJECTION_CHANGED' })
    expect(await run(read(WAS), store, { restart: true })).toMatchObject({ generation: 2, accepted: [] })
  })

  test('is asked before a hand-over, before a state is folded again, and before its events are listed', async () => {
    const [store, group] = [memoryStore(), new FakeGroup()]
    const { seal: { manifest } } = await run(read(WAS), store)
    const source = withGroup(read(IS), group)
    const given = { source, projection: accounts }
    const changed = { code: 'PROJECTION_CHANGED' }
    expect(await failureOf(handOver({ ...given, store, group: 'service', execute: true }, world))).toMatchObject(changed)
    expect(group.position.size).toBe(0)
    const { signal } = new AbortController()
    expect(await failureOf(stateAt({ ...given, at: HALF, manifest, world, signal }))).toMatchObject({
      ...changed, message: expect.stringContaining('event.type was "header kind", and is "field meta.kind"; key was not given'),
    })
    const builtWith = manifest.projection.fingerprint
    const listed = explainKey({ ...given, collection: 'accounts', key: 'a1', upTo: HALF, builtWith }, world)
    expect(await failureOf(listed.next())).toMatchObject(changed)
    await stateAt({ source: read(WAS), projection: accounts, at: HALF, manifest, world, signal })
  })

  test('is that of one run in the joined seal of shards, and shards that were read in two ways are apart', async () => {
    const whole = await run(read(WAS), memoryStore())
    const joined = async (readings: readonly Reading[]) => {
      const stores = await Promise.all(readings.map(async (reading, index) => {
        const store = memoryStore()
        await run(read(reading), store, { shard: { index, of: 2 } })
        return shardStore(store, { index, of: 2 })
      }))
      return await joinSeals({ stores, projection: accounts })
    }
    expect((await joined([WAS, WAS])).seal).toEqual(whole.seal)
    expect(await failureOf(joined([WAS, IS]))).toMatchObject({
      code: 'SHARDS_APART', message: expect.stringContaining('reading.event.type, reading.key'),
    })
  })

  test('is a part of the fingerprint by its text, functions by theirs', () => {
    const of = (reading?: Reading) => fingerprintOf(accounts, 'sh1:one', reading)
    expect(changedParts(of(WAS), of({ ...WAS }))).toEqual([])
    expect(changedParts(of(), of(WAS))).toEqual(['reading.event.type', 'reading.payload'])
    const [one, other] = [functionText((n: number) => n + 1), functionText((n: number) => n + 2)]
    expect(one).toMatch(/^function sh1:[0-9a-f]{64}$/)
    expect(other).not.toBe(one)
    expect(functionText((n: number) => n + 1)).toBe(one)
  })
})
