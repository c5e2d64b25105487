import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { openStoreSide, proofText, proveKey } from '../index.js'
import { type Handler, usage } from './command.js'
import { collectionOf } from './inspect.js'
import { withJob } from './job.js'

/** Proves a key of a sealed state, absent ones too: a proof of absence is a proof, and so exit 0. */
export const proveCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, io, output, positionals } = context
  const key = positionals.get('KEY') as string
  const collection = collectionOf(context, job)
  const side = await openStoreSide(job.store, job.name, flags.whole('generation'))
  const proof = await proveKey(side, collection, key).finally(() => side.close())
  const text = proofText(proof)
  const out = flags.text('out')
  if (out === undefined) {
    await output.write(text)
    return 0
  }
  await write(resolve(io.folder, out), text)
  const { kind, manifest, manifestHash } = proof
  const bytes = Buffer.byteLength(text)
  await output.document({
    out, kind, collection, key, bytes, generation: side.generation, position: manifest.position, root: manifest.root,
    manifest: manifestHash,
  })
  await output.lines([
    `${out}  ${kind} of ${collection}/${key}, ${bytes} bytes`,
    `  manifest  ${manifestHash}`,
    `  check     rehydrate check ${out} --manifest ${manifestHash}`,
  ])
  return 0
})

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (error) {
    throw usage(`${file} could not be written: ${(error as Error).message}`, { fix: 'Name a file that can be written.' })
  }
}
