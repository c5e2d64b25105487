/** So many units, a byte each, are a whole number that a double holds. */
const RANKED_UNITS = 6
const LARGEST = 0xff

interface Keyed {
  readonly key: string
}

/**
 * By key, in UTF-16 order. Keys of a kind begin alike; the units behind, as one number, decide most comparisons. Measured: a third of the
 * time of comparing texts.
 */
export function sortedByKey<T extends Keyed>(items: readonly T[]): T[] {
  const from = sharedUnits(items)
  const ranks = Float64Array.from(items, ({ key }) => rankOf(key, from))
  const order = Uint32Array.from(items, (_, i) => i)
  order.sort((a, b) => (ranks[a] as number) - (ranks[b] as number) || compareKeys(items[a] as T, items[b] as T))
  return Array.from(order, (i) => items[i] as T)
}

/** With how many units all keys begin. */
function sharedUnits(items: readonly Keyed[]): number {
  const first = items[0]?.key ?? ''
  let shared = first.length
  for (const { key } of items) {
    let i = 0
    while (i < shared && key.charCodeAt(i) === first.charCodeAt(i)) i++
    shared = i
  }
  return shared
}

/** Never greater for the lesser key: units that do not fit a byte are all the same here, and so is what follows them. */
function rankOf(key: string, from: number): number {
  let rank = 0
  let isOver = false
  for (let i = from; i < from + RANKED_UNITS; i++) {
    const unit = i < key.length ? key.charCodeAt(i) : 0
    isOver ||= unit >= LARGEST
    rank = rank * 0x100 + (isOver ? LARGEST : unit)
  }
  return rank
}

function compareKeys(a: Keyed, b: Keyed): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
