import type { EntryKey, PutEntry, StoreSession } from '../store/contract.js'
import { all, check, commit, keys, put, refuses, same, shown } from './store-scene.js'
import type { CaseBody, CommitOptions } from './store-scene.js'

/** What stores promise about commits, writers and sessions. */
export const commitCases: readonly CaseBody[] = [
  {
    name: 'a commit whose iterable throws midway leaves nothing: no entry, no checkpoint, no switch',
    async body(scene) {
      const session = await scene.write()
      const before = await commit(session, { puts: [put('orders', 'a', 'before')], at: 1, sealed: true })
      const failing = [
        { puts: throwing([put('orders', 'a', 'after'), put('orders', 'b', 1), put('fresh', 'c', 1)]) },
        { deletes: throwing<EntryKey>([{ collection: 'orders', key: 'a' }]) },
      ]
      for (const changes of failing) {
        let thrown: unknown = null
        await commit(session, { ...changes, at: 2, sealed: true, goLive: true }).catch((error: unknown) => (thrown = error))
        check(thrown instanceof Midway, 'the error of the iterable comes out', thrown)
        same(shown(await all(session, 'orders')), shown([put('orders', 'a', 'before')]), 'no entry of it is there')
        same(await session.collections(), ['orders'], 'no collection of it is there')
        same((await scene.store.generations())[0]?.checkpoint, before, 'its checkpoint is not there')
        same(await scene.live(), null, 'its switch did not take place')
      }
      await commit(session, { puts: [put('fresh', 'c', 2)], at: 3 })
      same(await keys(session, 'fresh'), ['c'], 'the session goes on after that')
    },
  },
  {
    name: 'the checkpoint is the one of the last commit, field for field',
    async body(scene) {
      const session = await scene.write()
      same(session.checkpoint, null, 'a new generation has no checkpoint')
      await commit(session, { at: 1 })
      const last = await commit(session, { puts: [put('orders', 'a', 1)], at: 2 })
      same((await scene.store.generations())[0]?.checkpoint, last, 'in the list of generations')
      const reader = await scene.read()
      same(reader.checkpoint, last, 'in a session for reading')
      same(session.checkpoint, null, 'a session keeps the checkpoint it was opened with')
      await session.close()
      same((await scene.write()).checkpoint, last, 'in the next session for writing')
    },
  },
  {
    name: 'a commit that expects another writer, in epoch or in incarnation, is FENCED and changes no row',
    async body(scene) {
      const session = await scene.write()
      const writer = writerOf(session)
      const before = await commit(session, { puts: [put('orders', 'a', 'before')], at: 1 })
      const strangers = [
        { epoch: writer.epoch, incarnation: 'another' },
        { epoch: writer.epoch - 1, incarnation: writer.incarnation },
        { epoch: writer.epoch + 1, incarnation: writer.incarnation },
      ]
      for (const expected of strangers) {
        const changes = { puts: [put('orders', 'b', 1)], deletes: [{ collection: 'orders', key: 'a' }], at: 2, sealed: true, goLive: true }
        await refuses(() => commit(session, { ...changes, expected }), 'FENCED', `expecting ${JSON.stringify(expected)}`)
        await unchanged(session, before)
      }
      async function unchanged(reader: StoreSession, checkpoint: unknown): Promise<void> {
        same(shown(await all(reader, 'orders')), shown([put('orders', 'a', 'before')]), 'no row was changed')
        same((await scene.store.generations())[0]?.checkpoint, checkpoint, 'the checkpoint was not changed')
        same(await scene.live(), null, 'nothing was switched')
      }
    },
  },
  {
    name: 'every open for writing takes a higher epoch; an open for reading takes none',
    async body(scene) {
      const first = await scene.write()
      await first.close()
      const reader = await scene.read()
      same(reader.writer, null, 'a reader is no writer')
      const second = await scene.write()
      check(writerOf(first).epoch >= 1, 'epochs begin at 1 or higher', first.writer)
      same(writerOf(second).epoch, writerOf(first).epoch + 1, 'the next epoch')
      await refuses(() => commit(reader), null, 'a reader can not commit')
      await refuses(() => reader.beat(2), null, 'a reader has no beat')
    },
  },
  {
    name: 'while a writer lives, another gets ALREADY_RUNNING and takes nothing from it',
    async body(scene) {
      const first = await scene.write()
      await refuses(() => scene.write(), 'ALREADY_RUNNING', 'a second writer')
      await commit(first, { puts: [put('orders', 'a', 1)] })
      await first.beat(5)
      same(await keys(first, 'orders'), ['a'], 'the first one goes on')
      await first.close()
      const second = await scene.write()
      same(writerOf(second).epoch, writerOf(first).epoch + 1, 'the refused one took no epoch')
    },
  },
  {
    name: 'a takeover fences the writer off: its commits and beats are FENCED and change no row',
    async body(scene) {
      const old = await scene.write()
      const before = await commit(old, { puts: [put('orders', 'a', 'old')], at: 1 })
      const taker = await scene.write(1, { takeover: true })
      same(taker.checkpoint, before, 'the taker goes on from the last checkpoint')
      await refuses(() => commit(old, { puts: [put('orders', 'b', 1)], at: 2 }), 'FENCED', 'a commit of the old writer')
      await refuses(() => old.beat(9_000), 'FENCED', 'a beat of the old writer')
      same(await keys(taker, 'orders'), ['a'], 'the old writer changed no row')
      same((await scene.store.generations())[0]?.writer?.beatMs, 1_000, 'nor the beat')
      await commit(taker, { puts: [put('orders', 'c', 1)], at: 3 })
      await refuses(() => commit(old, { deletes: [{ collection: 'orders', key: 'c' }], at: 4 }), 'FENCED', 'later commits too')
      same(await keys(taker, 'orders'), ['a', 'c'], 'the taker goes on')
      await old.close()
      same((await scene.store.generations())[0]?.writer?.alive, true, 'the end of the old writer does not end the taker')
    },
  },
  {
    name: 'the list of generations says who writes, since when, with which beat, and whether that one lives',
    async body(scene) {
      const session = await scene.write(1, { owner: 'höst 42', nowMs: 1_700_000_000_000, incarnation: 'random' })
      const row = { owner: 'höst 42', sinceMs: 1_700_000_000_000, incarnation: 'random', epoch: writerOf(session).epoch }
      same((await scene.store.generations())[0]?.writer, { ...row, beatMs: 1_700_000_000_000, alive: true }, 'after the open')
      await session.beat(1_700_000_005_000)
      same((await scene.store.generations())[0]?.writer, { ...row, beatMs: 1_700_000_005_000, alive: true }, 'after a beat')
      await session.close()
      same((await scene.store.generations())[0]?.writer, { ...row, beatMs: 1_700_000_005_000, alive: false }, 'after its end')
    },
  },
  {
    name: 'two generations may have a writer each',
    async body(scene) {
      const [first, second] = [await scene.write(1), await scene.write(2)]
      await commit(first, { puts: [put('orders', 'a', 1)] })
      await commit(second, { puts: [put('orders', 'b', 2)] })
      await commit(first, { puts: [put('orders', 'c', 1)] })
      same(await keys(first, 'orders'), ['a', 'c'], 'the first generation')
      same(await keys(second, 'orders'), ['b'], 'the second generation')
    },
  },
  {
    name: 'a session can be closed twice and refuses everything afterwards',
    async body(scene) {
      const writer = await scene.write()
      await commit(writer, { puts: [put('orders', 'a', 1)] })
      const reader = await scene.read()
      for (const session of [writer, reader]) {
        await session.close()
        await session.close()
        await refuses(() => session.load('orders', ['a']), null, 'load')
        await refuses(() => session.scan('orders', null, 1), null, 'scan')
        await refuses(() => session.collections(), null, 'collections')
        await refuses(() => commit(session, { at: 9 }), null, 'commit')
        await refuses(() => session.beat(9), null, 'beat')
      }
      same((await scene.store.generations())[0]?.checkpoint?.manifest.position, { 'log/0': 0 }, 'nothing was committed')
    },
  },
  {
    name: 'closing the store ends its sessions, and can be done twice',
    async body(scene) {
      const session = await scene.write()
      await commit(session)
      await scene.store.close()
      await scene.store.close()
      await refuses(() => session.load('orders', ['a']), null, 'load')
      await refuses(() => commit(session), null, 'commit')
    },
  },
  {
    name: 'what was committed is there for another handle after the end of the first, byte for byte',
    needs: ['durable'],
    async body(scene) {
      const session = await scene.write()
      const puts = Array.from({ length: 300 }, (_, i) => put(i % 2 === 0 ? 'orders' : '$owners', `k${i}`, { i }))
      await commit(session, { puts, at: 1, sealed: true, goLive: true, durable: true })
      const last = await commit(session, { deletes: [{ collection: 'orders', key: 'k0' }], at: 2 })
      await scene.store.close()
      const store = await scene.reopen()
      const [row] = await store.generations()
      same([row?.generation, row?.live, row?.everSealed, row?.checkpoint, row?.writer?.alive], [1, true, true, last, false], 'the row')
      const again = await scene.write(1, {}, store)
      same(again.checkpoint, last, 'the checkpoint')
      same(writerOf(again).epoch, writerOf(session).epoch + 1, 'the epoch goes on')
      same((await all(again, 'orders')).length + (await all(again, '$owners')).length, 299, 'the entries')
      same(shown(await again.load('orders', ['k298'])), shown([put('orders', 'k298', { i: 298 })]), 'an entry')
      await store.close()
    },
  },
  {
    name: 'writers of two handles fence each other like those of one',
    needs: ['durable'],
    async body(scene) {
      const old = await scene.write()
      await commit(old, { puts: [put('orders', 'a', 1)], at: 1 })
      const other = await scene.reopen()
      await refuses(() => scene.write(1, {}, other), 'ALREADY_RUNNING', 'a second handle')
      same((await other.generations())[0]?.writer?.alive, true, 'the other handle sees who lives')
      const taker = await scene.write(1, { takeover: true }, other)
      await refuses(() => commit(old, { puts: [put('orders', 'b', 1)], at: 2 }), 'FENCED', 'the old writer')
      same(await keys(taker, 'orders'), ['a'], 'no row was changed')
      await other.close()
    },
  },
]

class Midway extends Error {}

function* throwing<T extends PutEntry | EntryKey>(items: readonly T[]): Generator<T> {
  yield* items
  throw new Midway('thrown by the iterable of a commit')
}

function writerOf(session: StoreSession): NonNullable<CommitOptions['expected']> {
  if (session.writer === null) throw new Error('a session for writing has a writer')
  return session.writer
}
