import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { all, keys } from '../../../src/conformance/store-scene.js'
import { decode } from '../../../src/value/canonical.js'
import { temporaryDirectory, writerProcess } from './scene.js'

const KILLS = 25
const ROWS = 40

it(`after each of ${KILLS} kills at random moments, entries and checkpoint are of one commit`, { timeout: 300_000 }, async () => {
  const path = join(temporaryDirectory(), 'state.db')
  const store = sqlite({ path })
  let last = -1
  for (let kill = 0; kill < KILLS; kill++) {
    const child = writerProcess(path, 'loop', { rows: ROWS })
    expect(await child.line()).toBe('open')
    await wait(Math.random() * 60)
    await child.kill()

    const reader = await store.open({ generation: 1, mode: 'read' })
    const at = reader.checkpoint?.manifest.position['log/0'] ?? -1
    expect(at).toBeGreaterThanOrEqual(last)
    const values = (await all(reader, 'orders')).map(({ bytes }) => decode(bytes))
    expect(values).toEqual(Array.from({ length: at < 0 ? 0 : ROWS }, () => ({ at })))
    const rounds = [at - 2, at - 1, at].filter((round) => round >= 0).map((round) => `r${round}`)
    expect([...(await keys(reader, 'rounds'))].sort()).toEqual(rounds.sort())
    await reader.close()
    last = at
  }
  expect(last).toBeGreaterThan(KILLS)
})
