import { RehydrateError } from '../errors.js'
import { type Entries, copyOfEntries } from './entries.js'
import { compareHashes } from './order.js'
import { type EmitPage, type Part, PageWriter } from './page-writer.js'
import { type TrieRoot, ENTRY_BYTES, GROUP_LEVELS, NIBBLES, nibbleAt } from './pages.js'

/** The part of the trie under a path. */
interface Subtree {
  readonly path: string
  readonly part: Part
}

/**
 * Builds the trie of a collection from runs of entries in ascending order, and emits the pages of a run as soon as it has it. It
 * keeps about a hundred bytes per run.
 */
export class TrieBuilder {
  readonly #writer: PageWriter
  readonly #subtrees: Subtree[] = []
  /** The last kh there was. */
  #last: Uint8Array | null = null

  /** `emit` null: only the root is wanted, and entries need no keys. */
  constructor(collection: string, emit: EmitPage | null) {
    this.#writer = new PageWriter(collection, emit)
  }

  /**
   * Adds all entries of the collection whose kh begin with the same `depth` bits, a multiple of four; returns the node over them.
   * The memory may be used again. UNEXPECTED where kh do not ascend strictly, in it and from run to run, or are not all of one
   * beginning.
   */
  add(run: Entries, depth = 0): Part {
    if (run.count === 0) return this.#writer.build('', run)
    const path = this.#checkedPath(run.hashes, depth / GROUP_LEVELS)
    const node = this.#writer.build(path, run)
    const part = node.entries === null ? node : this.#writer.build(path, copyOfEntries(run))
    this.#subtrees.push({ path, part })
    return part
  }

  /** Emits what is left, the root last. */
  finish(): TrieRoot {
    return this.#writer.finish(this.#fold('', 0, this.#subtrees.length))
  }

  /** The node under `path` over the subtrees [from, to), whose paths all begin with it. */
  #fold(path: string, from: number, to: number): Part {
    if (to - from === 1 && this.#subtrees[from]!.path === path) return this.#subtrees[from]!.part
    const parts: Part[] = []
    for (let i = from; i < to;) {
      const nibble = this.#subtrees[i]!.path[path.length]!
      const first = i
      while (i < to && this.#subtrees[i]!.path[path.length] === nibble) i++
      parts.push(this.#fold(path + nibble, first, i))
    }
    return this.#writer.join(path, parts)
  }

  #checkedPath(run: Uint8Array, length: number): string {
    let before = this.#last
    let beforeAt = 0
    for (let at = 0; at < run.length; at += ENTRY_BYTES) {
      const order = before === null ? -1 : compareHashes(before, beforeAt, run, at)
      if (order > 0) throw unexpected('Entries of the digest came out of order.')
      if (order === 0) throw unexpected('Two entries of a collection have the same key hash.')
      before = run
      beforeAt = at
    }
    const path = pathOf(run, 0, length)
    const known = this.#subtrees.at(-1)?.path
    const isNew = known === undefined || !(path.startsWith(known) || known.startsWith(path))
    if (!isNew || pathOf(run, beforeAt, length) !== path) throw unexpected('A run of entries is not all of one subtree.')
    this.#last = new Uint8Array(run.subarray(beforeAt))
    return path
  }
}

/** The first `length` nibbles of a hash as text. */
function pathOf(hashes: Uint8Array, at: number, length: number): string {
  let path = ''
  for (let i = 0; i < length; i++) path += NIBBLES[nibbleAt(hashes, at, i)]!
  return path
}

function unexpected(message: string): RehydrateError {
  return new RehydrateError('UNEXPECTED', { message })
}
