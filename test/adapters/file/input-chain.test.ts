import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fileLog } from '../../../adapters/file/index.js'
import { parseJson, type Mark } from '../../../src/index.js'
import { batchesOf, makeDirectory } from './log-directory.js'

const sha256 = (bytes: Buffer | string): Buffer => createHash('sha256').update(bytes).digest()

/** The formula, by itself: c₀ = 32 zero bytes; c = SHA256(c ‖ SHA256(lines of the block, each with one LF)). */
function chainOf(lines: readonly string[]): string {
  let chain: Buffer = Buffer.alloc(32)
  for (let from = 0; from < lines.length; from += 1_024) {
    const block = lines.slice(from, from + 1_024).map((one) => `${one}\n`).join('')
    chain = sha256(Buffer.concat([chain, sha256(block)]))
  }
  return chain.toString('hex')
}

interface Shape {
  readonly lines: readonly string[]
  readonly cuts: readonly number[]
  readonly zipped: readonly boolean[]
  readonly crlf: boolean
  readonly bom: boolean
  readonly finalNewline: boolean
  readonly readBytes: number
  readonly events: number
  readonly bytes: number
  readonly resumeAt: number
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
  fc.constantFrom('\u2028', '\r', '"', '\\', '🔑', '__proto__'),
)
  .filter((value) => Buffer.from(value).toString() === value)

const record = fc.record({
  type: fc.oneof(text.filter((value) => value !== ''), fc.constantFrom('A', 'B')), key: fc.option(text),
  data: fc.oneof(fc.jsonValue(), fc.dictionary(text, text)), headers: fc.dictionary(text, text, { maxKeys: 2 }), id: fc.option(text),
}, { requiredKeys: ['type'] })

const line = fc.tuple(record, fc.constantFrom(0, 0, 0, 1), fc.boolean()).map(([fields, indent, isReversed]) => {
  const entries = Object.entries(fields)
  // An indented object in one line: spaces where nobody expects them.
  return JSON.stringify(Object.fromEntries(isReversed ? entries.reverse() : entries), null, indent).replace(/\n */g, ' ')
}).filter(isExact)

/** fast-check's numbers reach beyond 64 bits, which is NUMBER_INEXACT, as it must be. */
function isExact(json: string): boolean {
  try {
    parseJson(json, { int64: 'wide' })
    return true
  } catch {
    return false
  }
}

const shape: fc.Arbitrary<Shape> = fc.record({
  // Repeated, so that small cases reach over blocks.
  lines: fc.tuple(fc.array(line, { minLength: 1, maxLength: 25 }), fc.constantFrom(1, 1, 1, 60)).map(([lines, times]) =>
    Array.from({ length: times }, () => lines).flat()),
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  zipped: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  crlf: fc.boolean(),
  bom: fc.boolean(),
  finalNewline: fc.boolean(),
  readBytes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(1 << 16)),
  events: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant(5_000)),
  bytes: fc.oneof(fc.integer({ min: 1, max: 500 }), fc.constant(1 << 20)),
  resumeAt: fc.double({ min: 0, max: 0.999, noNaN: true }),
})

async function writeShape(directory: string, { lines, cuts, zipped, crlf, bom, finalNewline }: Shape): Promise<void> {
  const ends = [...cuts.map((cut) => Math.floor(cut * lines.length)).sort((a, b) => a - b), lines.length]
  let from = 0
  for (const [i, end] of ends.entries()) {
    let content = (bom ? '\uFEFF' : '') + lines.slice(from, end).map((one) => one + (crlf ? '\r\n' : '\n')).join('')
    if (!finalNewline) content = content.replace(/\r?\n$/, '')
    const name = join(directory, `p.${String(i + 1).padStart(6, '0')}.ndjson`)
    await (zipped[i] ? writeFile(`${name}.gz`, gzipSync(content, { level: 1 })) : writeFile(name, content))
    from = end
  }
}

test('events, marks and chain depend on the lines alone: not on segments, compression, line ends, reads, limits or restarts', async () => {
  await fc.assert(fc.asyncProperty(shape, async (log) => {
    const clean: (() => Promise<void>)[] = []
    const directory = await makeDirectory((end) => clean.push(end))
    try {
      await writeShape(directory, log)
      const source = fileLog({ path: directory, readBytes: log.readBytes })
      const last = log.lines.length - 1
      expect((await source.bounds()).get('p')).toMatchObject({ first: 0, last })
      const resumeAt = Math.floor(log.resumeAt * log.lines.length)
      let offset = 0
      let mark: Mark | null = null
      for (const range of [{ after: -1, upTo: resumeAt }, { after: resumeAt, upTo: last }]) {
        for await (const batch of batchesOf(source, 'p', { ...range, mark }, log)) {
          for (let i = 0; i < batch.length; i++, offset++) {
            const fields = parseJson(log.lines[offset]!, { int64: 'wide' }) as object
            const wanted = { key: null, data: null, headers: {}, id: null, ...fields, offset }
            const event = batch.event(i)
            const { type, key, data, headers, id } = event
            expect({ type, key, data, headers, id, offset: event.offset }).toEqual(wanted)
            expect([batch.typeAt(i), batch.keyAt(i), batch.offsetAt(i)]).toEqual([type, key, offset])
          }
          mark = batch.markAt(batch.length - 1)
          expect(mark.input).toBe(chainOf(log.lines.slice(0, offset)))
        }
      }
      expect(offset).toBe(log.lines.length)
      expect(mark?.id).toBe(sha256(log.lines[0]!).toString('hex'))
      expect(await source.check(new Map([['p', { mark: mark!, at: last }]]))).toEqual(new Map([['p', { is: 'same' }]]))
    } finally {
      for (const end of clean) await end()
    }
  }), { numRuns: 150 })
}, 120_000)

test('any bytes are records or a typed error, never a crash and never silence', async () => {
  const piece = fc.oneof(line.map((one) => Buffer.from(`${one}\n`)), fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom('\n', '\r\n', '{}\n', '\uFEFF', '{"type":"T"}', ' \n', '{"type":"T","type":', '\u0000').map((one) => Buffer.from(one)))
  await fc.assert(fc.asyncProperty(fc.array(piece, { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), async (pieces, readBytes) => {
    const clean: (() => Promise<void>)[] = []
    const directory = await makeDirectory((end) => clean.push(end))
    try {
      const bytes = Buffer.concat(pieces)
      await writeFile(join(directory, 'p.ndjson'), bytes)
      const source = fileLog({ path: directory, readBytes })
      let read = 0
      const code = await (async () => {
        const { last } = (await source.bounds()).get('p')!
        for await (const batch of batchesOf(source, 'p', { upTo: last }, { events: 3 })) {
          for (let i = 0; i < batch.length; i++, read++) expect(batch.event(i).type).toBe(batch.typeAt(i))
        }
        return read === last + 1 ? 'whole' : 'short'
      })().catch((error: { code?: string }) => error.code ?? String(error))
      expect(code).toMatch(/^(whole|LOG_CORRUPT|LOG_TORN_TAIL|LOG_GAP|NUMBER_INEXACT)$/)
      if (code === 'whole') {
        const rows = bytes.toString().replace(/^\uFEFF/, '').split('\n').filter((row, i, all) => i < all.length - 1 || row !== '')
        expect(read).toBe(rows.length)
      }
    } finally {
      for (const end of clean) await end()
    }
  }), { numRuns: 300 })
}, 120_000)
