import { randomUUID } from 'node:crypto'
import type { DigestSide } from '../verify/side.js'

interface View {
  readonly id: string
  readonly side: DigestSide
  /** Requests under way. */
  busy: number
  timer: NodeJS.Timeout | null
}

/** The pinned views of a server, by ids that nobody can guess. */
export class Views {
  readonly #open: () => Promise<DigestSide>
  readonly #most: number
  readonly #idleMs: number
  readonly #views = new Map<string, View>()
  #opening = 0
  #closed = false

  constructor(open: () => Promise<DigestSide>, most: number, idleMs: number) {
    this.#open = open
    this.#most = most
    this.#idleMs = idleMs
  }

  get idleMs(): number { return this.#idleMs }

  /** Null where there are too many. */
  async open(): Promise<View | null> {
    if (this.#closed || this.#views.size + this.#opening >= this.#most) return null
    this.#opening++
    try {
      const side = await this.#open()
      const view: View = { id: randomUUID(), side, busy: 0, timer: null }
      if (this.#closed) {
        await side.close()
        return null
      }
      this.#views.set(view.id, view)
      return view
    } finally {
      this.#opening--
    }
  }

  /** Undefined where there is none. The view stays open while `use` is under way, and for the idle time after it. */
  async with<T>(id: string, use: (side: DigestSide) => Promise<T>): Promise<T | undefined> {
    const view = this.#views.get(id)
    if (view === undefined) return undefined
    if (view.timer !== null) clearTimeout(view.timer)
    view.busy++
    try {
      return await use(view.side)
    } finally {
      view.busy--
      if (view.busy === 0) await this.#rest(view)
    }
  }

  async #rest(view: View): Promise<void> {
    if (!this.#views.has(view.id)) return await view.side.close()
    view.timer = setTimeout(() => void this.close(view.id).catch(() => {}), this.#idleMs).unref()
  }

  async close(id: string): Promise<boolean> {
    const view = this.#views.get(id)
    if (view === undefined) return false
    this.#views.delete(id)
    if (view.timer !== null) clearTimeout(view.timer)
    if (view.busy === 0) await view.side.close()
    return true
  }

  async closeAll(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#views.keys()].map((id) => this.close(id)))
  }
}
