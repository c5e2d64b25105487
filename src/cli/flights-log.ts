import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { lineOf, PARTITIONS, partitionOf, type FlightData } from './flights.js'

const FLIGHTS_PER_WRITE = 20_000
const MAX_LINE_BYTES = 256

/** What was written, to know it again. It is the last file to be written. */
interface Receipt {
  readonly format: 1
  readonly flights: number
  /** Bytes per file. */
  readonly files: Readonly<Record<string, number>>
}

export interface PreparedLog {
  readonly flights: number
  readonly bytes: number
  /** False where it was there from an earlier time, whole. */
  readonly built: boolean
}

/**
 * The log of `data` at `folder`/log, built unless it is there with every byte accounted for. It is written beside, synced and
 * then renamed, so an interrupted build leaves none; the `.sha256` beside each file is for the source to check.
 */
export async function prepareLog(data: FlightData, folder: string, onProgress: (flights: number) => void): Promise<PreparedLog> {
  const log = join(folder, 'log')
  const known = await knownLog(log)
  if (known !== null) return { ...totalsOf(known), built: false }
  const building = join(folder, `.log-${process.pid}`)
  await rm(building, { recursive: true, force: true })
  await mkdir(join(building, 'flights'), { recursive: true })
  try {
    const receipt = await writeLog(data, building, onProgress)
    await rm(log, { recursive: true, force: true })
    await rename(building, log)
    return { ...totalsOf(receipt), built: true }
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

function totalsOf(receipt: Receipt): { flights: number; bytes: number } {
  return { flights: receipt.flights, bytes: Object.values(receipt.files).reduce((sum, size) => sum + size, 0) }
}

async function knownLog(log: string): Promise<Receipt | null> {
  try {
    const receipt = JSON.parse(await readFile(join(log, 'receipt.json'), 'utf8')) as Receipt
    for (const [name, size] of Object.entries(receipt.files)) {
      if ((await stat(join(log, name))).size !== size) return null
    }
    return receipt.format === 1 ? receipt : null
  } catch {
    return null
  }
}

async function writeLog(data: FlightData, folder: string, onProgress: (flights: number) => void): Promise<Receipt> {
  const partitions = await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) =>
    PartitionFile.create(folder, `flights/${partition}.ndjson`)))
  let count = 0
  try {
    for await (const flights of data.flights()) {
      for (let from = 0; from < flights.length; from += FLIGHTS_PER_WRITE) {
        const some = flights.slice(from, from + FLIGHTS_PER_WRITE)
        for (const flight of some) partitions[partitionOf(flight.destination)]?.add(lineOf(flight))
        await Promise.all(partitions.map((file) => file.write()))
        count += some.length
        onProgress(count)
      }
    }
    await Promise.all(partitions.map((file) => file.finish()))
  } finally {
    await Promise.all(partitions.map((file) => file.close()))
  }
  const receipt: Receipt = { format: 1, flights: count, files: Object.fromEntries(partitions.map(({ name, size }) => [name, size])) }
  await writeFile(join(folder, 'receipt.json'), `${JSON.stringify(receipt, null, 2)}\n`)
  return receipt
}

class PartitionFile {
  readonly name: string
  size = 0
  readonly #path: string
  readonly #file: FileHandle
  readonly #hash = createHash('sha256')
  readonly #buffer = Buffer.allocUnsafe(FLIGHTS_PER_WRITE * MAX_LINE_BYTES)
  #length = 0

  private constructor(name: string, path: string, file: FileHandle) {
    this.name = name
    this.#path = path
    this.#file = file
  }

  static async create(folder: string, name: string): Promise<PartitionFile> {
    const path = join(folder, name)
    return new PartitionFile(name, path, await open(path, 'wx'))
  }

  /** An ASCII line. Into one buffer: five times faster than one long string. */
  add(line: string): void {
    this.#length += this.#buffer.write(line, this.#length, 'latin1')
  }

  async write(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#length)
    this.#length = 0
    this.#hash.update(bytes)
    this.size += bytes.length
    await this.#file.writeFile(bytes)
  }

  async finish(): Promise<void> {
    await this.#file.sync()
    await writeFile(`${this.#path}.sha256`, `${this.#hash.digest('hex')}\n`)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
