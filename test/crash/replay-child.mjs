// Replays a file log into SQLite, from the built package: what the kill test starts and kills.
import { fileLog } from '../../dist/adapters/file/index.js'
import { sqlite } from '../../dist/adapters/sqlite/index.js'
import { defineReducer, replay } from '../../dist/src/index.js'

const [log, db] = process.argv.slice(2)
const projection = defineReducer({
  name: 'counts', version: 1, collection: 'counts', ids: { window: 50 },
  on: {
    Added: (state, event) => ({ n: (state?.n ?? 0) + 1, sum: (state?.sum ?? 0) + event.data.by, last: event.offset }),
    Removed: () => null,
  },
})
process.stdout.write('started\n')
const run = replay({
  source: fileLog({ path: log }), projection, store: sqlite({ path: db }),
  batch: { events: 300 }, checkpoint: { bytes: 50_000 },
})
const sealed = await run.done
process.stdout.write(`${JSON.stringify({ root: sealed.root, manifestHash: sealed.seal.manifestHash, applied: sealed.run.applied })}\n`)
