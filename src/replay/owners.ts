import { RehydrateError } from '../errors.js'
import { domainOf, domainsOf, placeOf } from '../log/domains.js'
import type { Home } from '../log/partitioner.js'
import type { RecordedEvent } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Slot } from '../projection/view.js'

/** Which order domain a state key belongs to: also for keys deleted since, and for absent ones that were only read. */
export const OWNERS = '$owners'

/** Collection names hold no colon, so the pair is unambiguous. */
export function ownerKey(collection: string, key: string): string {
  return `${collection}:${key}`
}

/**
 * The log itself says which domain a state key belongs to: it is the key of the event, and the partitioner proves of each record that its
 * key has the number of its partition. A number is one domain under order 'copartition', and under 'partition' where the log is of one
 * topic. Then no two domains can touch one key, and there is nothing to keep.
 */
function ownersAreProved({ order, placement, types, anyType }: Projection, partitions: Iterable<string>, isShard: boolean): boolean {
  if (placement === null || placement.moves) return false
  const isByKey = [...types.values(), ...(anyType === null ? [] : [anyType])].every(({ keys }) => keys === null)
  // A shard does not know which topics the others read.
  return isByKey && (order === 'copartition' || (!isShard && topicsOf(partitions).size < 2))
}

function topicsOf(partitions: Iterable<string>): Set<string> {
  return new Set([...partitions].map((partition) => placeOf(partition)?.topic ?? partition))
}

/**
 * Owners are kept where these partitions are several order domains, unless the log proves them. Of a shard always, or unless every one
 * would see the same proof: by them, a join proves that no key is in two shards.
 */
export function keepsOwners(projection: Projection, partitions: Iterable<string>, isShard = false): boolean {
  const { order } = projection
  const all = new Set(partitions)
  const isOwned = (order === 'partition' || order === 'copartition') && !ownersAreProved(projection, all, isShard)
  return isOwned && (isShard || domainsOf(order, all).size > 1)
}

type Place = Pick<RecordedEvent, 'partition' | 'offset' | 'key'>

/** Claims the keys of events for the domains these stand in. */
export class Owners {
  readonly #projection: Projection
  readonly #homes = new Map<string, Pick<Home, 'owner' | 'former'>>()

  constructor(projection: Projection) {
    this.#projection = projection
  }

  /**
   * True where the key is new to the domain. KEY_CROSSES_PARTITIONS where another domain touched it before: between domains there is no
   * order, so a fold over both would depend on how they interleave. A key that moved with its topic's growth goes from its old domain
   * to the new one, once; LATE_EVENT for what the old one brings after that.
   */
  claim(slot: Slot, event: Place): boolean {
    const { owner, former } = this.#homeOf(event)
    if (slot.owner === owner) return false
    if (slot.owner === null || former.includes(slot.owner)) {
      slot.owner = owner
      return true
    }
    throw slot.owner.startsWith(`${owner} > `) ? movedOn(slot, slot.owner, event) : crossed(slot, slot.owner, owner, event)
  }

  #homeOf({ partition, offset, key }: Place): Pick<Home, 'owner' | 'former'> {
    const { placement, order } = this.#projection
    if (placement?.moves === true) return placement.homeOf(partition, offset, key)
    let home = this.#homes.get(partition)
    if (home === undefined) this.#homes.set(partition, (home = { owner: domainOf(order, partition) ?? partition, former: [] }))
    return home
  }
}

function crossed({ collection, key }: Slot, owner: string, domain: string, { partition, offset }: Place): RehydrateError {
  return new RehydrateError('KEY_CROSSES_PARTITIONS', {
    message: `${collection.name}/${key} belongs to ${owner}, and ${partition}@${offset} touches it.`,
    partition, offset, collection: collection.name, key,
    expected: `events of ${owner} only`, actual: domain === partition ? `${partition}@${offset}` : `${partition}@${offset}, of ${domain}`,
  })
}

function movedOn({ collection, key }: Slot, owner: string, { partition, offset }: Place): RehydrateError {
  const home = owner.slice(owner.lastIndexOf('>') + 2)
  return new RehydrateError('LATE_EVENT', {
    message: `${partition}@${offset} touches ${collection.name}/${key}, whose events in ${home}, where it moved, are applied already.`,
    partition, offset, collection: collection.name, key, expected: `before the first event in ${home}`, actual: `${partition}@${offset}`,
  })
}
