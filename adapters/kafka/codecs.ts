import { gunzipSync } from 'node:zlib'
import { isRehydrateError } from '../../src/index.js'
import { Damage, TooLarge } from './damage.js'
import { lz4Decompress } from './lz4.js'
import { snappyDecompress } from './snappy.js'
import { zstdDecompress } from './zstd.js'

/** By their number in a batch's attributes. */
export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export type Compression = (typeof COMPRESSIONS)[number]

/**
 * Decompresses into a buffer of its own; `none` gives the input back. At most `limit` bytes, which is checked before more is taken.
 * Throws Damage, and ADAPTER_PEER_MISSING for zstd where nothing can read it.
 */
export function decompress(compression: Compression, input: Buffer, limit: number): Buffer {
  try {
    switch (compression) {
      case 'none': return input
      case 'gzip': return gunzipSync(input, { maxOutputLength: limit, chunkSize: chunkSize(input.length) })
      case 'snappy': return snappyDecompress(input, limit)
      case 'lz4': return lz4Decompress(input, limit)
      case 'zstd': return zstdDecompress(input, limit)
    }
  } catch (error) {
    if (error instanceof TooLarge || (error as { readonly code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new Damage(`takes more than ${limit} bytes when it is decompressed, which is the limit`, { cause: error })
    }
    if (error instanceof Damage || isRehydrateError(error)) throw error
    throw new Damage(`can not be decompressed (${compression}: ${(error as Error).message})`, { cause: error })
  }
}

/** What zlib takes at a time: about what comes out, so that few pieces are put together. */
function chunkSize(compressed: number): number {
  return Math.min(Math.max(compressed * 4, 1_024), 262_144)
}
