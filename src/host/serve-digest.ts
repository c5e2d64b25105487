import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { packPage } from '../digest/wire.js'
import { ERRORS, type ErrorCode, isRehydrateError, RehydrateError } from '../errors.js'
import { positionToJson } from '../log/position.js'
import { checkOptions } from '../value/options.js'
import type { DigestSide } from '../verify/side.js'
import {
  BASE_PATH, checkedToken, FULL_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_REQUEST_KEYS, readTexts, writeFrame,
} from './digest-protocol.js'
import type { Secret } from './secrets.js'
import { Views } from './views.js'

export interface ServeDigestOptions {
  /** A pinned view of what is served; opened for each client that says hello, and closed by us. */
  readonly open: () => Promise<DigestSide>
  /** What clients must show: 16 visible ASCII characters or more. */
  readonly token: string | Secret
  /** Default 127.0.0.1. The connection is not encrypted: others belong behind TLS. */
  readonly host?: string
  /** Default 0: any that is free. */
  readonly port?: number
  /** Views open at once; beyond it clients are sent away with 503. Default 4. */
  readonly maxViews?: number
  /** A view is closed so long after its last request: what a reader has pinned, a store can not clean up. Default 60,000. */
  readonly idleMs?: number
  /** How long a client may take to send a request, and again to take in the answer. Default 30,000. */
  readonly requestMs?: number
}

export interface DigestServer {
  /** `http://HOST:PORT` */
  readonly url: string
  /** Ends every connection and view. Idempotent. */
  close(): Promise<void>
}

/**
 * Serves a digest read-only over HTTP (docs/digest-protocol.md). Nothing of what is served is ever logged or quoted.
 * CONFIG_INVALID for bad options or a bad token; USAGE for an address that can not be listened on.
 */
export async function serveDigest(options: ServeDigestOptions): Promise<DigestServer> {
  checkOptions('serveDigest()', options, ['open', 'token', 'host', 'port', 'maxViews', 'idleMs', 'requestMs'])
  const { host = '127.0.0.1', port = 0, maxViews = 4, idleMs = 60_000, requestMs = 30_000 } = options
  const views = new Views(options.open, maxViews, idleMs)
  const service = new Service(views, checkedToken(options.token), requestMs)
  const server = createServer({
    maxHeaderSize: 8 * 1024, headersTimeout: requestMs, requestTimeout: requestMs, keepAliveTimeout: 30_000,
    connectionsCheckingInterval: Math.min(1_000, requestMs),
  }, (request, response) => void service.answer(request, response))
  server.maxConnections = 64
  await listen(server, host, port)
  const address = server.address() as AddressInfo
  let closed: Promise<void> | null = null
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    close: () => (closed ??= closeAll(server, views)),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => {
      reject(new RehydrateError('USAGE', {
        message: `${host}:${port} can not be listened on: ${error.code ?? error.message}.`, cause: error,
        fix: 'Name another port with --port, or another address of this machine with --host.',
      }))
    })
    server.listen(port, host, resolve)
  })
}

async function closeAll(server: Server, views: Views): Promise<void> {
  const closed = new Promise((resolve) => { server.close(resolve) })
  server.closeAllConnections()
  await Promise.all([closed, views.closeAll()])
}

/** What a client is told; `code` and the words of its table are all it learns of an error. */
class Refusal extends Error {
  readonly status: number
  readonly code: ErrorCode
  readonly text: string | undefined

  constructor(status: number, code: ErrorCode, text?: string) {
    super(text)
    this.status = status
    this.code = code
    this.text = text
  }
}

const ROUTE = new RegExp(`^${BASE_PATH}/views(?:/([0-9a-f-]{36})(?:/(pages|values|inputs))?)?$`)
/** How many keys are loaded at once: an answer is cut off by bytes, which are known only then. */
const SLICE_KEYS = 32

class Service {
  readonly #views: Views
  readonly #tokenHash: Buffer
  readonly #requestMs: number

  constructor(views: Views, token: string, requestMs: number) {
    this.#views = views
    this.#tokenHash = hashOf(token)
    this.#requestMs = requestMs
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (error) {
      this.#refuse(response, error)
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#isAllowed(request.headers.authorization)) throw new Refusal(401, 'AGAINST_UNREACHABLE', 'The token is missing or wrong.')
    const match = ROUTE.exec(request.url ?? '')
    if (match === null) throw unknownPath(request.url ?? '')
    const [, id, part] = match
    const method = id !== undefined && part === undefined ? 'DELETE' : 'POST'
    if (request.method !== method) {
      response.setHeader('Allow', method)
      throw new Refusal(405, 'USAGE', `Only ${method} is served here.`)
    }
    if (id === undefined) return await this.#hello(response)
    if (part === undefined) {
      if (!await this.#views.close(id)) throw unknownView()
      return this.#send(response, 204, [])
    }
    const body = await readBody(request)
    if (part === 'inputs') return await this.#inputs(id, response)
    const frames = await this.#views.with(id, (side) => framesOf(side, part, body))
    if (frames === undefined) throw unknownView()
    this.#send(response, 200, frames)
  }

  async #hello(response: ServerResponse): Promise<void> {
    const view = await this.#views.open()
    if (view === null) throw new Refusal(503, 'AGAINST_UNREACHABLE', 'Too many views are open; try again later.')
    // From here on the idle time counts. A client that is gone by now will never use it.
    await this.#views.with(view.id, async ({ hello, standing }) => {
      const { position, known } = standing
      const text = JSON.stringify({
        v: 1, view: view.id, idleMs: this.#views.idleMs, standing: { position: positionToJson(position), known }, hello,
      })
      this.#send(response, 200, [Buffer.from(text)], 'application/json')
    })
    if (response.destroyed) await this.#views.close(view.id)
  }

  async #inputs(id: string, response: ServerResponse): Promise<void> {
    const inputs = await this.#views.with(id, (side) => side.inputs())
    if (inputs === undefined) throw unknownView()
    this.#send(response, 200, [Buffer.from(JSON.stringify(inputs))], 'application/json')
  }

  #isAllowed(header: string | undefined): boolean {
    const given = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
    // Hashes have one length, and so the time to compare them says nothing.
    return given !== undefined && timingSafeEqual(hashOf(given), this.#tokenHash)
  }

  #refuse(response: ServerResponse, error: unknown): void {
    const { status, code, text } = error instanceof Refusal ? error : refusalOf(error)
    if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer')
    // What is left of a request that was refused is not read.
    response.setHeader('Connection', 'close')
    const body = JSON.stringify({ error: { code, message: text ?? ERRORS[code].summary } })
    this.#send(response, status, [Buffer.from(body)], 'application/json')
  }

  #send(response: ServerResponse, status: number, parts: readonly Uint8Array[], type = 'application/octet-stream'): void {
    if (response.destroyed || response.headersSent) return
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    response.writeHead(status, {
      ...(status === 204 ? {} : { 'Content-Type': type, 'Content-Length': length }), 'Cache-Control': 'no-store',
    })
    const timer = setTimeout(() => response.destroy(), this.#requestMs).unref()
    response.once('close', () => clearTimeout(timer))
    response.end(Buffer.concat(parts))
  }
}

/** The store's own troubles: what is wrong with the rows is said by its code, the place is not. */
function refusalOf(error: unknown): Refusal {
  if (!isRehydrateError(error)) return new Refusal(500, 'UNEXPECTED')
  return new Refusal(error.code === 'STATE_CORRUPT' ? 500 : 503, error.code)
}

function unknownPath(url: string): Refusal {
  return /^\/digest\/v\d+(\/|$)/.test(url) && !url.startsWith(`${BASE_PATH}/`)
    ? new Refusal(404, 'DIGESTS_INCOMPARABLE', `Only ${BASE_PATH} is spoken here.`)
    : new Refusal(404, 'USAGE', 'Nothing is served here.')
}

function unknownView(): Refusal {
  return new Refusal(410, 'AGAINST_UNREACHABLE', 'There is no such view, or it was closed because nobody asked anything for some time.')
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLong = new Refusal(413, 'USAGE', `A request has at most ${MAX_REQUEST_BYTES} bytes.`)
  if (Number(request.headers['content-length'] ?? 0) > MAX_REQUEST_BYTES) throw tooLong
  const parts: Buffer[] = []
  let length = 0
  // Not by iteration: that destroys the connection before the refusal is sent.
  return await new Promise((resolve, reject) => {
    request.on('data', (part: Buffer) => {
      length += part.length
      if (length <= MAX_REQUEST_BYTES) parts.push(part)
      else {
        request.pause()
        reject(tooLong)
      }
    })
    request.on('end', () => resolve(Buffer.concat(parts)))
    request.on('error', reject)
    request.on('close', () => reject(new Refusal(400, 'USAGE', 'The request ended too soon.')))
  })
}

/** Frames of the first keys asked for: of at least one, of more until the answer is full. */
async function framesOf(side: DigestSide, part: string, body: Buffer): Promise<readonly Uint8Array[]> {
  const texts = readTexts(body)
  const collection = part === 'values' ? texts?.shift() : null
  if (texts === null || collection === undefined || texts.length === 0 || texts.length > MAX_REQUEST_KEYS) {
    throw new Refusal(400, 'USAGE', `The request is not 1 to ${MAX_REQUEST_KEYS} keys.`)
  }
  const frames: Uint8Array[] = []
  let bytes = 0
  for (let from = 0; from < texts.length; from += SLICE_KEYS) {
    const slice = texts.slice(from, from + SLICE_KEYS)
    const found = await load(side, collection, slice)
    for (const key of slice) {
      const entry = found.get(key)
      const frame = writeFrame(entry === undefined || collection !== null ? entry : packPage(entry))
      frames.push(...frame)
      for (const { length } of frame) bytes += length
      if (bytes >= FULL_ANSWER_BYTES) return frames
    }
  }
  return frames
}

/** Only of the collections that hello names: the engine's own are nobody's business. */
async function load(side: DigestSide, collection: string | null, keys: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const isServed = (name: string): boolean => Object.hasOwn(side.hello.collections, name)
  if (collection !== null) return isServed(collection) ? await side.values(collection, keys) : new Map()
  const served = keys.filter((key) => isServed(key.slice(0, key.lastIndexOf('/'))))
  return served.length === 0 ? new Map() : await side.pages(served)
}
