import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { commit, keys, put } from '../../../src/conformance/store-scene.js'
import { openWriter, temporaryDirectory, writerProcess } from './scene.js'

describe('writers in several processes', { timeout: 120_000 }, () => {
  it('a writer that lives in another process is ALREADY_RUNNING, both ways', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    const child = writerProcess(path, 'hold')
    expect(await child.line()).toBe('open')
    const refusal = { code: 'ALREADY_RUNNING', details: { actual: { owner: `child ${child.process.pid}`, epoch: 1 } } }
    await expect(openWriter(store)).rejects.toMatchObject(refusal)
    expect((await store.generations())[0]?.writer?.alive).toBe(true)
    await expect(store.drop(1)).rejects.toMatchObject({ code: 'STORE_GENERATION' })
    await child.kill()

    const session = await openWriter(store)
    const refused = writerProcess(path, 'hold')
    expect(JSON.parse((await refused.line()) ?? 'null')).toMatchObject({ code: 'ALREADY_RUNNING' })
    await session.close()
  })

  it('a writer killed with SIGKILL is dead at once: no wait, no takeover', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'state.db')
    const store = sqlite({ path })
    for (let epoch = 1; epoch <= 5; epoch += 2) {
      const child = writerProcess(path, 'hold')
      expect(await child.line()).toBe('open')
      await child.kill()
      expect((await store.generations())[0]?.writer).toMatchObject({ epoch, alive: false })
      const session = await openWriter(store)
      expect(session.writer?.epoch).toBe(epoch + 1)
      await session.close()
    }
    expect(readdirSync(directory)).toEqual(['state.db'])
  })

  it('a takeover succeeds at once, and the old process changes no row after it', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    const child = writerProcess(path, 'loop')
    for (let i = 0; i < 4; i++) await child.line()

    const session = await openWriter(store, { takeover: true })
    const position = session.checkpoint?.manifest.position['log/0']
    let last: string | null = null
    for (let line = await child.line(); line !== null; line = await child.line()) last = line
    expect(JSON.parse(last ?? 'null')).toMatchObject({ code: 'FENCED' })
    expect((await store.generations())[0]?.checkpoint?.manifest.position['log/0']).toBe(position)
    expect(await keys(session, 'rounds')).toContain(`r${position}`)
    expect(await keys(session, 'rounds')).not.toContain(`r${Number(position) + 1}`)
    expect((await store.generations())[0]?.writer).toMatchObject({ epoch: 2, alive: true })
    await commit(session, { puts: [put('orders', 'mine', { at: 1 })], at: 9_999 })
    await store.close()
  })

  it('a living writer is seen through a link to the file too', async () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'linked'))
    const session = await openWriter(sqlite({ path: join(directory, 'state.db') }))
    const link = join(directory, 'linked', 'link.db')
    symlinkSync(join(directory, 'state.db'), link)
    await expect(openWriter(sqlite({ path: link }))).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    await session.close()
  })

  it('processes that make the store at the same moment make one, with one writer', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const children = Array.from({ length: 4 }, () => writerProcess(path, 'hold'))
    const lines = await Promise.all(children.map((child) => child.line()))
    const codes = lines.map((line) => (line === 'open' ? line : JSON.parse(line ?? 'null').code)).sort()
    expect(codes).toEqual(['ALREADY_RUNNING', 'ALREADY_RUNNING', 'ALREADY_RUNNING', 'open'])
  })
})
