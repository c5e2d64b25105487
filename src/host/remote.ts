import { groupKey, readRoot } from '../digest/pages.js'
import { unpackPage } from '../digest/wire.js'
import { RehydrateError } from '../errors.js'
import type { Inputs } from '../log/inputs.js'
import { positionFromJson, samePosition } from '../log/position.js'
import { makeManifestHash, rootOfCollections } from '../store/checkpoint-codec.js'
import { checkOptions } from '../value/options.js'
import { FORMAT } from '../verify/open.js'
import type { Against, AgainstOptions, DigestFormat, DigestSide, Hello, Standing } from '../verify/side.js'
import { readCollections, readManifest, readOffsets, Untrusted } from '../verify/untrusted.js'
import {
  checkedToken, MAX_HELLO_BYTES, MAX_REQUEST_BYTES, MAX_REQUEST_KEYS, readFrames, textBytes, writeTexts,
} from './digest-protocol.js'
import { incomparable, Link } from './link.js'
import type { Secret } from './secrets.js'

export interface RemoteOptions {
  /** The one that the other host serves with; read when the connection is opened. */
  readonly token: string | Secret
  /** How long one request may take, its answer included. Default 30,000. */
  readonly timeoutMs?: number
}

/**
 * The digest that another host serves (`rehydrate serve --digest`), as a side of a comparison. Everything that comes from there is
 * checked: lengths are bounded, and the manifest, its hash and the collection roots must give each other.
 *
 * CONFIG_INVALID for options, an address or a token of another form. open() and reading: AGAINST_UNREACHABLE, AGAINST_INVALID,
 * DIGESTS_INCOMPARABLE; RUN_STOPPED where the signal came first.
 */
export function remoteSide(url: string, options: RemoteOptions): Against {
  checkOptions('remoteSide()', options, ['token', 'timeoutMs'])
  const address = checkedAddress(url)
  const name = `${address.origin}${address.pathname}`.replace(/\/+$/, '')
  return {
    kind: 'against', name,
    async open({ signal }: AgainstOptions): Promise<DigestSide> {
      const link = new Link(name, checkedToken(options.token), options.timeoutMs ?? 30_000, signal)
      try {
        return await openView(link)
      } catch (error) {
        link.close()
        throw error
      }
    },
  }
}

function checkedAddress(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : null
  const isPlain = address !== null && /^https?:$/.test(address.protocol) && address.username === '' && address.password === ''
  if (isPlain && address.search === '' && address.hash === '') return address
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'The address of the other host is not one of the form http(s)://HOST:PORT.', path: 'url',
    expected: 'http(s)://HOST:PORT, without a user, a password or a query', fix: 'The token goes into `token`, not into the address.',
  })
}

async function openView(link: Link): Promise<DigestSide> {
  const answer = await link.open('/views', MAX_HELLO_BYTES)
  const { view, idleMs, hello, standing } = readHello(link, answer)
  const path = `/views/${view}`
  const stopTouching = keepOpen(link, path, idleMs)
  const read = (part: string, collection: string | null, keys: readonly string[]): Promise<Map<string, Uint8Array>> =>
    readAll(link, `${path}/${part}`, collection, keys)
  let closing: Promise<void> | null = null
  return {
    kind: 'digest', name: link.name, hello, standing,
    async pages(keys) {
      const packed = await read('pages', null, keys)
      const pages = new Map([...packed].map(([key, bytes]) => [key, unpackPage(bytes)]))
      checkCounts(link, hello, pages)
      return pages
    },
    values: (collection, keys) => read('values', collection, keys),
    inputs: () => readInputs(link, path, hello),
    traffic: () => ({ requests: link.requests, bytes: link.bytes }),
    // A view that can not be closed now is closed when it was idle for long enough.
    close: () => {
      stopTouching()
      return (closing ??= link.end(path))
    },
  }
}

/** Touches per idle time, and the least and the greatest time between two. */
const TOUCHES = 3
const MIN_TOUCH_MS = 100
const MAX_TOUCH_MS = 60 * 60 * 1_000
/** One frame: there is no such page. */
const MAX_TOUCH_BYTES = 4

/**
 * A view is closed there when it was idle for too long, and this side may have much to do before it asks: fold forward, scrub. So it is
 * touched now and then. Where that fails, the next request says why.
 */
function keepOpen(link: Link, path: string, idleMs: number): () => void {
  const touch = (): void => void link.read(`${path}/pages`, writeTexts(['/']), MAX_TOUCH_BYTES).catch(() => {})
  const timer = setInterval(touch, Math.min(Math.max(MIN_TOUCH_MS, idleMs / TOUCHES), MAX_TOUCH_MS)).unref()
  return () => clearInterval(timer)
}

/** What else a page says, the walk through the pages checks against the roots of hello; no root shows its count to people. */
function checkCounts(link: Link, { collections }: Hello, pages: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, { count }] of Object.entries(collections)) {
    const page = pages.get(groupKey(name, ''))
    if (page === undefined) continue
    const actual = countOf(page)
    if (actual !== count) throw link.invalid(`Its hello counts the keys of ${name} otherwise than its pages.`, count, actual)
  }
}

/** Null for a page that is none. */
function countOf(page: Uint8Array): number | null {
  try {
    return readRoot(page).count
  } catch {
    return null
  }
}

async function readAll(link: Link, path: string, collection: string | null, keys: readonly string[]): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>()
  for (let from = 0; from < keys.length;) {
    const asked = firstOf(keys, from, collection)
    const body = writeTexts(collection === null ? asked : [collection, ...asked])
    const frames = readFrames(await link.read(path, body), asked.length)
    if (frames === null || frames.length === 0) throw link.invalid('An answer of it is not whole.')
    frames.forEach((bytes, i) => { if (bytes !== undefined) found.set(asked[i]!, bytes) })
    from += frames.length
  }
  return found
}

/** As many of the keys as go into one request. */
function firstOf(keys: readonly string[], from: number, collection: string | null): readonly string[] {
  let bytes = collection === null ? 0 : textBytes(collection)
  let to = from
  while (to < keys.length && to - from < MAX_REQUEST_KEYS && (bytes += textBytes(keys[to]!)) <= MAX_REQUEST_BYTES) to++
  if (to > from) return keys.slice(from, to)
  throw new RehydrateError('KEY_INVALID', { message: 'A key is too long to be asked for.', safe: 'Nothing was changed.' })
}

/** Checks that what the other host says of itself fits together. */
function readHello(link: Link, answer: Buffer): { view: string; idleMs: number; hello: Hello; standing: Standing } {
  const refuse = (path: string, expected: string): RehydrateError =>
    link.invalid(`Its hello has ${path} other than it must be.`, expected)
  const given = new Untrusted(jsonOf(link, answer), refuse)
  const { v } = given.value as { v?: unknown }
  if (v !== 1) throw incomparable(link.name, { protocol: 1 }, { protocol: v })
  const at = given.fields(['v', 'view', 'idleMs', 'standing', 'hello'])
  const hello = readInnerHello(link, at('hello'))
  return { view: at('view').text(/^[0-9a-f-]{36}$/), idleMs: at('idleMs').whole(), hello, standing: readStanding(at('standing'), hello) }
}

function readInnerHello(link: Link, given: Untrusted): Hello {
  const { v } = (given.value ?? {}) as { v?: unknown }
  if (v !== 1) throw incomparable(link.name, { hello: 1 }, { hello: v })
  const at = given.fields(['v', 'format', 'manifest', 'manifestHash', 'collections', 'chains'])
  const format = readFormat(link, at('format'))
  const manifest = readManifest(at('manifest'))
  const manifestHash = at('manifestHash').hash()
  const collections = readCollections(at('collections'))
  const actualHash = makeManifestHash(manifest)
  if (actualHash !== manifestHash) throw link.invalid('Its manifest does not give its manifest hash.', manifestHash, actualHash)
  const actualRoot = rootOfCollections(Object.entries(collections))
  if (actualRoot !== manifest.root) throw link.invalid('Its collection roots do not give its state root.', manifest.root, actualRoot)
  const chains = at('chains').record((chain) => chain.orNull((text) => text.text(HEX_HASH)))
  return { v: 1, format, manifest, manifestHash, collections, chains }
}

/** What was read there; the chains over all of it must be those of hello. */
async function readInputs(link: Link, path: string, { chains }: Hello): Promise<Record<string, Inputs>> {
  const answer = await link.read(`${path}/inputs`, Buffer.alloc(0), MAX_HELLO_BYTES)
  const refuse = (at: string, expected: string): RehydrateError => link.invalid(`Its inputs have ${at} other than it must be.`, expected)
  const inputs = new Untrusted(jsonOf(link, answer), refuse).record((input) => {
    const of = input.fields(['chain', 'every', 'earlier'])
    return {
      chain: of('chain').orNull((chain) => chain.text(HEX_HASH)), every: of('every').whole(),
      earlier: of('earlier').items(64).map((chain) => chain.text(HEX_HASH)),
    }
  })
  const other = Object.keys(inputs).find((partition) => inputs[partition]?.chain !== chains[partition])
  if (other !== undefined) throw link.invalid(`Its inputs of ${other} are not those of its hello.`)
  return inputs
}

const HEX_HASH = /^[0-9a-f]{64}$/

function readFormat(link: Link, given: Untrusted): DigestFormat {
  const at = given.fields(['version', 'algorithm', 'codec', 'capacity'])
  const format = {
    version: at('version').whole(), algorithm: at('algorithm').whole(), codec: at('codec').whole(), capacity: at('capacity').whole(),
  }
  const names = ['version', 'algorithm', 'codec', 'capacity'] as const
  if (names.some((name) => format[name] !== FORMAT[name])) throw incomparable(link.name, { ...FORMAT }, format)
  return format
}

function readStanding(given: Untrusted, { manifest }: Hello): Standing {
  const at = given.fields(['position', 'known'])
  const standing: Standing = {
    position: positionFromJson(readOffsets(at('position'))), known: at('known').oneOf('proved', 'asserted'),
  }
  if (standing.known === 'proved' && !samePosition(standing.position, positionFromJson(manifest.position))) {
    throw at('position').refused('the position of the manifest')
  }
  return standing
}

function jsonOf(link: Link, answer: Buffer): unknown {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(answer))
    if (typeof json === 'object' && json !== null) return json
  } catch {
    // Said below, without quoting what came.
  }
  throw link.invalid('What it says is not JSON.')
}
