import { join } from 'node:path'
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { airports } from './airports.ts'

export default defineConfig({
  jobs: {
    flights: {
      source: fileLog({ path: join(import.meta.dirname, 'log') }),
      projection: airports,
      store: sqlite({ path: join(import.meta.dirname, 'state.db') }),
    },
  },
})
