import type { StoreSession } from '../store/contract.js'
import { compileColumns, type Columns } from '../value/columns.js'
import type { Value } from '../value/canonical.js'
import { all, commit, put, same, shown, sortedShown } from './store-scene.js'
import type { CaseBody } from './store-scene.js'

const COLUMNS = compileColumns('columns', {
  text: 'text', int: 'int', int64: 'int64', real: 'real', bool: 'bool', bytes: 'bytes', json: 'json', decimal: 'decimal(6,2)',
  timestamp: 'timestamp', date: 'date', uuid: 'uuid', absent: 'int?', null: 'int | null', 'in.side': 'int', '...': 'json',
})

const LEAST = {
  text: '', int: 0, int64: 0n, real: 0, bool: false, bytes: new Uint8Array(0), json: null, decimal: '0',
  timestamp: 0, date: '0000-01-01', uuid: '00000000-0000-0000-0000-000000000000', null: null, in: { side: 0 },
}
const ODD: readonly Value[] = [
  LEAST,
  { ...LEAST, text: '\0\u{1f600} ', int: Number.MAX_SAFE_INTEGER, int64: 2n ** 63n - 1n, real: 1e300, bool: true },
  { ...LEAST, bytes: Uint8Array.of(0, 255) },
  { ...LEAST, text: '5', int: Number.MIN_SAFE_INTEGER, int64: -(2n ** 63n), real: -0.1, json: { b: [1, '\0'], a: 2n ** 60n }, null: 5 },
  { ...LEAST, int64: 5n, real: 5, decimal: '-1234.5', timestamp: -1, date: '9999-12-31', absent: 7, more: 'x', 1: { a: [null] } },
]

const puts = ODD.map((value, i) => put('things', `k${i}`, value))
const tables: ReadonlyMap<string, Columns> = new Map([['things', COLUMNS]])

async function holdsAll(session: StoreSession): Promise<void> {
  same(sortedShown(await session.load('things', puts.map(({ key }) => key))), sortedShown(puts), 'load gives what was put')
  same(shown(await all(session, 'things', 2)), shown(puts), 'scan gives what was put')
}

/** What stores promise about collections that the projection keeps as tables: whether a store keeps columns or bytes can not be told. */
export const tableCases: readonly CaseBody[] = [
  {
    name: 'entries of a collection with columns come back byte for byte, hash included, whatever the types',
    async body(scene) {
      const session = await scene.write(1, { tables })
      same(await session.collections(), [], 'a table without entries is not named')
      await commit(session, { puts: [...puts, put('plain', 'a', [1])] })
      await holdsAll(session)
      await holdsAll(await scene.read())
      same([...(await session.collections())].sort(), ['plain', 'things'], 'both collections are named')
    },
  },
  {
    name: 'entries of a collection with columns are replaced and deleted like any other',
    async body(scene) {
      const session = await scene.write(1, { tables })
      await commit(session, { puts })
      const changed = [put('things', 'k0', ODD[4] ?? null), put('things', 'k1', LEAST)]
      await commit(session, { puts: changed, deletes: [{ collection: 'things', key: 'k4' }] })
      same(shown(await all(session, 'things')), shown([...changed, ...puts.slice(2, 4)]), 'replaced and deleted')
      await commit(session, { deletes: ODD.map((_, i) => ({ collection: 'things', key: `k${i}` })) })
      same(await session.collections(), [], 'all are gone')
    },
  },
  {
    name: 'a generation goes on with the columns it was begun with, also where they are not said again',
    async body(scene) {
      const first = await scene.write(1, { tables })
      await commit(first, { puts: puts.slice(0, 2), sealed: true, goLive: true })
      await first.close()
      const untold = await scene.write(1)
      await commit(untold, { puts: puts.slice(2), at: 1 })
      await untold.close()
      await holdsAll(await scene.write(1, { tables }))
    },
  },
  {
    name: 'two generations keep one collection with other columns each, and switching changes neither',
    async body(scene) {
      const other = put('things', 'a', { n: 1 })
      const first = await scene.write(1, { tables })
      await commit(first, { puts, sealed: true, goLive: true })
      const second = await scene.write(2, { tables: new Map([['things', compileColumns('columns', { n: 'int' })]]) })
      await commit(second, { puts: [other], sealed: true, goLive: true })
      same(await scene.live(), 2, 'the second is live')
      await holdsAll(await scene.read(1))
      same(shown(await all(await scene.read(2), 'things')), shown([other]), 'the second')
      await first.close()
      await scene.store.drop(1)
      same(shown(await all(second, 'things')), shown([other]), 'the second after the drop of the first')
    },
  },
]
