import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AnswerBuffer } from '../../../adapters/kafka/framing.js'

function framed(payload: Uint8Array): Buffer {
  const answer = Buffer.alloc(4 + payload.length)
  answer.writeInt32BE(payload.length)
  answer.set(payload, 4)
  return answer
}

test('answers come whole and in order, however the line cuts them, and in memory of their own', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (payloads, sizes) => {
    const answers = payloads.map(framed)
    const line = Buffer.concat(answers)
    const memory = Buffer.alloc(30)
    const buffer = new AnswerBuffer()
    const came: Buffer[] = []
    for (let at = 0, i = 0; at < line.length; i++) {
      const length = line.copy(memory, 0, at, at + (sizes[i % sizes.length] as number))
      buffer.take(memory, length, (answer) => came.push(answer))
      at += length
    }
    expect(came).toEqual(answers)
  }))
})

test.each([-1, 0x7fffffff])('an answer that says it is %i bytes long is none', (length) => {
  const head = Buffer.alloc(4)
  head.writeInt32BE(length)
  expect(() => new AnswerBuffer().take(head, 4, () => {})).toThrow(`${length} bytes long`)
})
