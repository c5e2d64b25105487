import { brokerError, Passing } from './broker-errors.js'
import type { Connections } from './connections.js'
import { noAnswer, type Leader } from './leaders.js'
import { FETCH_API, fetchRecords, inWireOrder, type FetchAnswer, type FetchedFrom } from './messages.js'
import { nameOf, type FetchLimits, type FetchRequest } from './port.js'

/** One partition, as somebody waits for it. */
export interface FetchWish {
  readonly request: FetchRequest & Leader
  readonly limits: FetchLimits
  /** "": where we are is not to be said. */
  readonly rack: string
  /** Does nobody wait for it any more? */
  isOver(): boolean
}

/** A quota lets something through in this time; what lets nothing through is trouble. */
const HELD_BACK_MS = 300_000

interface Waiting extends FetchWish {
  readonly name: string
  resolve(answer: FetchedFrom): void
  reject(error: unknown): void
}

/**
 * The fetches from one broker, one at a time: each asks for all partitions that are waited for at that moment, so that the more wait, the
 * more go together.
 *
 * Those that were answered last are asked for last, and the first in a request is always served if it can be: so none starves, whatever
 * the limits, and also at brokers that serve one tiered partition per request. An empty answer behind a partition that was served says
 * nothing (that one may have taken the room): it is no answer, and the partition is asked for again, before those that were served.
 */
export class FetchQueue {
  readonly #nodeId: number
  readonly #connections: Connections
  readonly #waiting = new Set<Waiting>()
  /** When a partition was answered last, as a rising number. */
  readonly #answered = new Map<string, number>()
  #answers = 0
  #isRunning = false
  #heldBackSinceMs: number | null = null

  constructor(nodeId: number, connections: Connections) {
    this.#nodeId = nodeId
    this.#connections = connections
  }

  /** What the broker says of this partition, errors too. Rejects with what ended the request. */
  ask(wish: FetchWish): Promise<FetchedFrom> {
    return new Promise((resolve, reject) => {
      this.#waiting.add({ ...wish, name: nameOf(wish.request), resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (;;) {
      // What is asked for in one turn of the event loop goes together.
      await new Promise((done) => { setImmediate(done) })
      const members = this.#next()
      if (members.length === 0) break
      try {
        this.#settle(members, await this.#fetch(members))
      } catch (error) {
        for (const member of members) this.#end(member).reject(error)
      }
    }
    this.#isRunning = false
  }

  /** Those that may go into one request with whoever waits longest, as the broker will serve them. */
  #next(): Waiting[] {
    for (const member of this.#waiting) if (member.isOver()) this.#waiting.delete(member)
    const turn = ({ name }: Waiting): number => this.#answered.get(name) ?? 0
    const [first, ...others] = [...this.#waiting].sort((a, b) => turn(a) - turn(b))
    if (first === undefined) return []
    const names = new Set([first.name])
    const fit = others.filter(({ name, rack, limits }) => {
      const fits = rack === first.rack && limits.readCommitted === first.limits.readCommitted && !names.has(name)
      if (fits) names.add(name)
      return fits
    })
    return inWireOrder([first, ...fit].map((member) => ({ member, ...member.request }))).map(({ member }) => member)
  }

  async #fetch(members: readonly Waiting[]): Promise<FetchAnswer> {
    const [{ rack, limits: { readCommitted } }] = members as [Waiting]
    const requests = members.map(({ request, limits }) => ({ ...request, bytes: limits.bytesPerPartition }))
    const waitMs = Math.max(...members.map(({ limits }) => limits.waitMs))
    const bytes = Math.max(...members.map(({ limits }) => limits.bytes))
    const terms = { readCommitted, rack, waitMs, bytes }
    const answer = await this.#connections.send(this.#nodeId, (link) => {
      return fetchRecords(requests, terms, link.supports(FETCH_API, 13) ? 13 : 11)
    }, waitMs)
    if (answer === null) throw new Passing('The broker knows no fetch.')
    if (answer.error !== 0) throw brokerError(answer.error, 'a fetch')
    return answer
  }

  #settle(members: readonly Waiting[], { partitions, throttleMs }: FetchAnswer): void {
    // A broker whose quota is used up says nothing but for how long: the next request waits so long, and is the same.
    if (partitions.length === 0 && throttleMs > 0) return this.#heldBack(members)
    this.#heldBackSinceMs = null
    const answers = new Map(partitions.map((partition) => [nameOf(partition), partition]))
    const isShared = partitions.filter(({ records }) => records.length > 0).length > 1
    let isServed = false
    for (const member of members) {
      const answer = answers.get(member.name)
      if (answer === undefined) {
        this.#end(member).reject(noAnswer(member.name))
        continue
      }
      const isEmpty = answer.records.length === 0
      if (isEmpty && isServed && answer.error === 0 && answer.preferredReplica < 0) continue
      isServed ||= !isEmpty
      // One that is worked off late must not hold the bytes of all the others.
      this.#end(member).resolve(isShared && !isEmpty ? { ...answer, records: copyOf(answer.records) } : answer)
    }
  }

  #heldBack(members: readonly Waiting[]): void {
    this.#heldBackSinceMs ??= Date.now()
    const forMs = Date.now() - this.#heldBackSinceMs
    if (forMs < HELD_BACK_MS) return
    const failure = new Passing(`${this.#connections.nameOf(this.#nodeId)} has answered with throttle times only for ${forMs} ms.`)
    for (const member of members) this.#end(member).reject(failure)
  }

  #end(member: Waiting): Waiting {
    this.#waiting.delete(member)
    this.#answered.set(member.name, ++this.#answers)
    return member
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
