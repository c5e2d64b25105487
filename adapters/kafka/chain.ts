import { createHash, type Hash } from 'node:crypto'
import { INPUT_BLOCK, milestonesFrom, nextMilestone, type Milestones, type Offset } from '../../src/index.js'
import type { RecordPage } from './page.js'

const CHAIN_START = Buffer.alloc(32)

/** Where an aligned block of offsets begins, and the chain over all before it. */
export interface BlockStart {
  readonly offset: Offset
  readonly chain: Buffer
  /** Chains before this block and some earlier ones; null where the mark this chain goes on from did not say. */
  readonly earlier: Milestones | null
}

/** A block that began before a page, with what was hashed of it, or that begins at record `index` of the page. */
interface PageBlock {
  readonly start: BlockStart
  readonly index: number
  readonly hashed: Hash | null
}

/** The chain over one page, from which the mark after each of its records can be told at any time. */
export interface PageChain {
  inputAt(index: number): { readonly input: string; readonly block: BlockStart }
}

/**
 * The input chain: c₀ = 32 zero bytes, and behind each aligned block of 1,024 offsets that holds a record
 * c = SHA256(c ‖ SHA256(records of the block)), as RecordHasher takes them; inside a block, of its records so far.
 * It depends on no batch: not of the log, not of ours.
 */
export class InputChain {
  #start: BlockStart | null
  #hash: Hash = createHash('sha256')

  /** Goes on at a block's start; null: before the first record. */
  constructor(start: BlockStart | null) {
    this.#start = start
  }

  /** Takes a whole page, which must follow what was taken before. */
  take(page: RecordPage): PageChain {
    const blocks: PageBlock[] = []
    for (let index = 0; index < page.count;) {
      const offset = page.offsetAt(index)
      const isBegun = this.#start !== null && offset < this.#start.offset + INPUT_BLOCK
      const start = isBegun ? this.#start as BlockStart : this.#begin(blockStart(offset))
      blocks.push({ start, index, hashed: isBegun ? this.#hash.copy() : null })
      const end = page.indexOf(start.offset + INPUT_BLOCK)
      page.hashInto(this.#hash, index, end)
      index = end
    }
    return { inputAt: (at) => inputAt(page, blocks, at) }
  }

  /** Closes the open block, and says of all that begin up to this one what is before them. */
  #begin(offset: Offset): BlockStart {
    const open = this.#start
    const chain = open === null ? CHAIN_START : link(open.chain, this.#hash)
    let earlier = open === null ? milestonesFrom(offset) : open.earlier
    for (let next = (open?.offset ?? offset) + INPUT_BLOCK; earlier !== null && next <= offset; next += INPUT_BLOCK) {
      earlier = nextMilestone(earlier, next, () => chain.toString('hex'))
    }
    this.#hash = createHash('sha256')
    this.#start = { offset, chain, earlier }
    return this.#start
  }
}

function inputAt(page: RecordPage, blocks: readonly PageBlock[], at: number): { input: string; block: BlockStart } {
  let block = blocks.length - 1
  while ((blocks[block] as PageBlock).index > at) block--
  const { start, index, hashed } = blocks[block] as PageBlock
  const hash = page.hashInto(hashed?.copy() ?? createHash('sha256'), index, at + 1)
  return { input: link(start.chain, hash).toString('hex'), block: start }
}

/** The first offset of the block that an offset lies in. */
function blockStart(offset: Offset): Offset {
  return offset - offset % INPUT_BLOCK
}

function link(chain: Buffer, block: Hash): Buffer {
  return createHash('sha256').update(chain).update(block.digest()).digest()
}
