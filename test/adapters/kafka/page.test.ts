import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InputChain } from '../../../adapters/kafka/chain.js'
import { RecordPage } from '../../../adapters/kafka/page.js'
import { readBatches } from '../../../adapters/kafka/record-batch.js'
import { BASE_TIMESTAMP, encodeBatch, type TestRecord } from './encode-batch.js'
import { PaperCluster } from './paper-cluster.js'

const MOMENT = { askedMs: 0, answeredMs: 0, end: 1e9 }
const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

interface Given extends TestRecord {
  readonly offset: number
}

const ofSize = (size: fc.Arbitrary<number>): fc.Arbitrary<Buffer | null> =>
  fc.option(fc.tuple(size, fc.nat(255)).map(([length, fill]) => Buffer.alloc(length, fill)))
const SMALL = ofSize(fc.nat(60))
/** Sizes around those at which hashing goes another way. */
const ANY = ofSize(fc.oneof(fc.nat(60), fc.nat(2_000), fc.integer({ min: 65_000, max: 66_000 })))

/** Records with rising offsets, in batches of one to three. */
function logOf(bytes: fc.Arbitrary<Buffer | null>): fc.Arbitrary<Given[][]> {
  const record = fc.record({
    gap: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 1_500 })),
    key: bytes, value: bytes, timestampDelta: fc.nat(1_000),
    headers: fc.array(fc.tuple(fc.string({ maxLength: 5, unit: 'grapheme' }), bytes), { maxLength: 2 }),
  })
  return fc.array(fc.array(record, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 }).map((batches) => {
    let offset = 700
    return batches.map((records) => {
      const base = offset
      return records.map(({ gap, ...rest }): Given => {
        const given = { ...rest, delta: offset - base, offset }
        offset += gap
        return given
      })
    })
  })
}

function pageOf(batches: readonly (readonly Given[])[], from = 0, upTo = Infinity): RecordPage {
  const encoded = batches.map((records) => encodeBatch({ base: (records[0] as Given).offset, records }))
  const read = readBatches(Buffer.concat(encoded), { partition: 't/0' })
  return new RecordPage(read.batches, { from, upTo, aborted: [], compacted: true, moment: MOMENT })
}

function hashedBytes({ offset, timestampDelta = 0, key, value, headers = [] }: Given): Buffer {
  const int = (size: 4 | 8, number: number): Buffer => {
    const buffer = Buffer.alloc(size)
    if (size === 4) buffer.writeInt32BE(number)
    else buffer.writeBigInt64BE(BigInt(number))
    return buffer
  }
  const sized = (part: Buffer | null): Buffer => (part === null ? int(4, -1) : Buffer.concat([int(4, part.length), part]))
  return Buffer.concat([
    int(8, offset), int(8, BASE_TIMESTAMP + timestampDelta), sized(key), sized(value), int(4, headers.length),
    ...headers.flatMap(([name, part]) => [sized(Buffer.from(name)), sized(part)]),
  ])
}

/** By the formula, over all records up to the last one. */
function chainOf(records: readonly Given[]): string {
  const blockOf = ({ offset }: Given): number => Math.floor(offset / 1_024)
  const blocks = [...new Set(records.map(blockOf))].map((block) => records.filter((record) => blockOf(record) === block))
  return blocks.reduce<Buffer>((chain, block) => sha256(chain, sha256(...block.map(hashedBytes))), Buffer.alloc(32)).toString('hex')
}

describe('a page', () => {
  test('hashes records as the formula says, and the chain too, whatever their sizes and however they lie in batches and pages', () => {
    fc.assert(fc.property(logOf(ANY), fc.nat(7), (batches, split) => {
      const records = batches.flat()
      const pages = [batches.slice(0, split), batches.slice(split)].filter((part) => part.length > 0).map((part) => pageOf(part))
      const chain = new InputChain(null)
      let before = 0
      for (const page of pages) {
        const told = chain.take(page)
        for (let i = 0; i < page.count; i++) {
          expect(page.hashAt(i)).toBe(sha256(hashedBytes(records[before + i] as Given)).toString('hex'))
          expect(told.inputAt(i).input).toBe(chainOf(records.slice(0, before + i + 1)))
        }
        before += page.count
      }
      expect(before).toBe(records.length)
    }), { numRuns: 40 })
  })

  test('has the records of its range, each in its place', () => {
    fc.assert(fc.property(logOf(SMALL), fc.nat(900), fc.nat(6_000), fc.array(fc.nat(), { maxLength: 20 }), (batches, start, length, picks) => {
      const [from, upTo] = [700 + start, 700 + start + length]
      const wanted = batches.flat().filter(({ offset }) => offset >= from && offset <= upTo)
      const page = pageOf(batches.filter((records) => (records.at(-1) as Given).offset >= from), from, upTo)
      expect(page.count).toBe(wanted.length)
      // In any order: the page remembers where the record lay that was asked for last.
      for (const i of wanted.length === 0 ? [] : picks.map((pick) => pick % wanted.length)) {
        expect([page.offsetAt(i), page.keyAt(i), page.valueAt(i)]).toEqual([wanted[i]?.offset, wanted[i]?.key, wanted[i]?.value])
      }
    }))
  })
})

test('a batch tells of each record the same, in whatever order it is asked', async () => {
  const cluster = new PaperCluster()
  for (const base of [0, 3, 6]) cluster.put([base, base + 1, base + 2])
  const source = cluster.source()
  await source.bounds()
  for await (const batch of source.read('t/0', { after: -1, upTo: 8, mark: null }, { events: 100, bytes: 1 << 20 }, new AbortController().signal)) {
    const ask = [
      (i: number) => batch.offsetAt(i), (i: number) => batch.typeAt(i), (i: number) => batch.keyAt(i), (i: number) => batch.event(i),
    ]
    const told = Array.from({ length: batch.length }, (_, i) => ask.map((one) => one(i)))
    const questions = fc.array(fc.tuple(fc.nat(batch.length - 1), fc.nat(ask.length - 1)), { maxLength: 30 })
    fc.assert(fc.property(questions, (asked) => {
      for (const [i, question] of asked) expect(ask[question]?.(i)).toEqual(told[i]?.[question])
    }))
    expect(told.map(([offset]) => offset)).toEqual(Array.from({ length: batch.length }, (_, i) => batch.through - batch.length + 1 + i))
    expect(told.map(([offset, , , event]) => (event as { data: { n: number } }).data.n - (offset as number))).toEqual(told.map(() => 0))
  }
})
