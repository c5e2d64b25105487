import { formatHash, sha256 } from '../digest/hash.js'
import { RehydrateError } from '../errors.js'
import type { Accepted, CollectionRoot, Manifest } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import { stringifyJson } from '../value/json.js'
import { Checks, type Checked, untrustedJson } from './checks.js'
import { readAccepted, readCollectionRoot, readIdentity, readOffsets, readProjection, type Untrusted } from './untrusted.js'

/** What a receipt says: what this tool found when it compared two states. docs/proofs.md. */
export interface ReceiptFacts {
  readonly verdict: 'match' | 'mismatch' | 'inconclusive'
  /** Code of what kept it from knowing; null for the other two. */
  readonly reason: string | null
  readonly grade: 'scrubbed' | 'maintained' | null
  readonly rebuilt: ReceiptSide
  readonly against: ReceiptSide
  /** Whose fold the rebuilt state is. */
  readonly projection: Manifest['projection']
  /** By name; null where a side does not say. */
  readonly collections: Readonly<Record<string, ReceiptCollection>>
  /** Keys that differ; null where nothing was compared. */
  readonly differing: number | null
  /** True where there are more that differ. */
  readonly truncated: boolean
  readonly tool: { readonly name: string; readonly version: string }
  /** ISO 8601 in UTC with milliseconds, by the clock of the machine that compared. */
  readonly issuedAt: string
}

export interface ReceiptSide {
  /** What people call it. No secrets. */
  readonly name: string
  /** State root over what was compared. */
  readonly root: string | null
  /** Hash of its manifest; null where it has no seal. */
  readonly manifest: string | null
  /** Partition → last applied offset, inclusive; null where it is not known. */
  readonly position: Readonly<Record<string, number>> | null
  /** 'asserted': a person says where it stands. Null where nobody does. */
  readonly known: 'proved' | 'asserted' | null
  /** Of the partitions that were read; empty where there is no manifest. */
  readonly identity: Manifest['identity']
  readonly accepted: readonly Accepted[]
}

export interface ReceiptCollection {
  readonly rebuilt: CollectionRoot | null
  readonly against: CollectionRoot | null
  /** Fields left out on both sides. */
  readonly omitted: readonly string[]
}

/** A receipt as it is kept: the signature is over the UTF-8 of `receipt`, byte for byte. */
export interface SignedReceipt {
  /** JSON of {v: 1, …ReceiptFacts}. */
  readonly receipt: string
  /** Ed25519, 64 bytes in base64. */
  readonly signature: string
  /** PEM, SubjectPublicKeyInfo. */
  readonly publicKey: string
}

/** The text that is signed. UNEXPECTED for facts that could not be checked: they have other fields, or contradict each other. */
export function receiptText(facts: ReceiptFacts): string {
  const text = stringifyJson({ v: 1, ...facts } as unknown as Value)
  try {
    readFacts(untrustedJson(text))
  } catch (cause) {
    throw new RehydrateError('UNEXPECTED', { message: `The receipt says what no receipt can say: ${(cause as Error).message}`, cause })
  }
  return text
}

/** One line of JSON: a signed receipt as a file. */
export function signedReceiptText({ receipt, signature, publicKey }: SignedReceipt): string {
  return `${JSON.stringify({ receipt, signature, publicKey })}\n`
}

export type ReceiptStep = 'form' | 'key' | 'signature' | 'facts'

export interface CheckedReceipt {
  /** `sh1:<hex>`: SHA-256 of the public key's DER. */
  readonly signer: string
  /** True where the checker had the key from elsewhere. */
  readonly vouched: boolean
  readonly facts: ReceiptFacts
}

/** An Ed25519 signature over a message, by the key of these 32 bytes. */
export type VerifySignature = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array) => boolean

/**
 * Checks a signed receipt; `trusted` is the public key (PEM) that the checker has from elsewhere, if any.
 * Where that is no Ed25519 key, the step key fails.
 */
export function checkReceipt(text: string, verify: VerifySignature, trusted?: string): Checked<ReceiptStep, CheckedReceipt> {
  const checks = new Checks<ReceiptStep, CheckedReceipt>('receipt')
  return checks.run((step) => {
    const at = step('form', () => {
      const fields = untrustedJson(text).fields(['receipt', 'signature', 'publicKey'])
      const signature = fields('signature').base64()
      if (signature.length !== 64) throw fields('signature').refused('64 bytes in base64')
      return ['a signed receipt', { text: fields('receipt').text(), signature, publicKey: fields('publicKey') }]
    })
    const { key, signer } = step('key', () => {
      const der = derOf(at.publicKey.text())
      if (der === null) throw at.publicKey.refused('an Ed25519 public key in PEM')
      const fingerprint = formatHash(sha256(der))
      if (trusted !== undefined) {
        const own = derOf(trusted)
        const expected = own === null ? 'an Ed25519 public key in PEM' : formatHash(sha256(own))
        checks.same(expected, fingerprint, 'It was signed with another key than the one given.')
      }
      return [fingerprint, { key: der.subarray(DER_HEAD.length), signer: fingerprint }]
    })
    step('signature', () => {
      checks.same(true, verify(Buffer.from(at.text), at.signature, key), 'The signature is not one of this key over this text.')
      return ['Ed25519, over every byte of the receipt', null]
    })
    step('facts', () => {
      const facts = readFacts(untrustedJson(at.text))
      checks.subject = { signer, vouched: trusted !== undefined, facts }
      return [`${facts.verdict}, ${facts.tool.name} ${facts.tool.version}, ${facts.issuedAt}`, null]
    })
  })
}

/** What stands before the 32 bytes of every Ed25519 key in DER. */
const DER_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=]{60})\r?\n-----END PUBLIC KEY-----\r?\n?$/

/** The one DER form of an Ed25519 public key; null for a text that is none in PEM. */
function derOf(pem: string): Buffer | null {
  const text = PEM.exec(pem)?.[1] ?? ''
  const der = Buffer.from(text, 'base64')
  const isKey = der.length === DER_HEAD.length + 32 && der.subarray(0, DER_HEAD.length).equals(DER_HEAD)
  return isKey && der.toString('base64') === text && !isNobodys(der.subarray(DER_HEAD.length)) ? der : null
}

/**
 * The points of small order, without their sign: for these keys anybody can make a signature, many for every text at once. OpenSSL
 * takes them.
 */
const SMALL_ORDER: readonly string[] = [
  '00'.repeat(32), `01${'00'.repeat(31)}`, `ec${'ff'.repeat(30)}7f`, `ed${'ff'.repeat(30)}7f`, `ee${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]

function isNobodys(key: Uint8Array): boolean {
  const unsigned = Buffer.from(key)
  unsigned[31]! &= 0x7f
  return SMALL_ORDER.includes(unsigned.toString('hex'))
}

const FACTS = [
  'v', 'verdict', 'reason', 'grade', 'rebuilt', 'against', 'projection', 'collections', 'differing', 'truncated', 'tool', 'issuedAt',
]
const MAX_OMITTED = 10_000

function readFacts(given: Untrusted): ReceiptFacts {
  const at = given.fields(FACTS)
  at('v').oneOf(1)
  const tool = at('tool').fields(['name', 'version'])
  const facts: ReceiptFacts = {
    verdict: at('verdict').oneOf('match', 'mismatch', 'inconclusive'),
    reason: at('reason').orNull((reason) => reason.text(/^[A-Z_]+$/)),
    grade: at('grade').orNull((grade) => grade.oneOf('scrubbed', 'maintained')),
    rebuilt: readSide(at('rebuilt')), against: readSide(at('against')),
    projection: readProjection(at('projection')),
    collections: at('collections').record(readCollection),
    differing: at('differing').orNull((count) => count.whole()), truncated: at('truncated').flag(),
    tool: { name: tool('name').text(), version: tool('version').text() },
    issuedAt: at('issuedAt').text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  }
  refuseContradictions(facts, at)
  return facts
}

/** A signer could sign anything; what contradicts itself says nothing. */
function refuseContradictions(facts: ReceiptFacts, at: (name: string) => Untrusted): void {
  const { verdict, reason, grade, rebuilt, against, collections, differing, truncated } = facts
  if ((verdict === 'inconclusive') === (reason === null)) throw at('reason').refused('a reason where it is inconclusive, else null')
  if ((verdict === 'inconclusive') !== (grade === null)) throw at('grade').refused('null where it is inconclusive, else a grade')
  if (verdict === 'inconclusive' && differing !== null) throw at('differing').refused('null where it is inconclusive')
  if (verdict === 'match' && (differing !== 0 || truncated)) throw at('differing').refused('0 where the verdict is match')
  if (verdict === 'mismatch' && differing === 0) throw at('differing').refused('more than 0 where the verdict is mismatch')
  if (verdict === 'inconclusive') return
  const isOneRoot = rebuilt.root !== null && rebuilt.root === against.root
  const areEqual = Object.values(collections).every(({ rebuilt: ours, against: theirs }) =>
    ours?.root === theirs?.root && ours?.count === theirs?.count)
  if (isOneRoot !== (verdict === 'match')) throw at('rebuilt').refused('of the other root where the verdict is match, and only there')
  if (areEqual !== (verdict === 'match')) throw at('collections').refused('equal where the verdict is match, and only there')
}

function readSide(given: Untrusted): ReceiptSide {
  const at = given.fields(['name', 'root', 'manifest', 'position', 'known', 'identity', 'accepted'])
  return {
    name: at('name').text(),
    root: at('root').orNull((root) => root.hash()), manifest: at('manifest').orNull((hash) => hash.hash()),
    position: at('position').orNull(readOffsets), known: at('known').orNull((known) => known.oneOf('proved', 'asserted')),
    identity: readIdentity(at('identity')), accepted: readAccepted(at('accepted')),
  }
}

function readCollection(given: Untrusted): ReceiptCollection {
  const at = given.fields(['rebuilt', 'against', 'omitted'])
  return {
    rebuilt: at('rebuilt').orNull(readCollectionRoot), against: at('against').orNull(readCollectionRoot),
    omitted: at('omitted').items(MAX_OMITTED).map((path) => path.text()),
  }
}
