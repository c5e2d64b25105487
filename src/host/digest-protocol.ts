import { RehydrateError } from '../errors.js'
import { MAX_BYTES } from '../value/canonical.js'
import type { Secret } from './secrets.js'

/** What both ends of the digest protocol agree on: docs/digest-protocol.md. */

export const BASE_PATH = '/digest/v1'

/** Of one request, inclusive. */
export const MAX_REQUEST_KEYS = 1_024
export const MAX_REQUEST_BYTES = 1024 * 1024

/** An answer ends with the frame that takes it to so many bytes or beyond; the client asks again for what is left. */
export const FULL_ANSWER_BYTES = 4 * 1024 * 1024

/** Bytes of the longest answer there can be: one just below full, and the longest frame. */
export const MAX_ANSWER_BYTES = FULL_ANSWER_BYTES + 4 + MAX_BYTES

/** Bytes of the longest hello that is read. */
export const MAX_HELLO_BYTES = 16 * 1024 * 1024

const ABSENT = 0xffff_ffff
const MAX_TEXT_BYTES = 0xffff

/** Texts as they are asked for: 2 bytes of length, then UTF-8, one behind the other. */
export function writeTexts(texts: readonly string[]): Buffer {
  return Buffer.concat(texts.flatMap((text) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(Buffer.byteLength(text))
    return [length, Buffer.from(text)]
  }))
}

/** Bytes that a text takes; Infinity for one that is too long to be asked for. */
export function textBytes(text: string): number {
  const length = Buffer.byteLength(text)
  return length > MAX_TEXT_BYTES ? Infinity : 2 + length
}

/** Null for bytes that are no such texts. */
export function readTexts(bytes: Buffer): string[] | null {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + 2 > bytes.length) return null
    const end = at + 2 + bytes.readUInt16BE(at)
    if (end > bytes.length) return null
    try {
      texts.push(decoder.decode(bytes.subarray(at + 2, end)))
    } catch {
      return null
    }
    at = end
  }
  return texts
}

/** What is there of one key: 4 bytes of length, then the bytes; FF FF FF FF where the key is absent. */
export function writeFrame(bytes: Uint8Array | undefined): readonly Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes === undefined ? ABSENT : bytes.length)
  return bytes === undefined ? [length] : [length, bytes]
}

/** Null where the bytes are not whole frames, or more than `most`. Undefined stands for an absent key. */
export function readFrames(bytes: Buffer, most: number): (Uint8Array | undefined)[] | null {
  const frames: (Uint8Array | undefined)[] = []
  for (let at = 0; at < bytes.length;) {
    if (frames.length === most || at + 4 > bytes.length) return null
    const length = bytes.readUInt32BE(at)
    at += 4
    if (length === ABSENT) {
      frames.push(undefined)
      continue
    }
    if (at + length > bytes.length) return null
    frames.push(new Uint8Array(bytes.subarray(at, at + length)))
    at += length
  }
  return frames
}

/** The token as it goes into a header. CONFIG_INVALID for one that is short or has other characters, never quoting it. */
export function checkedToken(token: string | Secret): string {
  const text = typeof token === 'string' ? token : token.reveal()
  if (/^[\x21-\x7e]{16,1024}$/.test(text)) return text
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'The token is not one that the digest can be served with.', path: 'token',
    expected: '16 to 1,024 visible ASCII characters', actual: `${text.length} characters`,
    fix: 'Make one with `openssl rand -hex 32`, and give it to both sides.',
  })
}
