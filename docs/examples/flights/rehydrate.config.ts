import { join } from 'node:path'
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { airports } from './airports.ts'

/** The database of another program: every column is named, nothing is guessed. */
const oldService = sqlite({
  path: join(import.meta.dirname, 'old.db'),
  position: { query: 'SELECT partition, last_offset FROM progress' }, // how far it had read, in its rows' own transaction
  tables: {
    airports: {
      table: 'airport',
      key: 'iata',
      columns: {
        landed: 'landed', delayed: 'late', delayTotal: 'delay_minutes',
        'longestDelay.delay': { column: 'longest_minutes', type: 'int' },
        'longestDelay.departed': { column: 'longest_departed', type: 'text' },
        'longestDelay.origin': { column: 'longest_origin', type: 'text' },
        'lastArrival.departed': { column: 'last_departed', type: 'text' },
        'lastArrival.origin': { column: 'last_origin', type: 'text' },
      },
      ignore: ['updated_at'],
    },
  },
})

export default defineConfig({
  jobs: {
    flights: {
      source: fileLog({ path: join(import.meta.dirname, 'log') }),
      projection: airports,
      store: sqlite({ path: join(import.meta.dirname, 'state.db') }),
      verify: { against: { old: oldService } },
    },
  },
})
