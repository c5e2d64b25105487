/** CRC-32C (Castagnoli), as record batches carry it; eight bytes a step by eight tables in one array. */

const POLYNOMIAL = 0x82f63b78
const TABLES = tables()
/** Below this, a byte at a time costs less than a view of words. */
const SHORT = 64

/** The checksum of bytes [from, to), unsigned. */
export function crc32c(bytes: Uint8Array, from: number, to: number): number {
  if (to - from < SHORT) return ~tail(bytes, from, to, -1) >>> 0
  const aligned = from + (-(bytes.byteOffset + from) & 3)
  let crc = tail(bytes, from, aligned, -1)
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + aligned, ((to - aligned) >>> 3) * 2)
  for (let at = 0; at < words.length; at += 2) {
    const low = crc ^ (words[at] as number)
    const high = words[at + 1] as number
    crc = (TABLES[1792 + (low & 255)] as number) ^ (TABLES[1536 + ((low >>> 8) & 255)] as number)
      ^ (TABLES[1280 + ((low >>> 16) & 255)] as number) ^ (TABLES[1024 + (low >>> 24)] as number)
      ^ (TABLES[768 + (high & 255)] as number) ^ (TABLES[512 + ((high >>> 8) & 255)] as number)
      ^ (TABLES[256 + ((high >>> 16) & 255)] as number) ^ (TABLES[high >>> 24] as number)
  }
  return ~tail(bytes, aligned + words.length * 4, to, crc) >>> 0
}

function tail(bytes: Uint8Array, from: number, to: number, start: number): number {
  let crc = start
  for (let at = from; at < to; at++) crc = (crc >>> 8) ^ (TABLES[(crc ^ (bytes[at] as number)) & 255] as number)
  return crc
}

/** Table t, from 256 × t on, is a byte's share t bytes further on. Words are little-endian, as the machines are that Node runs on. */
function tables(): Int32Array {
  const all = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    all[byte] = crc
  }
  for (let at = 256; at < all.length; at++) {
    const before = all[at - 256] as number
    all[at] = (before >>> 8) ^ (all[before & 255] as number)
  }
  return all
}
