import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sortedByKey } from '../../src/replay/key-order.js'

test('keys are in UTF-16 order, whatever they begin with, and the items given stay as they were', () => {
  const unit = fc.constantFrom('\0', 'a', 'b', 'é', 'ÿ', 'Ā', '￿', '😀')
  const keys = fc.tuple(fc.string({ unit, maxLength: 4 }), fc.array(fc.string({ unit, maxLength: 9 })))
    .map(([prefix, rests]) => rests.map((rest) => prefix + rest))
  fc.assert(fc.property(keys, (texts) => {
    const items = texts.map((key) => ({ key }))
    expect(sortedByKey(items).map(({ key }) => key)).toEqual([...texts].sort())
    expect(items.map(({ key }) => key)).toEqual(texts)
  }), { numRuns: 1_000 })
})
