import { isWellFormed } from './value.js'

export const MAX_KEY_BYTES = 1_024

/** True for a key a state may have: non-empty, well-formed, at most MAX_KEY_BYTES of UTF-8. */
export function isKey(text: string): boolean {
  if (text.length === 0 || !isWellFormed(text)) return false
  // A UTF-16 unit makes at most three bytes.
  return text.length * 3 <= MAX_KEY_BYTES || Buffer.byteLength(text) <= MAX_KEY_BYTES
}
