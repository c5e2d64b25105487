import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { usage } from './command.js'

/**
 * Lines of a stream without their line feeds; a last one may lack it. `name` ending in .gz: compressed. USAGE where it can not be
 * read, or is not UTF-8.
 */
export async function* openLines(stream: Readable, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  try {
    for await (const chunk of name.endsWith('.gz') ? unzipped(stream) : stream) {
      const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n')
      rest = lines.pop() as string
      yield* lines
    }
    rest += decoder.decode()
  } catch (error) {
    throw usage(`${name} can not be read: ${(error as Error).message}`, {
      fix: 'Name a file of NDJSON lines in UTF-8, plain or .gz, or - for stdin.',
    })
  }
  if (rest !== '') yield rest
}

function unzipped(stream: Readable): Readable {
  const plain = createGunzip()
  stream.on('error', (error) => plain.destroy(error))
  return stream.pipe(plain)
}
