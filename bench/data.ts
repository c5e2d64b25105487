import { existsSync, mkdirSync, openSync, closeSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../src/cli/cache-folder.js'

/** A log of changes to orders, one NDJSON file a partition. */
export interface DataSet {
  readonly events: number
  readonly keys: number
  /** 1: a file. More: a folder with a file for each; an order always goes to the same one. */
  readonly partitions: number
}

/** A data set on disk. `path` is a file, or a folder where there are several partitions. */
export interface Data extends DataSet {
  readonly path: string
  readonly bytes: number
}

/** Raised whenever the generator writes something else. */
const VERSION = 1
const LINES_PER_WRITE = 20_000
const STATUS = ['placed', 'paid', 'shipped', 'returned'] as const
const NOTE = 'leave it with the neighbours'
const START_MS = 1_760_000_000_000

/** Makes the data set unless the cache has it. */
export function dataSet(wanted: DataSet): Data {
  const { events, keys, partitions } = wanted
  const name = `orders-v${VERSION}-${events}-${keys}-${partitions}${partitions === 1 ? '.ndjson' : ''}`
  const folder = join(cacheFolder(process.env), 'bench')
  const path = join(folder, name)
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true })
    const unfinished = `${path}.${process.pid}.part`
    generate(wanted, partitionFiles(unfinished, partitions))
    renameSync(unfinished, path)
  }
  const bytes = partitionFiles(path, partitions).reduce((sum, file) => sum + statSync(file).size, 0)
  return { ...wanted, path, bytes }
}

function partitionFiles(path: string, partitions: number): string[] {
  return partitions === 1 ? [path] : Array.from({ length: partitions }, (_, i) => join(path, `orders-${i}.ndjson`))
}

/**
 * Each key occurs: every (events / keys)th event brings the next one. The others pick the key of rank r with the probability
 * ln(1 + 1/r) / ln(keys + 1), which is Zipf's law with exponent 1. Ranks are scattered over the keys.
 */
function generate({ events, keys }: DataSet, files: readonly string[]): void {
  if (files.length > 1) mkdirSync(join(files[0] as string, '..'))
  const outputs = files.map((file) => ({ file: openSync(file, 'w'), lines: [] as string[] }))
  const random = xorshift32(12_345)
  const every = Math.floor(events / keys)
  for (let i = 0; i < events; i++) {
    const introduced = i / every
    const key = Number.isInteger(introduced) && introduced < keys
      ? introduced
      : scatter(Math.floor(Math.exp(random() * Math.log(keys + 1))) - 1, keys)
    const output = outputs[key % outputs.length] as (typeof outputs)[number]
    output.lines.push(lineOf(i, key))
    if (output.lines.length === LINES_PER_WRITE) flush(output)
  }
  for (const output of outputs) {
    flush(output)
    closeSync(output.file)
  }
}

function flush(output: { readonly file: number; lines: string[] }): void {
  writeSync(output.file, output.lines.join(''))
  output.lines = []
}

export function lineOf(i: number, key: number): string {
  const order = `order-${String(key).padStart(9, '0')}`
  return `{"type":"OrderChanged","key":"${order}","recordedAt":${START_MS + i * 3},"id":"event-${i.toString(36)}","data":{`
    + `"orderId":"${order}","customerId":"customer-${(key * 31) % 250_000}","status":"${STATUS[i & 3]}",`
    + `"amountCents":${100 + ((i * 7_919) % 990_000)},"currency":"EUR","items":${1 + (i % 7)},"channel":"web",`
    + `"note":"${NOTE.slice(0, 8 + (i % 18))}"}}\n`
}

/** A permutation of 0 … keys − 1: the factor is a prime that divides no round number. */
function scatter(rank: number, keys: number): number {
  return (rank * 7_368_787) % keys
}

/** Numbers in [0, 1), the same ones on every machine. */
function xorshift32(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 4_294_967_296
  }
}
