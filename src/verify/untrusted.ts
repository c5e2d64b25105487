import type { Fingerprint } from '../projection/fingerprint.js'
import type { Accepted, CollectionRoot, Manifest } from '../store/checkpoint.js'
import { isWellFormed } from '../value/value.js'

/** How a reader refuses: with the path of what does not fit, and what should stand there. */
export type Refuse = (path: string, expected: string) => Error

/**
 * JSON that somebody else made, read field by field: exact names, exact types, nothing passed over. What is read is made anew, so
 * that nothing unseen comes along.
 */
export class Untrusted {
  readonly value: unknown
  readonly path: string
  readonly #refuse: Refuse

  constructor(value: unknown, refuse: Refuse, path = '$') {
    this.value = value
    this.path = path
    this.#refuse = refuse
  }

  get isNull(): boolean { return this.value === null }

  /** An object of exactly these fields; the optional ones may be missing, and are null then. */
  fields(names: readonly string[], optional: readonly string[] = []): (name: string) => Untrusted {
    const entries = new Map(this.entries())
    for (const name of entries.keys()) {
      if (!names.includes(name) && !optional.includes(name)) throw this.refused(`no field ${JSON.stringify(name.slice(0, 40))}`)
    }
    for (const name of names) {
      if (!entries.has(name)) throw this.refused(`a field ${name}`)
    }
    return (name) => entries.get(name) ?? new Untrusted(null, this.#refuse, `${this.path}.${name}`)
  }

  /** An object by its names, whatever they are. */
  entries(): [string, Untrusted][] {
    const { value } = this
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.refused('an object')
    return Object.entries(value).map(([name, item]) => {
      if (!isWellFormed(name) || name === '__proto__') throw this.refused('names that a state can have')
      return [name, new Untrusted(item, this.#refuse, `${this.path}.${name.slice(0, 40)}`)]
    })
  }

  record<T>(read: (item: Untrusted) => T): Record<string, T> {
    return Object.fromEntries(this.entries().map(([name, item]) => [name, read(item)]))
  }

  items(most: number): Untrusted[] {
    const { value } = this
    if (!Array.isArray(value) || value.length > most) throw this.refused(`an array of at most ${most}`)
    return value.map((item, i) => new Untrusted(item, this.#refuse, `${this.path}[${i}]`))
  }

  text(form?: RegExp): string {
    const { value } = this
    if (typeof value !== 'string' || !isWellFormed(value)) throw this.refused('a text')
    if (form !== undefined && !form.test(value)) throw this.refused(`a text of the form ${form.source}`)
    return value
  }

  /** An integer from 0 to 2^53 − 1. */
  whole(least = 0): number {
    const { value } = this
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) throw this.refused(`a whole number from ${least}`)
    return value
  }

  flag(): boolean {
    if (typeof this.value !== 'boolean') throw this.refused('true or false')
    return this.value
  }

  oneOf<const T extends string | number>(...choices: readonly T[]): T {
    if (!choices.includes(this.value as T)) throw this.refused(choices.map((choice) => JSON.stringify(choice)).join(' or '))
    return this.value as T
  }

  /** `sh1:<64 hex>` */
  hash(): string { return this.text(/^sh1:[0-9a-f]{64}$/) }

  /** The bytes of base64 in its one canonical form. */
  base64(): Buffer {
    const text = this.text()
    const bytes = Buffer.from(text, 'base64')
    if (bytes.toString('base64') !== text) throw this.refused('base64')
    return bytes
  }

  orNull<T>(read: (item: Untrusted) => T): T | null {
    return this.isNull ? null : read(this)
  }

  refused(expected: string): Error {
    return this.#refuse(this.path, expected)
  }
}

const MANIFEST_FIELDS = [
  'v', 'sealed', 'root', 'position', 'identity', 'projection', 'order', 'holes', 'accepted', 'scrubbedAt', 'control',
]
const MAX_ACCEPTED = 100_000

export function readManifest(given: Untrusted): Manifest {
  const at = given.fields(MANIFEST_FIELDS)
  const holes = at('holes').fields(['control', 'aborted', 'filtered', 'compactedOrLost'])
  return {
    v: at('v').oneOf(1),
    sealed: at('sealed').flag(),
    root: at('root').orNull((root) => root.hash()),
    position: readOffsets(at('position')),
    identity: readIdentity(at('identity')),
    projection: readProjection(at('projection')),
    order: at('order').text(),
    holes: {
      control: holes('control').whole(), aborted: holes('aborted').whole(), filtered: holes('filtered').whole(),
      compactedOrLost: holes('compactedOrLost').whole(),
    },
    accepted: readAccepted(at('accepted')),
    scrubbedAt: at('scrubbedAt').orNull(readOffsets),
    control: at('control').orNull((control) => control.hash()),
  }
}

/** Partition → offset. */
export function readOffsets(given: Untrusted): Record<string, number> {
  return given.record((offset) => offset.whole())
}

export function readIdentity(given: Untrusted): Record<string, { id: string; proved: boolean }> {
  return given.record((identity) => {
    const at = identity.fields(['id', 'proved'])
    return { id: at('id').text(), proved: at('proved').flag() }
  })
}

export function readProjection(given: Untrusted): Manifest['projection'] {
  const at = given.fields(['name', 'version', 'fingerprint'])
  return { name: at('name').text(), version: at('version').whole(), fingerprint: readFingerprint(at('fingerprint')) }
}

function readFingerprint(given: Untrusted): Fingerprint {
  const at = given.fields(['shape', 'code', 'codeFrom'], ['reading'])
  const reading = at('reading')
  return {
    shape: at('shape').record((part) => part.hash()), code: at('code').hash(), codeFrom: at('codeFrom').oneOf('modules', 'text'),
    ...(reading.isNull ? {} : { reading: reading.record((setting) => setting.text()) }),
  }
}

export function readAccepted(given: Untrusted): Accepted[] {
  return given.items(MAX_ACCEPTED).map((item) => {
    const at = item.fields(['code'], ['partition', 'from', 'to', 'detail'])
    const [partition, from, to, detail] = [at('partition'), at('from'), at('to'), at('detail')]
    return {
      code: at('code').text(),
      ...(partition.isNull ? {} : { partition: partition.text() }),
      ...(from.isNull ? {} : { from: from.whole() }),
      ...(to.isNull ? {} : { to: to.whole() }),
      ...(detail.isNull ? {} : { detail: detail.text() }),
    }
  })
}

/** Non-empty collections of the user: name → count and root. */
export function readCollections(given: Untrusted): Record<string, CollectionRoot> {
  for (const [name, item] of given.entries()) {
    if (name === '' || name.startsWith('$')) throw item.refused('the name of a collection')
  }
  return given.record(readCollectionRoot)
}

export function readCollectionRoot(given: Untrusted): CollectionRoot {
  const at = given.fields(['count', 'root'])
  return { count: at('count').whole(1), root: at('root').hash() }
}
