import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { verifyEd25519 } from '../host/keys.js'
import {
  checkProof, checkReceipt, formatPosition, positionFromJson, type Proof, type ReceiptFacts, RehydrateError, stringifyJson,
} from '../index.js'
import { type Context, type Handler, usage } from './command.js'
import { fit, grouped, table } from './format.js'

/** A proof holds one value, which has at most 16 MiB, twice. */
const MAX_FILE_BYTES = 64 * 1024 * 1024
const VALUE_COLUMNS = 200

/** Checks a proof or a receipt with nothing but the file. What fails is PROOF_INVALID, naming the step. */
export const checkCommand: Handler = async (context) => {
  const file = context.positionals.get('FILE') as string
  const text = await read(resolve(context.io.folder, file), MAX_FILE_BYTES)
  return isReceipt(text) ? await checkReceiptFile(context, file, text) : await checkProofFile(context, file, text)
}

function isReceipt(text: string): boolean {
  try {
    return Object.hasOwn(JSON.parse(text) as object, 'receipt')
  } catch {
    return false
  }
}

async function checkProofFile(context: Context, file: string, text: string): Promise<number> {
  const { flags, output } = context
  refuseFlags(context, 'proof', ['public-key'])
  const given = { ...hashFlag(context, 'root'), ...hashFlag(context, 'manifest') }
  const { subject: proof, steps, failure } = checkProof(text, given)
  await output.lines([`${file}  proof`, ...stepLines(steps)])
  if (failure !== null || proof === null) throw failure as Error
  const { kind, collection, key, value, manifest, manifestHash } = proof
  const head = {
    valid: true, kind, collection, key, position: manifest.position, root: manifest.root, manifest: manifestHash,
    compared: flags.has('root') || flags.has('manifest'), steps,
  }
  // Integers of the value stay exact.
  if (output.reader !== 'person') {
    await output.write(`${JSON.stringify(head).slice(0, -1)},"value":${stringifyJson(value === null ? null : value.json)}}\n`)
  }
  await output.lines(['', ...proofScreen(proof, head.compared)])
  return 0
}

function proofScreen({ collection, key, value, manifest, manifestHash }: Proof, compared: boolean): string[] {
  const { projection, position, accepted } = manifest
  return [
    `The state with this manifest ${value === null ? 'does not hold' : 'holds'} ${collection}/${key}${value === null ? '.' : ':'}`,
    ...(value === null ? [] : [`  ${fit(stringifyJson(value.json), VALUE_COLUMNS)}`]),
    ...table([
      ['projection', `${projection.name}, version ${projection.version}`],
      ['position', formatPosition(positionFromJson(position)) || 'the start'],
      ['accepted', accepted.length === 0 ? 'nothing' : accepted.map(({ code }) => code).join(', ')],
    ]),
    compared
      ? 'That is the state you asked about.'
      : `Whether that is the state you mean, the file can not show: compare ${manifestHash} with one from elsewhere (--manifest).`,
  ]
}

async function checkReceiptFile(context: Context, file: string, text: string): Promise<number> {
  const { flags, io, output } = context
  refuseFlags(context, 'receipt', ['root', 'manifest'])
  const keyFile = flags.text('public-key')
  const trusted = keyFile === undefined ? undefined : await read(resolve(io.folder, keyFile), 64 * 1024)
  const { subject, steps, failure } = checkReceipt(text, verifyEd25519, trusted)
  await output.lines([`${file}  receipt`, ...stepLines(steps)])
  if (failure !== null || subject === null) throw failure as Error
  const { signer, vouched, facts } = subject
  await output.document({ valid: true, kind: 'receipt', signer, vouched, receipt: facts, steps })
  await output.lines([
    '', ...receiptScreen(facts),
    vouched
      ? 'Signed by the holder of the key you gave.'
      : `Signed by the holder of the key ${signer}; nobody vouches for that key (--public-key FILE compares it with one you have).`,
  ])
  return 0
}

function receiptScreen(facts: ReceiptFacts): string[] {
  const { verdict, reason, grade, rebuilt, against, projection, differing, truncated, tool, issuedAt } = facts
  const position = (side: ReceiptFacts['rebuilt']): string =>
    (side.position === null ? 'not known' : `${formatPosition(positionFromJson(side.position)) || 'the start'}, ${side.known}`)
  const accepted = [...new Set([...rebuilt.accepted, ...against.accepted].map(({ code }) => code))]
  return [
    `${verdict.toUpperCase()}${reason === null ? '' : ` (${reason})`}, found by ${tool.name} ${tool.version} at ${issuedAt}`,
    ...table([
      ['rebuilt', `${rebuilt.name}: ${rebuilt.root ?? 'no root'} at ${position(rebuilt)}`],
      ['against', `${against.name}: ${against.root ?? 'no root'} at ${position(against)}`],
      ['projection', `${projection.name}, version ${projection.version}`],
      ['grade', grade ?? 'none'],
      ['differing', differing === null ? 'not compared' : `${truncated ? 'at least ' : ''}${grouped(differing)} keys`],
      ['accepted', accepted.length === 0 ? 'nothing' : accepted.join(', ')],
    ]),
  ]
}

function stepLines(steps: readonly { readonly step: string; readonly ok: boolean; readonly found: string }[]): string[] {
  return table(steps.map(({ step, ok, found }) => [`${ok ? 'ok    ' : 'FAILS '} ${step}`, fit(found, VALUE_COLUMNS)]))
}

function hashFlag({ flags }: Context, name: 'root' | 'manifest'): { root?: string; manifest?: string } {
  const hash = flags.text(name)
  if (hash === undefined) return {}
  if (/^sh1:[0-9a-f]{64}$/.test(hash)) return { [name]: hash }
  throw usage(`--${name} takes a hash.`, { expected: 'sh1: and 64 hexadecimal digits', actual: hash })
}

function refuseFlags({ flags }: Context, what: string, names: readonly string[]): void {
  const given = names.find((name) => flags.has(name))
  if (given !== undefined) throw usage(`This is a ${what}; --${given} does not go with it.`, { fix: 'Leave it out.' })
}

async function read(file: string, most: number): Promise<string> {
  let bytes: Buffer
  try {
    const { size } = await stat(file)
    if (size > most) throw new Error(`it has ${size} bytes`)
    bytes = await readFile(file)
  } catch (error) {
    throw usage(`${file} can not be read: ${(error as Error).message}`, { fix: 'Name the file that `prove` or `verify --receipt` wrote.' })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new RehydrateError('PROOF_INVALID', { message: `${file} is not UTF-8.`, file })
  }
}
