import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { EXIT_OF } from '../../src/cli/io.js'
import { Worker, type WorkerLine } from '../../src/cli/worker.js'
import { Flags } from '../../src/cli/command.js'
import { project } from '../host/project.js'
import { fakeIo } from './harness.js'
import { ordersProject } from './orders.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')

/** A worker whose process is this script. */
function workerOf(script: string): { worker: Worker; lines: WorkerLine[] } {
  const folder = project({ 'worker.mjs': script })
  const lines: WorkerLine[] = []
  const io = { ...fakeIo(folder), program: [process.execPath, join(folder, 'worker.mjs')] }
  const context = { io, flags: new Flags(new Map()) } as unknown as ConstructorParameters<typeof Worker>[0]
  return { lines, worker: new Worker(context, 'orders', { index: 0, of: 2 }, (line) => lines.push(line)) }
}

test('SIGHUP waits until a worker that is just starting can take it', async () => {
  const { worker, lines } = workerOf(`
    setTimeout(() => {
      process.on('SIGHUP', () => { console.log('{"kind":"hangup"}'); process.exit(0) })
      console.log('{"kind":"phase"}')
    }, 200)
    setInterval(() => {}, 1_000)`)
  worker.hangUp()
  worker.hangUp()
  expect(await worker.ended).toBe('sealed')
  expect(lines).toEqual([{ kind: 'phase' }, { kind: 'hangup' }])
})

test('a worker that ends without a word says why that may be, and one that ends well is believed, whatever else it printed', async () => {
  expect(await workerOf('process.exit(3)').worker.ended).toMatchObject({
    code: 'UNEXPECTED', message: 'The worker of shard 0/2 did not finish: it ended with exit code 3.', why: expect.stringContaining('no memory left'),
  })
  const { worker, lines } = workerOf(`console.log('from a handler'); console.log('{"error":"of its own"}')`)
  expect([await worker.ended, lines]).toEqual(['sealed', []])
})

test('a worker whose starter is gone before it listens stops all the same', async () => {
  const child = spawn(process.execPath, [MAIN, 'replay', '--until', 'follow', '--jsonl'], {
    cwd: ordersProject(), stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.disconnect()
  expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(EXIT_OF.SIGTERM)
})
