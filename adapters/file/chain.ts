import { createHash, type Hash } from 'node:crypto'
import { INPUT_BLOCK, milestonesFrom, nextMilestone, type Milestones, type Offset } from '../../src/index.js'
import type { LinePage } from './lines.js'

const CHAIN_START = Buffer.alloc(32)

/** Where a block begins, and the chain over all before it. */
export interface BlockStart {
  readonly offset: Offset
  readonly chain: Buffer
  /** Chains before this block and some earlier ones; null where the mark this chain goes on from did not say. */
  readonly earlier: Milestones | null
  /** Where to seek to. */
  readonly segment: string
  readonly byte: number
}

/** A block that began before a page, with what was hashed of it, or that begins in it at `line` of the page. */
interface PageBlock {
  readonly start: BlockStart
  readonly line: number
  readonly hashed: Hash | null
}

/** The chain over one page, from which the mark after each of its lines can be told at any time. */
export interface PageChain {
  inputAt(line: number): { readonly input: string; readonly block: BlockStart }
}

/**
 * The input chain: c₀ = 32 zero bytes, and at the end of each block of 1,024 offsets
 * c = SHA256(c ‖ SHA256(bytes of the block)), the bytes being each line without its terminator, and one 0x0A.
 * Inside a block it is SHA256(c ‖ SHA256(bytes of the block so far)).
 */
export class InputChain {
  #start: BlockStart | null
  #hash: Hash = createHash('sha256')

  /** Goes on at a block's start; null: at the log's first line. */
  constructor(start: BlockStart | null) {
    this.#start = start
  }

  /** Takes lines [from, to) of a page; they must follow what was taken before. */
  take(page: LinePage, from: number, to: number): PageChain {
    const blocks: PageBlock[] = []
    let line = from
    while (line < to) {
      const offset = page.offset + line
      const start = this.#blockOf(page, line)
      blocks.push({ start, line, hashed: offset === start.offset ? null : this.#hash.copy() })
      const end = Math.min(to, line + INPUT_BLOCK - (offset % INPUT_BLOCK))
      this.#hash.update(page.slice(line, end))
      line = end
    }
    return { inputAt: (at) => inputAt(page, blocks, at) }
  }

  /** Closes the open block where the line belongs to a later one. */
  #blockOf(page: LinePage, line: number): BlockStart {
    const offset = page.offset + line
    const open = this.#start
    if (open !== null && blockAt(open.offset) === blockAt(offset)) return open
    const chain = open === null ? CHAIN_START : link(open.chain, this.#hash)
    const earlier = open === null ? milestonesFrom(offset)
      : open.earlier === null ? null
      : nextMilestone(open.earlier, offset, () => chain.toString('hex'))
    this.#hash = createHash('sha256')
    this.#start = { offset, chain, earlier, segment: page.segment.name, byte: page.byteOf(line) }
    return this.#start
  }
}

function inputAt(page: LinePage, blocks: readonly PageBlock[], line: number): { input: string; block: BlockStart } {
  let index = blocks.length - 1
  while ((blocks[index] as PageBlock).line > line) index--
  const { start, line: from, hashed } = blocks[index] as PageBlock
  const hash = (hashed?.copy() ?? createHash('sha256')).update(page.slice(from, line + 1))
  return { input: link(start.chain, hash).toString('hex'), block: start }
}

function blockAt(offset: Offset): number {
  return Math.floor(offset / INPUT_BLOCK)
}

function link(chain: Buffer, block: Hash): Buffer {
  return createHash('sha256').update(chain).update(block.digest()).digest()
}
