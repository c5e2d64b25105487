import { expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryLog } from '../../adapters/memory/index.js'
import {
  openState, scrub, type EventSource, type HandOver, type HandOverOptions, type StateStore, type StoreSession,
} from '../../src/index.js'
import type { ReplayOptions, Run } from '../../src/replay/api.js'
import { handOver as handOverIn, takeBack as takeBackIn, type TakeBackOptions } from '../../src/replay/handover.js'
import { startRun } from '../../src/replay/run.js'
import { decide } from '../../src/verify/verdict.js'
import { accountLog, accounts } from '../support/accounts.js'
import { FakeGroup, withGroup } from '../support/groups.js'
import { failureOf, worldOf } from '../support/worlds.js'

const world = worldOf(1, { codeOf: async () => null })
const handOver = (options: HandOverOptions): Promise<HandOver> => handOverIn(options, world)
const takeBack = (options: TakeBackOptions): Promise<HandOver> => takeBackIn(options, world)
const replay = (options: ReplayOptions): Run => startRun(options, world)

interface Scene {
  readonly source: MemoryLog & Required<Pick<EventSource, 'group'>>
  readonly store: StateStore
  readonly group: FakeGroup
}

const scene = (events = 40): Scene => {
  const group = new FakeGroup()
  return { source: withGroup(memoryLog({ partitions: accountLog(1, 2, events) }), group), store: memoryStore(), group }
}

const optionsOf = ({ source, store }: Scene): Pick<HandOverOptions, 'source' | 'store' | 'projection' | 'group'> =>
  ({ source, store, projection: accounts, group: 'service' })
const give = (at: Scene, more: Partial<HandOverOptions> = {}): Promise<HandOver> => handOver({ ...optionsOf(at), execute: true, ...more })
const back = (at: Scene, execute = true): Promise<HandOver> => takeBack({ ...optionsOf(at), execute })
const rebuild = ({ source, store }: Pick<Scene, 'source' | 'store'>) => replay({ source, store, projection: accounts }).done
const grow = ({ source }: Scene, events: number): void => {
  for (const [partition, entries] of Object.entries(accountLog(2, 2, events))) for (const entry of entries) source.append(partition, entry)
}

test('a state is handed over at its seal: the group goes on right behind it, and a replay is refused by name until it is taken back', async () => {
  const at = scene()
  const given = await give(at)
  expect(given).toMatchObject({ outcome: 'handedOver', group: 'service', generation: 1, before: null, others: [], refusals: [] })
  expect(given.partitions).toEqual(['moves/0', 'moves/1'].map((partition) =>
    ({ partition, position: 39, committed: null, behind: 0, atOpenTransaction: false })))
  expect(at.group.position).toEqual(new Map([['moves/0', 39], ['moves/1', 39]]))
  expect(await failureOf(rebuild(at))).toMatchObject({ code: 'HANDED_OVER', message: expect.stringContaining('service') })
  grow(at, 20)
  const taken = await back(at)
  expect(taken).toMatchObject({ outcome: 'ours', group: 'service' })
  expect((await rebuild(at)).root).toBe((await rebuild({ source: at.source, store: memoryStore() })).root)
})

test('handing over and back leaves no trace in root and manifest, and the stored state stays whole', async () => {
  const at = scene()
  const undisturbed = await rebuild({ source: at.source, store: memoryStore() })
  const given = await give(at)
  expect([given.root, given.manifest]).toEqual([undisturbed.root, undisturbed.seal.manifestHash])
  const scrubbed = await scrub({ store: at.store })
  expect(scrubbed.manifestHash).toBe(undisturbed.seal.manifestHash)
  await back(at)
  expect((await rebuild(at)).seal.manifestHash).toBe(undisturbed.seal.manifestHash)
})

test('without execute it says what would be done, to whom and what refuses it, and changes nothing', async () => {
  const at = scene()
  at.group.members = ['consumer-1']
  at.group.position = new Map([['moves/0', 7], ['payments/3', 11]])
  const planned = await handOver(optionsOf(at))
  expect(planned).toMatchObject({
    outcome: 'planned', members: ['consumer-1'], others: ['payments/3'], refusals: [{ code: 'GROUP_ACTIVE' }],
    partitions: [{ partition: 'moves/0', committed: 7, position: 39 }, { partition: 'moves/1', committed: null, position: 39 }],
  })
  expect(await at.store.generations()).toEqual([])
  expect(at.group.position.get('moves/0')).toBe(7)
})

test('a group with members is refused before anything is replayed, and one that gets them meanwhile before anything is recorded for good', async () => {
  const at = scene()
  at.group.members = ['consumer-1']
  expect(await failureOf(give(at))).toMatchObject({ code: 'GROUP_ACTIVE', message: expect.stringContaining('consumer-1') })
  expect(await at.store.generations()).toEqual([])
  at.group.members = []
  const commit = at.group.commit.bind(at.group)
  at.group.commit = async (position) => {
    at.group.members = ['late']
    return await commit(position)
  }
  expect(await failureOf(give(at))).toMatchObject({ code: 'GROUP_ACTIVE' })
  at.group.members = []
  expect((await rebuild(at)).run.applied).toBe(0)
})

test('done once, it is not done again: offsets of a group that went on are left alone', async () => {
  const at = scene()
  await give(at)
  at.group.members = ['service-1']
  at.group.position = new Map([['moves/0', 50], ['moves/1', 60]])
  grow(at, 30)
  expect(await give(at)).toMatchObject({
    outcome: 'handedOver', before: 'done', partitions: [{ committed: 50, position: 39, behind: 19 }, { committed: 60, behind: 9 }],
  })
  expect(await handOver(optionsOf(at))).toMatchObject({ outcome: 'handedOver', before: 'done', refusals: [] })
  expect(at.group.position.get('moves/0')).toBe(50)
  // Set back by hand, as a person may: that is the group's own matter by now.
  at.group.position = new Map([['moves/0', 3]])
  expect(await give(at)).toMatchObject({ outcome: 'handedOver', before: 'done' })
  expect(at.group.position).toEqual(new Map([['moves/0', 3]]))
  expect(await failureOf(handOver({ ...optionsOf(at), group: 'another', execute: true }))).toMatchObject({ code: 'HANDED_OVER' })
  expect(await failureOf(back(at))).toMatchObject({ code: 'GROUP_ACTIVE' })
})

test('partitions without records begin at their first one, and topics beyond ours are left alone', async () => {
  const at = scene()
  at.source.append('moves/2', { type: 'Moved', key: 'z', data: { account: 'z', cents: 1 } })
  at.source.replace('moves/3', [])
  // All that was in it has expired.
  at.source.replace('moves/4', accountLog(3, 1, 3)['moves/0']!)
  at.source.expire('moves/4', 3)
  at.group.position = new Map([['payments/0', 5]])
  await give(at, { accept: ['HISTORY_INCOMPLETE=moves/4@3'] })
  expect(at.group.position).toEqual(new Map(
    [['payments/0', 5], ['moves/0', 39], ['moves/1', 39], ['moves/2', 0], ['moves/3', -1], ['moves/4', 2]]))
})

test('offsets that read back as others are GROUP_ACTIVE, and the state stays where it was to be handed over', async () => {
  const at = scene()
  at.group.commit = async () => { at.group.position = new Map([['moves/0', 3]]) }
  expect(await failureOf(give(at))).toMatchObject({ code: 'GROUP_ACTIVE', message: expect.stringContaining('somebody else') })
  expect(await failureOf(rebuild(at))).toMatchObject({ code: 'HANDED_OVER', fix: expect.stringContaining('--group service') })
  expect(await failureOf(give(at))).toMatchObject({ code: 'GROUP_ACTIVE' })
  expect(await back(at)).toMatchObject({ outcome: 'ours', before: 'intended' })
})

test('a follower of ours is fenced, and one that begins while the hand-over is under way is refused', async () => {
  const at = scene()
  const follower = replay({ source: at.source, store: at.store, projection: accounts, until: 'follow' })
  for await (const event of follower) if (event.kind === 'sealed') break
  await give(at)
  grow(at, 10)
  expect(await failureOf(follower.done)).toMatchObject({ code: 'FENCED' })
  expect(await failureOf(replay({ source: at.source, store: at.store, projection: accounts, takeover: true }).done))
    .toMatchObject({ code: 'HANDED_OVER' })
  const anew = await replay({ source: at.source, store: at.store, projection: accounts, restart: true }).done
  expect(anew.generation).toBe(2)
})

test('a replay that was planned before the hand-over does not write after it', async () => {
  const at = scene()
  await rebuild(at)
  let opened = 0
  const slow: StateStore = {
    ...at.store, capabilities: at.store.capabilities,
    generations: () => at.store.generations(), close: () => at.store.close(),
    async open(options) {
      if (options.mode === 'write' && opened++ === 0) await give(at)
      return await at.store.open(options)
    },
  }
  expect(await failureOf(replay({ source: at.source, store: slow, projection: accounts }).done)).toMatchObject({ code: 'HANDED_OVER' })
})

test('waiting replays until no more than so many offsets are left, and gives up at its deadline with nothing handed over', async () => {
  const at = scene()
  let rounds = 0
  const write = at.source.bounds
  // 50 events more come each time somebody looks, at first.
  const growing = seenAs(at.source, async () => {
    if (rounds++ < 12) grow(at, 25)
    return await write()
  })
  const given = await handOver({ ...optionsOf(at), source: growing, execute: true, wait: { maxLag: 0 } })
  expect(rounds).toBeGreaterThan(12)
  expect(given.partitions.map(({ behind }) => behind)).toEqual([0, 0])
  const late = scene()
  const endless = seenAs(late.source, async () => {
    grow(late, 1)
    return await late.source.bounds()
  })
  expect(await failureOf(handOver({ ...optionsOf(late), source: endless, execute: true, wait: { maxLag: 0, deadlineMs: 100 } })))
    .toMatchObject({ code: 'WAIT_DEADLINE' })
  expect(late.group.position.size).toBe(0)
  expect((await rebuild(late)).generation).toBe(1)
})

function seenAs(source: Scene['source'], bounds: EventSource['bounds']): Scene['source'] {
  return new Proxy(source, { get: (target, name) => (name === 'bounds' ? bounds : Reflect.get(target, name)) })
}

test('a state that was handed over is still compared where the group stands: folded forward in memory, and not written', async () => {
  const at = scene()
  await give(at)
  grow(at, 30)
  const later = memoryStore()
  await rebuild({ source: at.source, store: later })
  const rebuilt = { source: at.source, store: at.store, projection: accounts }
  expect((await decide({ rebuilt, against: later, waitMs: 1_000 }, world)).verdict).toBe('match')
  expect(await failureOf(rebuild(at))).toMatchObject({ code: 'HANDED_OVER' })
})

test('a log without groups is refused by name', async () => {
  const source = memoryLog({ partitions: accountLog(1, 1, 5) })
  expect(await failureOf(handOver({ source, store: memoryStore(), projection: accounts, group: 'service', execute: true })))
    .toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('no consumer groups') })
})

test('interrupted before or after any of its steps, the same call finishes it, and never do two go on', async () => {
  const steps = new Set<string>()
  for (let stop = 0; ; stop++) {
    const at = scene(8)
    await rebuild(at)
    const broken = brokenAt(at, stop)
    const failed = await handOver({ ...optionsOf(at), ...broken.options, execute: true }).then(() => null, (error: Error) => error)
    if (failed === null) break
    expect(failed.message).toContain('the process is gone')
    steps.add(broken.lastStep())
    const groupGoesOn = at.group.position.size > 0
    const oursGoesOn = await rebuild(at).then(() => true, (error: { code: string }) => {
      expect(error.code).toBe('HANDED_OVER')
      return false
    })
    expect(groupGoesOn && oursGoesOn).toBe(false)
    expect(await give(at)).toMatchObject({ outcome: 'handedOver' })
    expect(at.group.position).toEqual(new Map([['moves/0', 7], ['moves/1', 7]]))
    expect(await failureOf(rebuild(at))).toMatchObject({ code: 'HANDED_OVER' })
    const state = await openState(at.store, { projection: accounts })
    expect(state.position.get('moves/0')).toBe(7)
    await state.close()
  }
  expect(steps).toEqual(new Set(['before store.commit', 'after store.commit', 'before group.commit', 'after group.commit',
    'before group.describe', 'after group.describe', 'before store.open', 'after store.open', 'before store.beat', 'after store.beat']))
})

/** The scene as a process sees it that is gone at the n-th boundary of its calls: nothing of it happens after that. */
function brokenAt(at: Scene, stop: number): { options: Pick<HandOverOptions, 'source' | 'store'>; lastStep: () => string } {
  let boundaries = 0
  let last = ''
  const boundary = (name: string): void => {
    last = name
    if (boundaries++ >= stop) throw new Error('the process is gone')
  }
  const around = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    boundary(`before ${name}`)
    const result = await call()
    boundary(`after ${name}`)
    return result
  }
  const store: StateStore = {
    capabilities: at.store.capabilities, generations: () => at.store.generations(), close: () => at.store.close(),
    switchTo: (...args) => at.store.switchTo(...args), drop: (...args) => at.store.drop(...args),
    async open(options) {
      if (options.mode === 'read') return await at.store.open(options)
      let session: StoreSession | undefined
      try {
        return await around('store.open', async () => {
          const opened = session = await at.store.open(options)
          return Object.create(opened, {
            checkpoint: { value: opened.checkpoint }, writer: { value: opened.writer },
            load: { value: opened.load.bind(opened) }, scan: { value: opened.scan.bind(opened) },
            collections: { value: opened.collections.bind(opened) }, close: { value: opened.close.bind(opened) },
            commit: { value: (...args: Parameters<StoreSession['commit']>) => around('store.commit', () => opened.commit(...args)) },
            beat: { value: (nowMs: number) => around('store.beat', () => opened.beat(nowMs)) },
          }) as StoreSession
        })
      } catch (error) {
        // A process that is gone is no living writer.
        await session?.close()
        throw error
      }
    },
  }
  const group = {
    describe: () => around('group.describe', () => at.group.describe()),
    commit: (position: ReadonlyMap<string, number>) => around('group.commit', () => at.group.commit(position)),
  }
  return { options: { source: withGroup(at.source, group), store }, lastStep: () => last }
}
