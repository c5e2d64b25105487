import { sqlite } from '../../../adapters/sqlite/index.js'
import { commit, put } from '../../../src/conformance/store-scene.js'
import type { StoreSession } from '../../../src/index.js'
import { compileColumns } from '../../../src/value/columns.js'

/**
 * A writer in a process of its own, for tests that kill it: node --import jiti/register child.ts PATH MODE ROWS
 * hold: opens generation 1 and waits. loop: commits round after round until it is killed. Each line says how far it is.
 * The collection `orders` is a table with columns, `rounds` is kept as bytes.
 */
const [path = '', mode = 'hold', rows = '40'] = process.argv.slice(2)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

try {
  const store = sqlite({ path })
  const session = await store.open({
    generation: 1, mode: 'write', incarnation: `child-${process.pid}`, owner: `child ${process.pid}`, nowMs: 1, takeover: false,
    tables: new Map([['orders', compileColumns('orders', { at: 'int' })]]),
  })
  say('open')
  if (mode === 'hold') setInterval(() => undefined, 1_000)
  else await loop(session)
} catch (error) {
  say(JSON.stringify(error))
  process.exitCode = 1
}

/** Round n writes n into every key, adds the key "r<n>" and removes "r<n − 3>". */
async function loop(session: StoreSession): Promise<never> {
  for (let at = (session.checkpoint?.manifest.position['log/0'] ?? -1) + 1; ; at++) {
    const puts = Array.from({ length: Number(rows) }, (_, i) => put('orders', `k${i}`, { at }))
    await commit(session, {
      puts: [...puts, put('rounds', `r${at}`, at)],
      deletes: [{ collection: 'rounds', key: `r${at - 3}` }],
      at,
      durable: at % 5 === 0,
    })
    say(String(at))
  }
}
