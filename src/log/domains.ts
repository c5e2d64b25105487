/**
 * In which order the events of several partitions apply. An order domain is a set of partitions whose events form one sequence;
 * between two domains there is no order, so that no key belongs to both.
 *
 * - 'partition': each partition is a domain.
 * - 'copartition': the partitions with one index, of all topics: orders/3 with payments/3.
 * - 'time': all partitions are one domain.
 * - 'any': there are none; handlers commute, as their author claims.
 */
export type Order = 'partition' | 'copartition' | 'time' | 'any'

/** The name of the one domain of order 'time'. */
export const WHOLE_LOG = '*'

/** A domain may have several partitions, which are merged by recordedAt. */
export function isMerged(order: Order): boolean {
  return order === 'time' || order === 'copartition'
}

/** The order domain of a partition, by name; null under order 'any'. Domains are whole: a shard or a worker takes all of one or none. */
export function domainOf(order: Order, partition: string): string | null {
  switch (order) {
    case 'partition': return partition
    case 'copartition': return partition.slice(partition.lastIndexOf('/') + 1)
    case 'time': return WHOLE_LOG
    case 'any': return null
  }
}

/** The domains of these partitions, each with its partitions in the order given. Under order 'any' each partition stands alone. */
export function domainsOf(order: Order, partitions: Iterable<string>): Map<string, string[]> {
  const domains = new Map<string, string[]>()
  for (const partition of partitions) {
    const domain = domainOf(order, partition) ?? partition
    const members = domains.get(domain)
    if (members === undefined) domains.set(domain, [partition])
    else members.push(partition)
  }
  return domains
}

/**
 * What one shard takes whole: the domain, or where keys move between domains because topics grew (partition `counts` over time, e.g.
 * 4 then 6) all domains that a key may have come through. A key is in h mod 4 and then in h mod 6, so that it never leaves
 * h mod gcd(4, 6). Null under order 'any': each partition may go anywhere.
 */
export function familyOf(order: Order, counts: readonly number[] | null, partition: string): string | null {
  const domain = domainOf(order, partition)
  if (domain === null || counts === null || counts.length < 2) return domain
  const { topic, index } = placeOf(partition) ?? { topic: '', index: 0 }
  const family = index % counts.reduce(greatestDivisor)
  return order === 'partition' ? `${topic}/${family}` : String(family)
}

/** TOPIC/N, taken apart; null for another name. */
export function placeOf(partition: string): { readonly topic: string; readonly index: number } | null {
  const match = /^(.+)\/(0|[1-9]\d*)$/s.exec(partition)
  return match === null ? null : { topic: match[1] as string, index: Number(match[2]) }
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
