import { all, check, commit, keys, put, refuses, same, shown } from './store-scene.js'
import type { CaseBody } from './store-scene.js'

/** What stores promise about generations and pinned reads. */
export const generationCases: readonly CaseBody[] = [
  {
    name: 'a store that nothing was written to has no generations, and asking makes none',
    async body(scene) {
      same(await scene.store.generations(), [], 'no generations')
      await refuses(() => scene.read(1), 'STORE_NOT_FOUND', 'reading')
      await refuses(() => scene.store.switchTo(1, null), 'STORE_GENERATION', 'switching')
      await refuses(() => scene.store.drop(1), 'STORE_GENERATION', 'dropping')
      same(await scene.store.generations(), [], 'still no generations')
    },
  },
  {
    name: 'opening for writing makes the generation: not live, never sealed, without a checkpoint',
    async body(scene) {
      const session = await scene.write(3)
      const rows = (await scene.store.generations()).map((row) => [row.generation, row.live, row.everSealed, row.checkpoint])
      same(rows, [[3, false, false, null]], 'the new generation')
      same(await session.collections(), [], 'it holds nothing')
      same((await scene.read(3)).checkpoint, null, 'it can be read')
      await refuses(() => scene.read(2), 'STORE_NOT_FOUND', 'another one')
    },
  },
  {
    name: 'generations are listed ascending and share no entry',
    async body(scene) {
      for (const generation of [10, 2, 1]) {
        const session = await scene.write(generation)
        await commit(session, { puts: [put('orders', 'same key', generation), put(`only-${generation}`, 'k', 1)], at: generation })
      }
      same((await scene.store.generations()).map((row) => row.generation), [1, 2, 10], 'ascending')
      for (const generation of [1, 2, 10]) {
        const reader = await scene.read(generation)
        same(shown(await all(reader, 'orders')), shown([put('orders', 'same key', generation)]), 'its own entry')
        same([...(await reader.collections())].sort(), [`only-${generation}`, 'orders'], 'its own collections')
        same(reader.checkpoint?.manifest.position, { 'log/0': generation }, 'its own checkpoint')
      }
    },
  },
  {
    name: 'a session for reading sees one state until it is closed, whatever is committed meanwhile',
    async body(scene) {
      const writer = await scene.write()
      const before = await commit(writer, { puts: [put('orders', 'a', 'old'), put('orders', 'b', 'old'), put('x', 'k', 1)], at: 1 })
      const reader = await scene.read()
      await commit(writer, {
        puts: [put('orders', 'a', 'new'), put('orders', 'c', 'new'), put('fresh', 'k', 1)],
        deletes: [{ collection: 'orders', key: 'b' }, { collection: 'x', key: 'k' }],
        at: 2,
        durable: true,
      })
      same(shown(await all(reader, 'orders')), shown([put('orders', 'a', 'old'), put('orders', 'b', 'old')]), 'scan')
      same((await reader.load('orders', ['b', 'c'])).map(({ key }) => key), ['b'], 'load')
      same([...(await reader.collections())].sort(), ['orders', 'x'], 'collections')
      same(reader.checkpoint, before, 'checkpoint')
      same(shown(await all(writer, 'orders')), shown([put('orders', 'a', 'new'), put('orders', 'c', 'new')]), 'the writer sees its commits')
      same(await keys(await scene.read(), 'orders'), ['a', 'c'], 'a later reader sees them too')
    },
  },
  {
    name: 'a session for reading outlives the drop of its generation',
    async body(scene) {
      await scene.sealed(1, true)
      await scene.sealed(2, true)
      const reader = await scene.read(1)
      await scene.store.drop(1)
      same(await keys(reader, 'orders'), ['of-1'], 'the pinned view is whole')
      await refuses(() => scene.read(1), 'STORE_NOT_FOUND', 'a new reader')
    },
  },
  {
    name: 'a commit that goes live switches in the same transaction; one that was never sealed is refused whole',
    async body(scene) {
      await scene.sealed(1, true)
      same(await scene.live(), 1, 'the first seal went live')
      const session = await scene.write(2)
      const attempt = { puts: [put('orders', 'a', 1)], at: 1, goLive: true }
      await refuses(() => commit(session, attempt), 'STORE_GENERATION', 'an unsealed generation')
      same(await session.collections(), [], 'nothing of the refused commit is there')
      same((await scene.store.generations())[1]?.checkpoint, null, 'nor its checkpoint')
      same(await scene.live(), 1, 'nor its switch')
      await commit(session, { ...attempt, sealed: true })
      same(await scene.live(), 2, 'sealed, it goes live')
    },
  },
  {
    name: 'a generation that was sealed once stays switchable, whatever was committed since',
    async body(scene) {
      await scene.sealed(1, true)
      const session = await scene.write(2)
      await commit(session, { at: 1, sealed: true, goLive: false })
      await commit(session, { at: 2, sealed: false })
      const row = (await scene.store.generations())[1]
      same([row?.everSealed, row?.live, row?.checkpoint?.manifest.sealed], [true, false, false], 'the row')
      await scene.store.switchTo(2, 1)
      same(await scene.live(), 2, 'switched')
      await commit(session, { at: 3, goLive: true })
      same(await scene.live(), 2, 'still live')
    },
  },
  {
    name: 'switchTo is refused where another generation is live than expected (FENCED), or the new one was never sealed or is unknown',
    async body(scene) {
      await scene.sealed(1, false)
      await scene.sealed(2, false)
      await commit(await scene.write(3), { at: 1 })
      await refuses(() => scene.store.switchTo(1, 2), 'FENCED', 'expecting 2 while none is live')
      await scene.store.switchTo(1, null)
      same(await scene.live(), 1, 'from none to 1')
      await refuses(() => scene.store.switchTo(2, null), 'FENCED', 'expecting none while 1 is live')
      await refuses(() => scene.store.switchTo(3, 1), 'STORE_GENERATION', 'one that was never sealed')
      await refuses(() => scene.store.switchTo(4, 1), 'STORE_GENERATION', 'one that is not there')
      same(await scene.live(), 1, 'refusals switch nothing')
      await scene.store.switchTo(2, 1)
      await scene.store.switchTo(1, 2)
      same(await scene.live(), 1, 'there and back')
    },
  },
  {
    name: 'drop removes a generation, but never the live one, one with a living writer or one that is not there',
    async body(scene) {
      await scene.sealed(1, true)
      const writer = await scene.write(2)
      await commit(writer, { puts: [put('orders', 'a', 1)], at: 1 })
      await refuses(() => scene.store.drop(1), 'STORE_GENERATION', 'the live one')
      await refuses(() => scene.store.drop(2), 'STORE_GENERATION', 'one with a living writer')
      await refuses(() => scene.store.drop(3), 'STORE_GENERATION', 'one that is not there')
      same((await scene.store.generations()).length, 2, 'refusals drop nothing')
      await writer.close()
      await scene.store.drop(2)
      same((await scene.store.generations()).map((row) => row.generation), [1], 'dropped')
      same(await keys(await scene.read(1), 'orders'), ['of-1'], 'the other one is whole')
    },
  },
  {
    name: 'a generation made again after a drop is empty, and the writer of the dropped one is FENCED',
    async body(scene) {
      const old = await scene.write(2)
      await commit(old, { puts: [put('orders', 'a', 1)], at: 1, sealed: true })
      const taker = await scene.write(2, { takeover: true })
      await taker.close()
      await scene.store.drop(2)
      const fresh = await scene.write(2)
      same([fresh.checkpoint, await fresh.collections()], [null, []], 'it is empty')
      await refuses(() => commit(old, { puts: [put('orders', 'b', 1)], at: 2 }), 'FENCED', 'the writer of the dropped one')
      const row = (await scene.store.generations())[0]
      same([row?.everSealed, row?.live, row?.checkpoint], [false, false, null], 'nothing of the old one is left')
      check((await keys(fresh, 'orders')).length === 0, 'no entry of the old one')
    },
  },
]
