import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { bytesOfHex, dateOf, decimalOf, int64Of, textOf, timestampOf, uuidOf } from '../../src/value/logical.js'

const { vectors } = JSON.parse(readFileSync(new URL('../../fixtures/digest/logical.json', import.meta.url), 'utf8')) as {
  vectors: { type: string; source: string; canonical?: string | number; refused?: true }[]
}

const functions: Record<string, (source: string) => unknown> = {
  decimal: decimalOf,
  timestamp: timestampOf,
  date: dateOf,
  uuid: uuidOf,
  text: textOf,
  int64: (source) => String(int64Of(source)),
  bytes: (source) => Buffer.from(bytesOfHex(source)).toString('hex'),
}

describe('logical types', () => {
  it.each(vectors)('$type of $source', ({ type, source, canonical, refused }) => {
    if (refused) expect(() => functions[type]!(source)).toThrow(expect.objectContaining({ code: 'VALUE_INVALID' }))
    else expect(functions[type]!(source)).toBe(canonical)
  })

  it('count days as the platform does', () => {
    for (let year = 1700; year < 2200; year += 7) {
      for (const day of ['01-01', '02-28', '03-01', '12-31']) {
        const iso = `${year}-${day}T12:34:56Z`
        expect(timestampOf(iso)).toBe(Date.parse(iso) * 1000)
      }
    }
  })

  it('read a time by its digits as they read it in any other way', () => {
    const two = (value: number): string => String(value).padStart(2, '0')
    for (let i = 0; i < 4_000; i++) {
      const day = `${1695 + (i % 510)}-${two(1 + (i % 12))}-${two(1 + (i % 31))}`
      const time = `${two((i * 7) % 24)}:${two((i * 11) % 60)}:${two((i * 13) % 60)}${['', '.5', '.007', '.123456', '.000001', '.9999990'][i % 6]}`
      const read = (text: string): number | string => { try { return timestampOf(text) } catch { return 'refused' } }
      expect([day, time, read(`${day}T${time}Z`)]).toEqual([day, time, read(`${day}T${time}+00:00`)])
    }
    for (const text of ['2024-01-01T00:00:00.Z', '2024-01-01T00:00:00.1x2Z', '2024-01-01T00:00:00.1234567Z', '2024-01-01T00:00:00.12',
      '2024-02-30T00:00:00.123Z', '2024-01-01T24:00:00.123Z', '2024-01-01T00:00:00+24:00', '2024-01-01T00:00:00-01:60']) {
      expect(() => timestampOf(text)).toThrow(expect.objectContaining({ code: 'VALUE_INVALID' }))
    }
  })

  it('take exact integers in every form', () => {
    expect([int64Of(7), int64Of(7n), int64Of('7')]).toEqual([7n, 7n, 7n])
    expect(() => int64Of(2 ** 53)).toThrow(/no exact integer/)
  })
})
