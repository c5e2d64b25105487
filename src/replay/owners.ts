import { RehydrateError } from '../errors.js'
import type { Slot } from '../projection/view.js'

/** Which order domain a state key belongs to: also for keys deleted since, and for absent ones that were only read. */
export const OWNERS = '$owners'

/** Collection names hold no colon, so the pair is unambiguous. */
export function ownerKey(collection: string, key: string): string {
  return `${collection}:${key}`
}

/**
 * Claims a key for a domain. True where it is new to it. KEY_CROSSES_PARTITIONS where another domain touched it before: between
 * domains there is no order, so a fold over both would depend on how they interleave.
 */
export function claim(slot: Slot, domain: string, offset: number): boolean {
  if (slot.owner === domain) return false
  if (slot.owner === null) {
    slot.owner = domain
    return true
  }
  throw new RehydrateError('KEY_CROSSES_PARTITIONS', {
    message: `${slot.collection.name}/${slot.key} belongs to ${slot.owner}, and ${domain}@${offset} touches it.`,
    partition: domain, offset, collection: slot.collection.name, key: slot.key,
    expected: `events of ${slot.owner} only`, actual: `${domain}@${offset}`,
  })
}
