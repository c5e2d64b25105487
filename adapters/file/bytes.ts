import type { ReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { RehydrateError } from '../../src/index.js'

export const BOM = Buffer.from([0xef, 0xbb, 0xbf])

/** A longer line is refused. */
export const LINE_LIMIT = 16 * 1024 * 1024

/** The bytes of a segment in order, decompressed. */
export interface ByteReader {
  /** Puts the next bytes at `at`, at most up to the end of `into`; 0 at the end of the file. */
  read(into: Buffer, at: number): Promise<number>
  close(): Promise<void>
}

export function unreachable(path: string, cause: unknown): RehydrateError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'an error'
  return new RehydrateError('SOURCE_UNREACHABLE', { message: `${path} could not be read (${code}).`, file: path, cause })
}

/** Opens a segment at a byte; in a .gz only byte 0 is possible. Errors: SOURCE_UNREACHABLE, LOG_CORRUPT for a damaged .gz. */
export async function openBytes(path: string, gzip: boolean, from: number): Promise<ByteReader> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw unreachable(path, error)
  })
  return gzip ? gzipReader(path, handle) : plainReader(path, handle, from)
}

function plainReader(path: string, handle: FileHandle, from: number): ByteReader {
  let position = from
  return {
    async read(into, at) {
      const { bytesRead } = await handle.read(into, at, into.length - at, position).catch((error: unknown) => {
        throw unreachable(path, error)
      })
      position += bytesRead
      return bytesRead
    },
    close: () => handle.close(),
  }
}

/** Bounded by back pressure: whatever the ratio, not more than a few pieces are in memory at once. */
function gzipReader(path: string, handle: FileHandle): ByteReader {
  const file: ReadStream = handle.createReadStream({ autoClose: false, highWaterMark: 1 << 16 })
  const gunzip = createGunzip({ chunkSize: 1 << 18 })
  file.on('error', (error) => gunzip.destroy(unreachable(path, error)))
  file.pipe(gunzip)
  const pieces = gunzip[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let piece: Buffer = Buffer.alloc(0)
  return {
    async read(into, at) {
      while (piece.length === 0) {
        const next = await pieces.next().catch((error: unknown) => {
          throw error instanceof RehydrateError ? error : damaged(path, error)
        })
        if (next.done === true) {
          // zlib passes over what it does not take for a member, from a zero byte on: that may have been records.
          if (gunzip.bytesWritten < (await handle.stat()).size) throw damaged(path, new Error('unknown bytes at the end'))
          return 0
        }
        piece = next.value
      }
      const length = piece.copy(into, at)
      piece = piece.subarray(length)
      return length
    },
    async close() {
      file.destroy()
      gunzip.destroy()
      await handle.close()
    },
  }
}

function damaged(path: string, cause: unknown): RehydrateError {
  return new RehydrateError('LOG_CORRUPT', {
    message: `${path} is not a whole gzip file (${(cause as Error).message}).`,
    file: path,
    cause,
  })
}
