import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { Handler } from './command.js'
import { diffCommand } from './diff.js'
import type { Io } from './io.js'
import { Output, type Reader } from './output.js'
import { parseCommandLine } from './parse.js'
import { runStatements } from './old-service.js'
import { repairCommand } from './repair.js'
import { verifyCommand } from './verify.js'

/** What `--against` calls the old service, in docs/examples/flights. */
const AGAINST = ['--against', 'old']
const STATEMENTS = 'repair.sql'

/** What the commands printed, in their order: texts for a person, else documents. */
export interface Proof {
  readonly printed: readonly string[]
  /** 0 where the two were equal in the end. */
  readonly exitCode: number
}

/**
 * Proves the state against the old service's database as a person would: verify, diff, repair, and verify again, by the commands
 * themselves. `show` gets what they print for a person, and their exit codes; with `json` nothing is shown.
 */
export async function proveAgainstOld(folder: string, json: boolean, show: (text: string) => void): Promise<Proof> {
  const printed: string[] = []
  const run = async (handler: Handler, args: readonly string[]): Promise<number> => {
    const { text, exitCode } = await runCommand(folder, handler, args, json ? 'document' : 'person')
    printed.push(text)
    if (!json) show(`$ rehydrate ${args.join(' ')} ; echo $?\n${text}${exitCode}\n\n`)
    return exitCode
  }
  await run(verifyCommand, ['verify', ...AGAINST])
  await run(diffCommand, ['diff', ...AGAINST, '--blame'])
  await run(repairCommand, ['repair', ...AGAINST, '--out', STATEMENTS])
  const statements = await readFile(join(folder, STATEMENTS), 'utf8')
  if (!json) show(`$ cat ${STATEMENTS} ; sqlite3 old.db < ${STATEMENTS}\n${statements}\n`)
  await runStatements(join(folder, 'old.db'), statements)
  return { exitCode: await run(verifyCommand, ['verify', ...AGAINST]), printed }
}

async function runCommand(
  folder: string, handler: Handler, args: readonly string[], reader: Reader,
): Promise<{ text: string; exitCode: number }> {
  let text = ''
  const stream = (): Writable => new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('utf8')
      done()
    },
  })
  const io: Io = { env: {}, folder, stdin: Readable.from([]), stdout: stream(), stderr: stream(), onSignal: () => () => {} }
  const exitCode = await handler({ ...parseCommandLine(args, {}), io, output: new Output(io, reader) })
  return { text, exitCode }
}
