import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { digestOfLines, formatHash } from '../index.js'
import { type Handler, usage } from './command.js'
import { grouped, table } from './format.js'

export const digestCommand: Handler = async ({ positionals, io, output }) => {
  const file = positionals.get('FILE|-') as string
  const stream = file === '-' ? io.stdin : openFile(resolve(io.folder, file))
  const { root, collections } = await digestOfLines(readLines(stream, file))
  const named = [...collections].map(([name, { count, root: ofCollection }]) => [name, { count, root: formatHash(ofCollection) }] as const)
  await output.document({ root: formatHash(root), collections: Object.fromEntries(named) })
  await output.lines([
    formatHash(root),
    ...table(named.map(([name, digest]) => [name, `${grouped(digest.count)} keys  ${digest.root}`])),
  ])
  return 0
}

function openFile(path: string): Readable {
  const file = createReadStream(path)
  if (!path.endsWith('.gz')) return file
  const plain = createGunzip()
  file.on('error', (error) => plain.destroy(error))
  return file.pipe(plain)
}

/** Lines without their line feeds; a last one may lack it. USAGE where the file can not be read, or is not UTF-8. */
async function* readLines(stream: Readable, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  try {
    for await (const chunk of stream) {
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
