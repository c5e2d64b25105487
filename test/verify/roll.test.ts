import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryLog } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineProjection, openState, parsePosition, type Projection, type StateStore } from '../../src/index.js'
import { rollForward, type RollOptions } from '../../src/verify/roll.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, worldOf as hostWorldOf } from '../support/worlds.js'

/** What the modules hold is not read anew for each of the many runs. */
const worldOf = (seed: number): ReturnType<typeof hostWorldOf> => hostWorldOf(seed, { codeOf: async () => 'this file' })

const at = parsePosition('moves/0@99,moves/1@40,moves/2@70')
const later = parsePosition('moves/0@150,moves/1@40,moves/2@180')
const log = (): MemoryLog => memoryLog({ partitions: accountLog(5, 3, 200) })

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'rehydrate-roll-'))
  cleanups.push(() => rm(path, { recursive: true, force: true }))
  return path
}

async function roll(store: StateStore, over: Partial<RollOptions> = {}): Promise<Awaited<ReturnType<typeof rollForward>>> {
  const session = await store.open({ generation: 1, mode: 'read' })
  return await rollForward({
    session, source: log(), projection: accounts, to: later, world: worldOf(3), signal: new AbortController().signal, ...over,
  })
}

const hashOf = async (path: string): Promise<string> => createHash('sha256').update(await readFile(path)).digest('hex')

describe('rolling forward', () => {
  test('gives exactly the state of a run that ends there, sealed, and live in an overlay', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    const whole = await runIn(worldOf(2), { source: log(), projection: accounts, store: memoryStore(), until: later })
    const rolled = await roll(store)
    expect(rolled.sealed.position).toEqual(later)
    expect(rolled.sealed.seal.manifest).toEqual({ ...whole.seal.manifest, scrubbedAt: rolled.sealed.seal.manifest.scrubbedAt })
    const state = await openState(rolled.store, { projection: accounts, generation: rolled.generation })
    expect([state.root, state.position]).toEqual([whole.root, later])
  })

  test('to where it stands already gives that very seal', async () => {
    const store = memoryStore()
    const sealed = await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    expect((await roll(store, { to: at })).sealed.seal.manifestHash).toBe(sealed.seal.manifestHash)
  })

  test('changes no byte of a SQLite file', async () => {
    const path = join(await folder(), 'state.db')
    const store = sqlite({ path })
    cleanups.push(() => store.close())
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    await store.close()
    const before = await hashOf(path)
    const reader = sqlite({ path })
    cleanups.push(() => reader.close())
    const whole = await runIn(worldOf(2), { source: log(), projection: accounts, store: memoryStore(), until: later })
    expect((await roll(reader)).sealed.root).toBe(whole.root)
    await reader.close()
    expect(await hashOf(path)).toBe(before)
  })

  test('stops nobody: the writer of the same SQLite store goes on meanwhile, and neither sees the other', async () => {
    const path = join(await folder(), 'state.db')
    const store = sqlite({ path })
    cleanups.push(() => store.close())
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    const session = await store.open({ generation: 1, mode: 'read' })
    const source = log()
    const reading = source.read.bind(source)
    let ended: Promise<string> | null = null
    // The writer runs to the end of the log while the roll waits for its first batch.
    const slow: MemoryLog = Object.assign(Object.create(source) as MemoryLog, {
      continuity: 'dense' as const,
      async *read(...parameters: Parameters<MemoryLog['read']>) {
        ended ??= runIn(worldOf(4), { source: log(), projection: accounts, store: sqlite({ path }) }).then(({ root }) => root)
        await ended
        yield* reading(...parameters)
      },
      check: (marks: any) => source.check(marks), bounds: () => source.bounds(), close: () => source.close(),
    })
    const rolled = await rollForward({
      session, source: slow, projection: accounts, to: later, world: worldOf(3), signal: new AbortController().signal,
    })
    const [whole, end] = await Promise.all([later, undefined].map((until) => runIn(worldOf(2), {
      source: log(), projection: accounts, store: memoryStore(), ...(until === undefined ? {} : { until }),
    })))
    expect(await ended).toBe(end?.root)
    expect(rolled.sealed.root).toBe(whole?.root)
    await session.close()
  })

  test('keeps what was waived, and waives nothing beyond it', async () => {
    const failing = (): Projection => defineProjection({
      name: 'sums', version: 1, collections: { sums: {} },
      on: { Add: (state: any, event: any) => {
        if (event.data.bad === true) throw new Error('bad')
        state.sums.put(event.key, (state.sums.get(event.key) ?? 0) + 1)
      } },
    })
    const events = [{}, { bad: true }, {}, {}, { bad: true }, {}].map((data) => ({ type: 'Add', key: 'k', data }))
    const source = memoryLog({ partitions: { p: events } })
    const store = memoryStore()
    await runIn(worldOf(1), { source, projection: failing(), store, until: 'p@2', accept: ['HANDLER_FAILED=p@1'] })
    const options = { source, projection: failing() }
    const rolled = await roll(store, { ...options, to: parsePosition('p@3') })
    expect(rolled.sealed.accepted).toEqual([{ code: 'HANDLER_FAILED', partition: 'p', from: 1, to: 1 }])
    expect(await failureOf(roll(store, { ...options, to: parsePosition('p@5') }))).toMatchObject({ code: 'HANDLER_FAILED', details: { offset: 4 } })
    const accepted = [{ code: 'HANDLER_FAILED', partition: 'p', from: 4, to: 4 }]
    expect((await roll(store, { ...options, accepted, to: parsePosition('p@5') })).sealed.accepted).toHaveLength(2)
  })

  test('keeps a missing beginning waived, also of a partition it had not read before', async () => {
    const source = log()
    source.expire('moves/0', 5)
    source.expire('moves/1', 7)
    const options = { source, projection: accounts, accept: ['HISTORY_INCOMPLETE=moves/0@5', 'HISTORY_INCOMPLETE=moves/1@7'] }
    const store = memoryStore()
    await runIn(worldOf(1), { ...options, store, until: 'moves/0@99' })
    const whole = await runIn(worldOf(2), { ...options, store: memoryStore(), until: later })
    const { sealed } = await roll(store, { source })
    expect([sealed.root, sealed.accepted]).toEqual([whole.root, whole.accepted])
  })

  test('begins to keep owners where a second partition comes in, as any run does', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: 'moves/0@99' })
    const whole = await runIn(worldOf(2), { source: log(), projection: accounts, store: memoryStore(), until: later })
    expect((await roll(store)).sealed.seal.manifest.control).toBe(whole.seal.manifest.control)
  })

  test('back is POSITIONS_DIFFER, beyond the log is USAGE, from nothing STORE_GENERATION', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    const back = await failureOf(roll(store, { to: parsePosition('moves/0@150,moves/1@39,moves/2@180') }))
    expect(back).toMatchObject({ code: 'POSITIONS_DIFFER' })
    expect(back.fix).toContain('--at POSITION')
    expect((await failureOf(roll(store, { to: parsePosition('moves/0@200,moves/1@40,moves/2@70') }))).code).toBe('USAGE')
    const empty = memoryStore()
    await (await empty.open({ generation: 1, mode: 'write', incarnation: 'i', owner: 'o', nowMs: 1, takeover: false })).close()
    expect((await failureOf(roll(empty))).code).toBe('STORE_GENERATION')
  })

  test('over a log that was rewritten, and with another projection, is refused as in a replay', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    const source = log()
    source.replace('moves/1', accountLog(6, 3, 200)['moves/1'] as [])
    expect(await failureOf(roll(store, { source }))).toMatchObject({ code: 'LOG_RECREATED', exitCode: 7 })
    const other = defineProjection({ name: 'other', version: 1, collections: { accounts: {} }, on: { Moved: () => {}, Closed: () => {} } })
    expect((await failureOf(roll(store, { projection: other }))).code).toBe('PROJECTION_CHANGED')
    const newer = defineProjection({ name: 'accounts', version: 2, collections: { accounts: {} }, on: { Moved: () => {}, Closed: () => {} } })
    expect((await failureOf(roll(store, { projection: newer }))).code).toBe('STORE_GENERATION')
  })

  test('can be stopped by its signal, and leaves the source open', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: accounts, store, until: at })
    let closed = 0
    const source = log()
    source.close = async () => { closed++ }
    expect((await failureOf(roll(store, { source, signal: AbortSignal.abort('SIGTERM') }))).code).toBe('RUN_STOPPED')
    await roll(store, { source })
    expect(closed).toBe(0)
  })
})
