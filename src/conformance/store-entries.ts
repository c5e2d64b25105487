import { compareUtf8 } from '../log/position.js'
import type { PutEntry } from '../store/contract.js'
import { all, check, commit, keys, put, rawPut, same, shown, sortedShown } from './store-scene.js'
import type { CaseBody } from './store-scene.js'

/** Keys that a store may confuse, cut or put in another order. */
export const ODD_KEYS = [
  'A', 'a', '1', '01', '1.0', ' ', ' a', 'a ', '\0', 'a\0', 'a\0b', "'", '"', '"; DROP TABLE orders; --', '%', '_', '\\', '\n',
  '__proto__', 'constructor', 'null', 'é', 'e\u0301', 'ß', 'SS', '\u007f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000',
  '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}', '["a","b"]', 'x'.repeat(1_024), 'é'.repeat(512),
]
const ODD_COLLECTIONS = [
  '$owners', '$digest', 'a b', 'Ünï', 'x"y', "x'y", 'A', 'a', 'a\0', 'entries_1', 'generations', 'select', '1', '/', '😀',
]

/** What stores promise about entries. */
export const entryCases: readonly CaseBody[] = [
  {
    name: 'an entry that was put is loaded byte for byte, hash included',
    async body(scene) {
      const session = await scene.write()
      const puts = [put('orders', 'a', { id: 1, total: 12.5 }), put('orders', 'b', null), put('customers', 'a', ['x'])]
      await commit(session, { puts })
      same(sortedShown(await session.load('orders', ['a', 'b'])), sortedShown(puts.slice(0, 2)), 'load gives what was put')
      same(sortedShown(await session.load('customers', ['a', 'b'])), sortedShown(puts.slice(2)), 'load gives what was put')
    },
  },
  {
    name: 'load gives those of the keys that are there and leaves out the others',
    async body(scene) {
      const session = await scene.write()
      same(await session.load('orders', ['a']), [], 'nothing is in an unknown collection')
      await commit(session, { puts: [put('orders', 'a', 1), put('orders', 'c', 3)] })
      same((await session.load('orders', ['c', 'b', 'a', 'd'])).map(({ key }) => key).sort(), ['a', 'c'], 'load leaves out absent keys')
      same(await session.load('orders', []), [], 'no keys, no entries')
    },
  },
  {
    name: 'a put replaces the entry of the same collection and key',
    async body(scene) {
      const session = await scene.write()
      await commit(session, { puts: [put('orders', 'a', 'first'), put('orders', 'b', 'other')] })
      await commit(session, { puts: [put('orders', 'a', 'second, and longer')] })
      same(shown(await all(session, 'orders')), shown([put('orders', 'a', 'second, and longer'), put('orders', 'b', 'other')]), 'replaced')
    },
  },
  {
    name: 'deleted entries are gone from load, scan and collections; deleting an absent key is no error',
    async body(scene) {
      const session = await scene.write()
      await commit(session, { puts: [put('orders', 'a', 1), put('orders', 'b', 2), put('customers', 'c', 3)] })
      await commit(session, {
        deletes: [{ collection: 'orders', key: 'a' }, { collection: 'orders', key: 'absent' }, { collection: 'nowhere', key: 'x' },
          { collection: 'customers', key: 'c' }],
      })
      same(await keys(session, 'orders'), ['b'], 'the deleted key is gone from scan')
      same(await session.load('orders', ['a']), [], 'the deleted key is gone from load')
      same(await session.collections(), ['orders'], 'a collection without entries is not named')
    },
  },
  {
    name: 'one commit puts and deletes in several collections',
    async body(scene) {
      const session = await scene.write()
      await commit(session, { puts: [put('x', 'old', 1), put('y', 'old', 1)] })
      await commit(session, {
        puts: [put('x', 'new', 2), put('y', 'new', 2), put('x', 'newer', 3)],
        deletes: [{ collection: 'x', key: 'old' }, { collection: 'y', key: 'old' }],
      })
      same(await keys(session, 'x'), ['new', 'newer'], 'x after the commit')
      same(await keys(session, 'y'), ['new'], 'y after the commit')
      same([...(await session.collections())].sort(), ['x', 'y'], 'the collections')
    },
  },
  {
    name: 'keys are told apart and ordered by their UTF-8 bytes, whatever they hold',
    async body(scene) {
      const session = await scene.write()
      const puts = ODD_KEYS.map((key, i) => put('orders', key, i))
      await commit(session, { puts })
      const expected = [...puts].sort((a, b) => compareUtf8(a.key, b.key))
      same(shown(await all(session, 'orders')), shown(expected), 'scan is in the order of UTF-8 bytes')
      same(sortedShown(await session.load('orders', ODD_KEYS)), sortedShown(puts), 'load finds each')
      await commit(session, { deletes: ODD_KEYS.slice(1).map((key) => ({ collection: 'orders', key })) })
      same(await keys(session, 'orders'), ODD_KEYS.slice(0, 1), 'each is deleted by itself')
    },
  },
  {
    name: 'a scan gives at most limit entries with key > after, from the first where after is null',
    async body(scene) {
      const session = await scene.write()
      const names = Array.from({ length: 25 }, (_, i) => `k${String(i * 2).padStart(2, '0')}`)
      await commit(session, { puts: names.map((key) => put('orders', key, key)) })
      const page = async (after: string | null, limit: number): Promise<readonly string[]> =>
        (await session.scan('orders', after, limit)).map(({ key }) => key)
      same(await page(null, 3), names.slice(0, 3), 'from the first')
      same(await page('k04', 3), names.slice(3, 6), 'after is exclusive')
      same(await page('k05', 3), names.slice(3, 6), 'after need not be there')
      same(await page('k44', 10), names.slice(23), 'fewer than limit at the end')
      same(await page('k48', 10), [], 'nothing after the last')
      same(await page('zzz', 10), [], 'nothing beyond all')
      same(await session.scan('nowhere', null, 10), [], 'nothing in an unknown collection')
      same((await all(session, 'orders', 4)).map(({ key }) => key), names, 'pages join to the whole')
      same((await all(session, 'orders', 5)).map(({ key }) => key), names, 'pages join to the whole')
    },
  },
  {
    name: 'collections are told apart by every character of their names',
    async body(scene) {
      const session = await scene.write()
      await commit(session, { puts: ODD_COLLECTIONS.map((name, i) => put(name, 'k', i)) })
      same([...(await session.collections())].sort(), [...ODD_COLLECTIONS].sort(), 'each is named')
      for (const [i, name] of ODD_COLLECTIONS.entries()) {
        same(shown(await all(session, name)), shown([put(name, 'k', i)]), `${JSON.stringify(name)} holds its own entry only`)
      }
    },
  },
  {
    name: 'bytes come back as they are: empty, every byte, 1 MiB',
    async body(scene) {
      const session = await scene.write()
      const every = Uint8Array.from({ length: 256 }, (_, i) => i)
      const large = Uint8Array.from({ length: 1_048_576 }, (_, i) => (i * 31) % 251)
      const puts = [rawPut('$digest', 'empty', new Uint8Array(0)), rawPut('$digest', 'every', every), rawPut('$digest', 'large', large)]
      await commit(session, { puts })
      same(sortedShown(await session.load('$digest', ['empty', 'every', 'large'])), sortedShown(puts), 'load')
      same(shown(await all(session, '$digest')), shown(puts), 'scan')
    },
  },
  {
    name: 'thousands of entries go in one commit and come in one load',
    async body(scene) {
      const session = await scene.write()
      const puts = Array.from({ length: 5_000 }, (_, i) => put('orders', `order-${i}`, { i, text: 'x'.repeat(i % 40) }))
      await commit(session, { puts })
      same(sortedShown(await session.load('orders', puts.map(({ key }) => key))), sortedShown(puts), 'all are loaded')
      await commit(session, { puts: puts.map(({ key }) => put('orders', key, 0)), deletes: [] })
      same((await all(session, 'orders')).length, 5_000, 'all are replaced, none added')
    },
  },
  {
    name: 'the iterables of a commit are walked once',
    async body(scene) {
      const session = await scene.write()
      let walks = 0
      const puts: Iterable<PutEntry> = {
        *[Symbol.iterator]() {
          walks += 1
          yield put('orders', 'a', walks)
        },
      }
      await commit(session, { puts })
      same(walks, 1, 'walked once')
      same(shown(await all(session, 'orders')), shown([put('orders', 'a', 1)]), 'what the first walk gave')
    },
  },
  {
    name: 'bytes that the caller changes after a commit do not change the store',
    async body(scene) {
      const session = await scene.write()
      const lent = put('orders', 'a', 'as committed')
      const expected = shown([lent])
      await commit(session, { puts: [lent] })
      lent.bytes.fill(0)
      lent.hash.fill(0)
      same(shown(await session.load('orders', ['a'])), expected, 'the store has its own copy')
    },
  },
  {
    name: 'bytes that the caller changes after load or scan do not change the store',
    async body(scene) {
      const session = await scene.write()
      const expected = put('orders', 'a', 'as committed')
      await commit(session, { puts: [expected] })
      for (const entry of [...(await session.load('orders', ['a'])), ...(await session.scan('orders', null, 1))]) {
        check(entry.bytes.length > 0, 'the entry is there')
        entry.bytes.fill(0)
        entry.hash.fill(0)
      }
      same(shown(await session.load('orders', ['a'])), shown([expected]), 'load gives a copy')
      same(shown(await session.scan('orders', null, 1)), shown([expected]), 'scan gives a copy')
    },
  },
]
