import { RehydrateError, type Offset } from '../../src/index.js'
import { COMPRESSIONS, decompress, type Compression } from './codecs.js'
import { crc32c } from './crc32c.js'
import { Damage } from './damage.js'
import { Records } from './records.js'

// Where what lies in a batch of format v2. Before CRC_FROM, the checksum covers nothing: brokers write these fields.
const LENGTH = 8
const LEADER_EPOCH = 12
const MAGIC = 16
const CRC = 17
const CRC_FROM = 21
const ATTRIBUTES = 21
const LAST_OFFSET_DELTA = 23
const BASE_TIMESTAMP = 27
const MAX_TIMESTAMP = 35
const PRODUCER_ID = 43
const PRODUCER_EPOCH = 51
const BASE_SEQUENCE = 53
const COUNT = 57
const RECORDS = 61
/** Base offset and length, which the length does not count. */
const LENGTH_FROM = 12

const CODEC_BITS = 0x07
const APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

export const DEFAULT_BATCH_LIMIT = 64 * 1_048_576

export interface BatchPlace {
  /** As errors name it: `orders/0`. */
  readonly partition: string
  /** The first offset that was asked for: a batch that ends before it is LOG_CORRUPT. Left out: not checked. */
  readonly from?: Offset
  /** Where the log ended when it was fetched, exclusive: a batch that reaches there is LOG_CORRUPT. Left out: not checked. */
  readonly end?: Offset
  /** Bytes that one batch may take when it is decompressed. Default 64 MiB. */
  readonly limit?: number
}

export interface ReadBatches {
  readonly batches: readonly RecordBatch[]
  /** Bytes that the first batch needs where not even that one came whole: ask again for so many. Null: one came, or there was nothing. */
  readonly needed: number | null
}

/**
 * The whole record batches of a fetch, checked by CRC-32C; one that is cut off at the end is passed over. Records are decompressed and
 * decoded when asked for. Batches follow each other without overlap; gaps between them are the caller's to judge.
 * Errors: LOG_CORRUPT, with partition and the offset of the batch.
 */
export function readBatches(records: Buffer, place: BatchPlace): ReadBatches {
  const batches: RecordBatch[] = []
  let at = 0
  let floor = place.from ?? 0
  while (records.length - at >= CRC) {
    const base = safeInt64(records, at)
    const length = records.readInt32BE(at + LENGTH)
    const magic = records[at + MAGIC] as number
    if (base === null || base < 0) throw corrupt(place, floor, 'has a base offset that is no offset')
    if (magic < 2) throw oldFormat(place, base, magic)
    if (magic > 2) throw corrupt(place, base, `is in the message format v${magic}, which is not known`)
    if (length < RECORDS - LENGTH_FROM) throw corrupt(place, base, `says it is ${length} bytes long, which is too short`)
    const end = at + LENGTH_FROM + length
    if (end > records.length) break
    const batch = new RecordBatch(records.subarray(at, end), base, place)
    if (batch.lastOffset < floor) throw corrupt(place, base, `ends at ${batch.lastOffset}, before offset ${floor} that it has to reach`)
    if (batch.lastOffset >= (place.end ?? Infinity)) {
      throw corrupt(place, base, `ends at ${batch.lastOffset}, and the log at ${place.end}, before it`)
    }
    if (batches.length > 0 && base < floor) throw corrupt(place, base, `begins before ${floor}, where the batch before it ends`)
    batches.push(batch)
    floor = batch.lastOffset + 1
    at = end
  }
  if (batches.length > 0 || records.length === 0) return { batches, needed: null }
  return { batches, needed: records.length < CRC ? LENGTH_FROM + RECORDS : LENGTH_FROM + records.readInt32BE(LENGTH) }
}

/** One batch of format v2; it holds on to the buffer of its fetch. */
export class RecordBatch {
  readonly baseOffset: Offset
  /** Inclusive. The last offset the batch was written with, also where compaction took its last records, or all. */
  readonly lastOffset: Offset
  /** Records that are left in it; of a control batch one, which is no event. */
  readonly count: number
  readonly compression: Compression
  readonly #bytes: Buffer
  readonly #attributes: number
  readonly #place: BatchPlace
  #records: Records | null = null

  constructor(bytes: Buffer, baseOffset: Offset, place: BatchPlace) {
    const crc = crc32c(bytes, CRC_FROM, bytes.length)
    if (crc !== bytes.readUInt32BE(CRC)) {
      const details = { expected: hex(bytes.readUInt32BE(CRC)), actual: hex(crc) }
      throw corrupt(place, baseOffset, 'has other bytes than were written: its CRC-32C is another one', details)
    }
    const delta = bytes.readInt32BE(LAST_OFFSET_DELTA)
    const attributes = bytes.readInt16BE(ATTRIBUTES)
    const compression = COMPRESSIONS[attributes & CODEC_BITS]
    if (delta < 0 || !Number.isSafeInteger(baseOffset + delta)) throw corrupt(place, baseOffset, `has the last offset delta ${delta}`)
    if (compression === undefined) throw corrupt(place, baseOffset, `is compressed by codec ${attributes & CODEC_BITS}, which is not known`)
    this.baseOffset = baseOffset
    this.lastOffset = baseOffset + delta
    this.count = bytes.readInt32BE(COUNT)
    this.compression = compression
    this.#bytes = bytes
    this.#attributes = attributes
    this.#place = place
  }

  /** As it lies on the broker's disk. */
  get byteLength(): number { return this.#bytes.length }

  /** The checksum it was written with. Compaction rewrites it. */
  get crc(): number { return this.#bytes.readUInt32BE(CRC) }

  /** Of the leader that took it. */
  get leaderEpoch(): number { return this.#bytes.readInt32BE(LEADER_EPOCH) }

  /** -1: none. */
  get producerId(): bigint { return this.#bytes.readBigInt64BE(PRODUCER_ID) }

  get producerEpoch(): number { return this.#bytes.readInt16BE(PRODUCER_EPOCH) }

  get baseSequence(): number { return this.#bytes.readInt32BE(BASE_SEQUENCE) }

  get isTransactional(): boolean { return (this.#attributes & TRANSACTIONAL) !== 0 }

  /** Holds no events, but the end of a transaction. */
  get isControl(): boolean { return (this.#attributes & CONTROL) !== 0 }

  /** Who set the times of its records: the producer, or the broker, one for all. */
  get timestampType(): 'create' | 'append' { return (this.#attributes & APPEND_TIME) === 0 ? 'create' : 'append' }

  /** Decompressed and decoded on the first call, and kept. Errors: LOG_CORRUPT; ADAPTER_PEER_MISSING for zstd. */
  records(): Records {
    this.#records ??= this.#read()
    return this.#records
  }

  /** How the transaction ended that a control batch closes; null for other control records, and where compaction took it. */
  marker(): 'commit' | 'abort' | null {
    if (!this.isControl || this.count === 0) return null
    const key = this.records().keyAt(0)
    if (key === null || key.length < 4) throw corrupt(this.#place, this.baseOffset, 'is a control batch without a type')
    const type = key.readInt16BE(2)
    if (type === 0) return 'abort'
    return type === 1 ? 'commit' : null
  }

  #read(): Records {
    try {
      const limit = this.#place.limit ?? DEFAULT_BATCH_LIMIT
      const plain = this.compression === 'none'
      const bytes = plain ? this.#bytes : decompress(this.compression, this.#bytes.subarray(RECORDS), limit)
      return new Records(bytes, plain ? RECORDS : 0, bytes.length, {
        baseOffset: this.baseOffset,
        lastOffsetDelta: this.lastOffset - this.baseOffset,
        count: this.count,
        baseTimestampMs: Number(this.#bytes.readBigInt64BE(BASE_TIMESTAMP)),
        appendTimestampMs: this.timestampType === 'append' ? Number(this.#bytes.readBigInt64BE(MAX_TIMESTAMP)) : null,
      })
    } catch (error) {
      if (error instanceof Damage) throw corrupt(this.#place, this.baseOffset, error.message, { cause: error })
      throw error
    }
  }
}

function safeInt64(bytes: Buffer, at: number): number | null {
  const value = bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4)
  return Number.isSafeInteger(value) ? value : null
}

function hex(crc: number): string { return crc.toString(16).padStart(8, '0') }

function corrupt({ partition }: BatchPlace, offset: Offset, what: string, details: object = {}): RehydrateError {
  const message = `The record batch at ${partition}@${offset} ${what}.`
  return new RehydrateError('LOG_CORRUPT', { message, partition, offset, ...details })
}

function oldFormat({ partition }: BatchPlace, offset: Offset, magic: number): RehydrateError {
  return new RehydrateError('LOG_CORRUPT', {
    message: `The messages at ${partition}@${offset} are in the old message format v${magic}; only v2 (since Kafka 0.11) is read.`,
    partition,
    offset,
    why: 'The old formats have no checksum over whole batches and no true bounds, so that nothing could be proved of them.',
    fix: 'Copy the topic to a new one with a producer of Kafka 0.11 or newer, or begin behind the last old message.',
  })
}
