import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { digestOfLines, formatHash } from '../index.js'
import type { Handler } from './command.js'
import { grouped, table } from './format.js'
import { openLines } from './lines.js'

export const digestCommand: Handler = async ({ positionals, io, output }) => {
  const file = positionals.get('FILE|-') as string
  const stream = file === '-' ? io.stdin : createReadStream(resolve(io.folder, file))
  const { root, collections } = await digestOfLines(openLines(stream, file))
  const named = [...collections].map(([name, { count, root: ofCollection }]) => [name, { count, root: formatHash(ofCollection) }] as const)
  await output.document({ root: formatHash(root), collections: Object.fromEntries(named) })
  await output.lines([
    formatHash(root),
    ...table(named.map(([name, digest]) => [name, `${grouped(digest.count)} keys  ${digest.root}`])),
  ])
  return 0
}
