import { expect, test } from 'vitest'
import { blameText } from '../../src/cli/blame-text.js'
import type { Blame } from '../../src/index.js'

const found = (over: Partial<Blame>): string => blameText({
  collection: 'airports', key: 'FRA', hypothesis: 'lost', partition: 'flights/0', offset: 7, type: 'Landed', fields: ['$.landed'],
  candidates: 1, examples: [], detail: null, alternatives: [], events: 41_208, folds: 1_000_000, exhaustive: true, ...over,
})

test('every hypothesis is worded as what the value is consistent with', () => {
  for (const hypothesis of ['lost', 'repeated', 'reordered', 'stopped', 'column', 'foreign'] as const) {
    expect(found({ hypothesis, detail: hypothesis === 'column' ? 'rounded to 2 decimals' : null })).toMatch(/^consistent with /)
  }
  expect(found({ hypothesis: 'unknown', reason: 'bound' })).toMatch(/^unknown: /)
})

test('how many events explain it equally well is said, and where not all could be tested', () => {
  expect(found({})).toBe('consistent with the loss of flights/0@7 (Landed), the only such event')
  expect(found({ candidates: 41_208 })).toContain('one of 41,208 equally likely')
  for (const hypothesis of ['lost', 'repeated', 'reordered', 'stopped', 'column'] as const) {
    expect(found({ hypothesis, exhaustive: false })).toContain('not all of its 41,208 events could be tested')
  }
  expect(found({ alternatives: [{ hypothesis: 'repeated', candidates: 3, examples: [], detail: null }] })).toContain('(or: repeated, 3)')
})
