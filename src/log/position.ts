import { RehydrateError } from '../errors.js'

/** Place of a record in its partition: a safe integer from 0. −1 stands for "before the first". */
export type Offset = number

/**
 * Partition → last applied offset, inclusive. An absent partition has nothing applied (−1).
 * Every range everywhere is (after, upTo]: `after` exclusive, `upTo` inclusive.
 */
export type Position = ReadonlyMap<string, Offset>

/** The last applied offset of a partition; −1 where nothing is. */
export function offsetIn(position: Position, partition: string): Offset {
  return position.get(partition) ?? -1
}

/** True where `position` stands at or after `other` in every partition. */
export function reaches(position: Position, other: Position): boolean {
  for (const [partition, offset] of other) {
    if (offsetIn(position, partition) < offset) return false
  }
  return true
}

export function samePosition(a: Position, b: Position): boolean {
  return reaches(a, b) && reaches(b, a)
}

/** How many offsets lie in (from, to], summed over the partitions of `to`. Offsets that hold no event count. */
export function distance(from: Position, to: Position): number {
  let sum = 0
  for (const [partition, offset] of to) sum += Math.max(0, offset - offsetIn(from, partition))
  return sum
}

/** Order of partition names: by UTF-8 bytes, so that it is the same in every language. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // UTF-16 puts surrogates below U+E000–U+FFFF, UTF-8 above.
    return (x >= 0xd800 && x < 0xe000) === (y >= 0xd800 && y < 0xe000) ? x - y : x >= 0xd800 && x < 0xe000 ? 1 : -1
  }
  return a.length - b.length
}

/** `orders/0@41,orders/1@17`, partitions in UTF-8 order; `@ , %` in names are percent-encoded. Empty: "". */
export function formatPosition(position: Position): string {
  return [...position]
    .filter(([, offset]) => offset >= 0)
    .sort(([a], [b]) => compareUtf8(a, b))
    .map(([partition, offset]) => `${formatPartition(partition)}@${offset}`)
    .join(',')
}

/** The name as it stands in a position. */
export function formatPartition(partition: string): string {
  return partition.replace(/[@,%]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Reads what formatPosition writes. Throws USAGE naming the part that is wrong. */
export function parsePosition(text: string): Position {
  const position = new Map<string, Offset>()
  for (const part of text.split(',')) {
    const match = /^([^@]+)@(\d+)$/.exec(part)
    const offset = Number(match?.[2])
    if (match === null || !Number.isSafeInteger(offset)) {
      throw new RehydrateError('USAGE', {
        message: `"${part}" is not a position.`,
        expected: 'PARTITION@OFFSET,PARTITION@OFFSET…, e.g. orders/0@41',
        actual: part,
      })
    }
    const partition = parsePartition(match[1] as string)
    if (position.has(partition)) {
      throw new RehydrateError('USAGE', { message: `The position names partition ${partition} twice.`, actual: text })
    }
    position.set(partition, offset)
  }
  return position
}

export function parsePartition(text: string): string {
  return text.replace(/%(40|2C|25)/gi, (code) => decodeURIComponent(code))
}

/** For JSON and for the manifest; partitions in UTF-8 order, those with nothing applied left out. */
export function positionToJson(position: Position): Record<string, Offset> {
  const entries = [...position].filter(([, offset]) => offset >= 0).sort(([a], [b]) => compareUtf8(a, b))
  return Object.fromEntries(entries)
}

export function positionFromJson(json: Readonly<Record<string, Offset>>): Position {
  return new Map(Object.entries(json))
}
