import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RehydrateError } from '../errors.js'
import type { OffsetsFile } from '../verify/key-offsets.js'

/** More than one call may read or write. */
const PART_BYTES = 1 << 30

/** An index of key offsets in a file that its owner alone may read. Errors of both: USAGE, where no such file can be. */
export function offsetsFile(path: string): OffsetsFile {
  return {
    async read() {
      try {
        return await readWhole(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw refused(path, 'read', error)
      }
    },
    async write(bytes) {
      const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`)
      try {
        const handle = await open(partial, 'wx', 0o600)
        try {
          await handle.writeFile(bytes)
          await handle.sync()
        } finally {
          await handle.close()
        }
        await rename(partial, path)
      } catch (error) {
        await rm(partial, { force: true })
        throw refused(path, 'written', error)
      }
    },
  }
}

async function readWhole(path: string): Promise<Uint8Array> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    return await readParts(handle, new Uint8Array(size))
  } finally {
    await handle.close()
  }
}

/** What is shorter than it was is found by its hash. */
async function readParts(handle: FileHandle, bytes: Uint8Array): Promise<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, at, Math.min(PART_BYTES, bytes.length - at), at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return bytes
}

function refused(path: string, what: 'read' | 'written', error: unknown): RehydrateError {
  return new RehydrateError('USAGE', {
    message: `${path} could not be ${what}: ${(error as Error).message}`, file: path, cause: error,
    fix: 'Name a file that can be read and written, or leave the index out.',
  })
}
