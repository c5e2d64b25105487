import type { ReadNode } from './reads.js'

/** Texts that are kept per field: a power of two. */
export const KEPT_TEXTS = 64

/** A node of reads with what was learned of the log: the order of names, and texts. */
export interface Field {
  readonly layout: Layout | null
  readonly elements: Field | null
  /** Texts that were there, by a hash of their bytes. */
  readonly texts: string[]
}

export interface Layout {
  readonly names: ReadonlyMap<string, number>
  readonly fields: readonly Field[]
  readonly maker: NonNullable<ReadNode['maker']>
  readonly values: unknown[]
  /** What comes before the first name. */
  readonly start: Name
  readonly known: Map<string, Name>
}

/**
 * A name as it is written, from what separates it, `{` or `,`, to where its value begins: objects of a log mostly have the same names in
 * the same order, and then a name is a few comparisons.
 */
export interface Name {
  readonly known: boolean
  readonly length: number
  /** Four bytes each, then the last four once more. */
  readonly words: Int32Array
  readonly tail: number
  /** Its place among the fields that are read; −1: none. */
  readonly found: number
  /** The names that came after it, the last one first. */
  next: Name | null
  other: Name | null
}

export const UNKNOWN: Name = { known: false, length: 0, words: new Int32Array(0), tail: 0, found: -1, next: null, other: null }

/** At least four bytes: the separator, two quotes and a colon. */
export function makeName(bytes: Uint8Array, found: number): Name {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const words = Int32Array.from({ length: bytes.length >> 2 }, (_, i) => view.getInt32(i * 4, true))
  return { known: true, length: bytes.length, words, tail: view.getInt32(bytes.length - 4, true), found, next: null, other: null }
}

export function fieldOf({ names, fields, elements, maker }: ReadNode): Field {
  return {
    layout: maker === null ? null : {
      names: new Map(names.map((name, i) => [name, i])), fields: fields.map(fieldOf), maker,
      values: names.map(() => maker.absent), start: { ...UNKNOWN }, known: new Map(),
    },
    elements: elements === null ? null : fieldOf(elements),
    texts: new Array<string>(KEPT_TEXTS).fill(''),
  }
}
