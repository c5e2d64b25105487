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

  it('take exact integers in every form', () => {
    expect([int64Of(7), int64Of(7n), int64Of('7')]).toEqual([7n, 7n, 7n])
    expect(() => int64Of(2 ** 53)).toThrow(/no exact integer/)
  })
})
