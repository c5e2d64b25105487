import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { defineReducer, replay, type EventSource, type RunEvent } from '../../src/index.js'
import { failureOf } from '../support/worlds.js'

const counts = defineReducer<number>({ name: 'counts', version: 1, collection: 'counts', on: { Add: (n) => (n ?? 0) + 1 } })
const add = (key: string): MemoryEvent => ({ type: 'Add', key })

describe('following', () => {
  test('seals once by itself when it has caught up, scrubbed and live; later seals are asked for', async () => {
    const source = memoryLog({ partitions: { p: [add('a'), add('b')] } })
    const store = memoryStore()
    const stop = new AbortController()
    const run = replay({ source, projection: counts, store, until: 'follow', signal: stop.signal })
    const events: RunEvent[] = []
    const listening = (async () => { try { for await (const event of run) events.push(event) } catch { /* the stop */ } })()
    await until(() => events.some(({ kind }) => kind === 'sealed'))
    const first = events.find((event) => event.kind === 'sealed')
    expect(first).toMatchObject({ sealed: { live: true, grade: { grade: 'scrubbed' } } })
    expect(events.map(({ kind }) => kind).indexOf('caughtUp')).toBeLessThan(events.map(({ kind }) => kind).indexOf('sealed'))

    source.append('p', add('a'))
    await until(() => events.some((event) => event.kind === 'progress' && event.position.get('p') === 2))
    const second = await run.seal()
    expect(Object.fromEntries(second.position)).toEqual({ p: 2 })
    expect(second.grade).toEqual({ grade: 'maintained', sinceScrub: 1 })
    const whole = await replay({ source, projection: counts, store: memoryStore() }).done
    expect(second.root).toBe(whole.root)

    source.append('p', add('c'))
    await until(() => events.some((event) => event.kind === 'progress' && event.position.get('p') === 3))
    stop.abort('SIGTERM')
    expect(await failureOf(run.done)).toMatchObject({ code: 'RUN_STOPPED' })
    await listening
    expect((await store.generations())[0]?.checkpoint?.manifest).toMatchObject({ sealed: false, position: { p: 3 } })
    expect(await failureOf(run.seal())).toMatchObject({ code: 'RUN_STOPPED' })
  })

  test('takes up a partition that appears, and from then on keeps which key belongs to which', async () => {
    const source = memoryLog({ partitions: { p: [add('a')] } })
    const run = replay({ source, projection: counts, store: memoryStore(), until: 'follow' })
    run.done.catch(() => {})
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    source.append('q', add('b'))
    for (;;) if ((await run.seal()).position.get('q') === 0) break
    source.append('q', add('a'))
    expect(await failureOf(run.done)).toMatchObject({ code: 'KEY_CROSSES_PARTITIONS', details: { partition: 'q', offset: 1, key: 'a' } })
  })

  test('a seal says of an open transaction that began when all before it was read', async () => {
    const inner = memoryLog({ partitions: { p: [add('a')] } })
    let open = {}
    const source: EventSource = {
      continuity: 'dense', check: (marks) => inner.check(marks), read: (...range) => inner.read(...range), close: () => inner.close(),
      bounds: async () => new Map([...await inner.bounds()].map(([name, each]) => [name, { ...each, ...open }])),
    }
    const run = replay({ source, projection: counts, store: memoryStore(), until: 'follow' })
    run.done.catch(() => {})
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    open = { behindOpenTransaction: { written: 9, producerId: '77' } }
    expect((await run.seal()).behindOpenTransaction).toEqual([{ partition: 'p', last: 0, written: 9, producerId: '77' }])
    await run.close()
  })

  test('close() stops it after a clean checkpoint', async () => {
    const store = memoryStore()
    const run = replay({ source: memoryLog({ partitions: { p: [add('a')] } }), projection: counts, store, until: 'follow' })
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    await run.close()
    expect((await failureOf(run.done)).code).toBe('RUN_STOPPED')
    expect((await store.generations())[0]?.writer?.alive).toBe(false)
  })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}
