import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { signReceipt } from '../host/keys.js'
import { packageVersion } from '../host/modules.js'
import { positionToJson, type Position, type ReceiptFacts, signedReceiptText, type Verdict } from '../index.js'
import { type Context, usage } from './command.js'

/** Writes what `--receipt` asks for, signed with this key. USAGE, CONFIG_INVALID. */
export async function writeReceipt({ flags, io, output }: Context, verdict: Verdict, key: string): Promise<void> {
  const file = flags.text('receipt') as string
  const receipt = signedReceiptText(signReceipt(factsOf(verdict, new Date()), key))
  await writeFile(resolve(io.folder, file), receipt).catch((error: unknown) => {
    throw usage(`${file} could not be written: ${(error as Error).message}`, { fix: 'Name a file that can be written.' })
  })
  await output.lines([`  receipt   ${file}: rehydrate check ${file} --public-key PEM-FILE`])
}

function factsOf(verdict: Verdict, issuedAt: Date): ReceiptFacts {
  const { collections, rebuilt, against, reason, position, againstPosition, asserted } = verdict
  const side = (compared: Verdict['rebuilt'], at: Position | null, known: 'proved' | 'asserted'): ReceiptFacts['rebuilt'] => ({
    ...compared, position: at === null ? null : positionToJson(at), known: at === null ? null : known,
  })
  return {
    verdict: verdict.verdict, reason: reason?.code ?? null, grade: verdict.grade,
    rebuilt: side(rebuilt, position, 'proved'), against: side(against, againstPosition, asserted ? 'asserted' : 'proved'),
    projection: verdict.projection,
    // Of what was left out nothing is said.
    collections: Object.fromEntries(Object.entries(collections).flatMap(([name, { rebuilt: ours, against: theirs, omitted, equal }]) =>
      (equal === null ? [] : [[name, { rebuilt: ours, against: theirs, omitted }]]))),
    differing: verdict.differing, truncated: verdict.truncated,
    tool: packageVersion(), issuedAt: issuedAt.toISOString(),
  }
}

/** The key of `--sign-key`, PEM. USAGE. */
export async function readSigningKey({ flags, io }: Context): Promise<string> {
  const path = resolve(io.folder, flags.text('sign-key') as string)
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw usage(`${path} can not be read: ${(error as Error).message}`, {
      fix: 'Make a key with `openssl genpkey -algorithm ed25519 -out FILE`.',
    })
  }
}
