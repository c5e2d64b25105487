/** The other host: serves the digest of a state until its input ends. */
import { once } from 'node:events'
import { sqlite } from '../../adapters/sqlite/index.js'
import { serveDigest } from '../../src/host/serve-digest.js'
import { openStoreSide } from '../../src/verify/open.js'
import { tellResult, trialInput } from '../trial.js'

const { path, token } = trialInput<{ readonly path: string; readonly token: string }>()
const store = sqlite({ path })
const server = await serveDigest({ open: () => openStoreSide(store, path), token })
tellResult({ url: server.url })
await once(process.stdin.resume(), 'end')
await server.close()
await store.close()
