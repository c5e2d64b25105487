import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What happens on the way. All may change while connections are open. */
export interface Weather {
  /** Answers come so much later. */
  readonly latencyMs?: number
  /** Of answers, over each connection by itself. */
  readonly bytesPerSecond?: number
  /** Connections stay open, new ones are taken, and not a byte gets through, now or later: half-open, as when a node lost its power. */
  readonly swallows?: boolean
  /** Once so many more bytes of answers went through, all connections are ended, in the middle of an answer: with FIN or RST. */
  readonly cutAfterBytes?: number
  readonly cutBy?: 'end' | 'reset'
}

const CLEAR: Required<Weather> = {
  latencyMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, swallows: false, cutAfterBytes: Number.POSITIVE_INFINITY, cutBy: 'end',
}
const PIECE_BYTES = 16_384

/** Stands between a client and a server, at a port of its own. */
export class Proxy {
  /** How often connections were cut by `cutAfterBytes`. */
  cuts = 0
  /** Bytes of answers that came through. */
  passed = 0
  /** Connections that were taken. */
  connections = 0
  readonly #target: number
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly #lost = new WeakSet<readonly [Socket, Socket]>()
  #server: Server | null = null
  #port: number
  #weather = CLEAR

  /** `port`: 0 for any that is free. */
  constructor(target: number, port = 0) {
    this.#target = target
    this.#port = port
  }

  get address(): string { return `127.0.0.1:${this.#port}` }

  async listen(): Promise<this> {
    const server = createServer((client) => { this.#join(client) })
    await new Promise<void>((done, failed) => { server.once('error', failed).listen(this.#port, '127.0.0.1', done) })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
    return this
  }

  /** From now on, until the next one. */
  turn(weather: Weather): void { this.#weather = { ...CLEAR, ...weather } }

  /** Ends all connections. */
  cut(by: 'end' | 'reset' = 'end'): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) {
        if (by === 'reset') socket.resetAndDestroy()
        else socket.destroy()
      }
    }
  }

  /** New connections are refused, open ones ended, until `listen`. */
  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = null
    const closed = new Promise((done) => server === null ? done(null) : server.close(done))
    this.cut()
    await closed
  }

  #join(client: Socket): void {
    this.connections++
    const server = connect(this.#target, '127.0.0.1')
    const pair = [client, server] as const
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.on('error', () => {}).on('close', () => {
        this.#pairs.delete(pair)
        for (const other of pair) other.destroy()
      })
    }
    client.on('data', (bytes) => { if (!this.#isLost(pair)) server.write(bytes) })
    let earlier = Promise.resolve()
    server.on('data', (bytes: Buffer) => {
      const cameMs = Date.now()
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, at + PIECE_BYTES)
        earlier = earlier.then(() => this.#pass(pair, piece, cameMs))
      }
    })
  }

  /** A connection that lost bytes once is never whole again. */
  #isLost(pair: readonly [Socket, Socket]): boolean {
    if (this.#weather.swallows) this.#lost.add(pair)
    return this.#lost.has(pair) || !this.#pairs.has(pair)
  }

  async #pass(pair: readonly [Socket, Socket], piece: Buffer, cameMs: number): Promise<void> {
    const { latencyMs, bytesPerSecond, cutAfterBytes, cutBy } = this.#weather
    const waitMs = Math.max(cameMs + latencyMs - Date.now(), 0) + piece.length / bytesPerSecond * 1_000
    if (waitMs > 0) await sleep(waitMs)
    if (this.#isLost(pair)) return
    const left = Math.min(piece.length, cutAfterBytes)
    pair[0].write(piece.subarray(0, left))
    this.passed += left
    if (cutAfterBytes === Number.POSITIVE_INFINITY) return
    this.#weather = { ...this.#weather, cutAfterBytes: cutAfterBytes - left }
    if (left === piece.length) return
    this.cuts++
    this.#weather = { ...this.#weather, cutAfterBytes: Number.POSITIVE_INFINITY }
    // What was written before is to arrive.
    await new Promise((done) => pair[0].write('', done))
    this.cut(cutBy)
  }
}
