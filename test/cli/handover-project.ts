import { ordersProject } from './orders.js'

/**
 * The orders, with a log whose consumer group is a file, `group.json`: {members, position}. The process kills itself at the boundary
 * KILL_AT (from 0) of what it does to the group and to the store, and `boundaries.txt` keeps the last ones.
 */
export const GROUPED = {
  'rehydrate.config.ts': `
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { orders } from './orders.ts'

const folder = import.meta.dirname
const killAt = Number(process.env.KILL_AT ?? 'NaN')
let boundaries = 0

async function around<T>(name: string, call: () => Promise<T>): Promise<T> {
  boundary('before ' + name)
  const result = await call()
  boundary('after ' + name)
  return result
}

function boundary(name: string): void {
  if (boundaries++ !== killAt) return
  appendFileSync(folder + '/boundaries.txt', name + '\\n')
  process.kill(process.pid, 'SIGKILL')
  for (;;);
}

function watched<T extends object>(target: T, name: string, methods: readonly string[]): T {
  return new Proxy(target, { get(_, method) {
    const own = Reflect.get(target, method)
    if (typeof own !== 'function') return own
    return methods.includes(String(method)) ? (...args: unknown[]) => around(name + '.' + String(method), () => own.apply(target, args)) : own.bind(target)
  } })
}

const file = folder + '/group.json'
const readGroup = () => existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { members: [], position: {} }
const group = {
  async describe() {
    const { members, position } = readGroup()
    return { state: members.length === 0 ? 'Empty' : 'Stable', members, position: new Map(Object.entries(position)) }
  },
  async commit(position: Map<string, number>) {
    const before = readGroup()
    writeFileSync(file, JSON.stringify({ ...before, position: { ...before.position, ...Object.fromEntries(position) } }))
  },
}

const log = fileLog({ path: folder + '/log' })
const store = sqlite({ path: folder + '/state.db' })

export default defineConfig({
  jobs: {
    orders: {
      source: Object.assign(log, { group: () => watched(group, 'group', ['describe', 'commit']) }),
      projection: orders,
      store: new Proxy(store, { get(target, method) {
        const own = Reflect.get(target, method)
        if (method !== 'open') return typeof own === 'function' ? own.bind(target) : own
        return async (options: { mode: string }) => {
          const session = await target.open(options as never)
          return options.mode === 'write' ? watched(session, 'store', ['commit']) : session
        }
      } }),
    },
  },
})
`,
}

export function groupedProject(files: Readonly<Record<string, string>> = {}): string {
  return ordersProject({ ...GROUPED, ...files })
}
