import { isMerged } from '../log/domains.js'
import { offsetIn, reaches, type Position } from '../log/position.js'
import type { EventBatch, EventSource, Mark } from '../log/source.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Projection } from '../projection/define.js'
import type { StoreSession } from '../store/contract.js'
import type { RunEvent, World } from './api.js'
import type { Committer } from './commit.js'
import type { Cut } from './cut.js'
import type { IdWindow } from './ids.js'
import { Owners } from './owners.js'
import { Pacer } from './limits.js'
import { LogTime } from './log-time.js'
import type { ProgressMeter } from './progress.js'
import type { Settings } from './settings.js'
import { RUN_EVENTS, type Settling, type Turn, type TurnOptions } from './turn.js'
import { turnsOf } from './turns.js'
import type { WorkingSet } from './working-set.js'

export interface SessionPorts {
  readonly source: EventSource
  readonly projection: Projection
  readonly store: StoreSession
  readonly world: World
  readonly settings: Settings
  readonly cut: Cut
  readonly workingSet: WorkingSet
  readonly ids: IdWindow
  readonly committer: Committer
  readonly meter: ProgressMeter
  /** Counts of the whole run, over all its sessions. */
  readonly totals: Totals
  readonly signal: AbortSignal
  /** Keys belong to one of several order domains. */
  readonly owners: boolean
  /** Partition → the offset before its first; for logs whose beginning is missing. */
  readonly before: Position
  readonly tell: (event: RunEvent) => void
}

export interface Totals {
  duplicates: number
  skipped: number
  checkpoints: number
}

/** After so much work the loop lets timers, signals and I/O have their turn. */
const BREATH_MS = 25
const BEAT_MS = 2_000
/** A wait is cut into pieces, so that a limit that changes holds soon. */
const PACE_MS = 250
/** Checkpoints by time take at most about one part in so many of the time. */
const PAUSE_SHARE = 10
/** While the digest is kept up at each checkpoint, all that changed is in memory twice: so sooner. */
const KEPT_DIGEST_BYTES = 64 * 1024 * 1024

/** THE LOOP: turns of the log are applied to the working set, which is committed with the position, all or nothing. */
export class ReplaySession {
  readonly #ports: SessionPorts
  readonly #applier: EventApplier
  /** Null: there is one order domain, or none. */
  readonly #owners: Owners | null
  readonly #pacer: Pacer
  #logTime: LogTime | null = null
  #breathMs: number
  #beatMs: number
  #checkpointMs: number
  #pauseMs = 0
  #moved = false

  constructor(ports: SessionPorts) {
    this.#ports = ports
    this.#applier = new EventApplier(ports.projection)
    this.#owners = ports.owners ? new Owners(ports.projection) : null
    this.#pacer = new Pacer(ports.world.clock, ports.settings.limits)
    this.#breathMs = this.#beatMs = this.#checkpointMs = ports.world.clock.monotonicMs()
  }

  /** Something was applied since the last commit. */
  get moved(): boolean { return this.#moved }

  /** Applies everything up to `end`, inclusive, and of the partitions `toEnd` on to their ends. False where the signal came first. */
  async replayTo(end: Position, toEnd: ReadonlySet<string>): Promise<boolean> {
    const { cut, meter, tell, signal, totals, projection } = this.#ports
    const settling = await this.#settling(end)
    const options = { ...this.#turnOptions(end, toEnd), ...(settling !== null && { settling }) }
    const unsettled = new Set([...toEnd].filter((partition) => offsetIn(end, partition) > offsetIn(options.from, partition)))
    const turns = turnsOf(options, projection, cut)
    try {
      for (let turn = await turns.next(); turn !== null; turn = await turns.next()) {
        const applied = await this.#applyTurn(turn)
        cut.advance(turn)
        const { batch: { partition, atEnd }, through } = turn
        if (atEnd === true && through >= offsetIn(end, partition)) unsettled.delete(partition)
        this.#moved = true
        totals.duplicates += turn.duplicates
        meter.moved(applied)
        const progress = meter.report(cut.position, end)
        if (progress !== null) tell(progress)
        if (this.checkpointDue()) await this.checkpoint()
        await this.#breathe()
        await this.#pace(turn)
        if (signal.aborted) break
      }
    } finally {
      await turns.close()
    }
    // While following by time, the rest of the range waits for the log to go on.
    if (settling !== null && !signal.aborted) return true
    return unsettled.size === 0 && reaches(cut.position, end) && cut.held.size === 0
  }

  /** While following by time: how far the log has come by its own. Null: all that is there is applied. */
  async #settling(end: Position): Promise<Settling | null> {
    const { source, settings, projection, cut, before, signal } = this.#ports
    const { order, futureMs, latenessMs, placement } = projection
    if (settings.until.kind !== 'follow' || !isMerged(order) || latenessMs === null) return null
    const merged = [...cut.merge.values()].map(({ timeMs }) => timeMs)
    this.#logTime ??= new LogTime(source, futureMs, Math.max(Number.NEGATIVE_INFINITY, ...merged))
    await this.#logTime.moveTo(end, before, settings.limits, signal)
    const { ms, tails } = this.#logTime
    return { partitions: [...before.keys()], logTimeMs: ms, latenessMs, byTimeOnly: placement?.moves === true, tails }
  }

  checkpointDue(): boolean {
    const { workingSet, settings, world, committer } = this.#ports
    const bytes = committer.pending ? settings.checkpointBytes : Math.min(settings.checkpointBytes, KEPT_DIGEST_BYTES)
    return workingSet.dirtyBytes >= bytes || workingSet.full
      || world.clock.monotonicMs() - this.#checkpointMs >= Math.max(settings.checkpointMs, PAUSE_SHARE * this.#pauseMs)
  }

  /** Commits what was applied since the last one. Does nothing where nothing was. */
  async checkpoint(options: { readonly durable: boolean } = { durable: false }): Promise<void> {
    const { workingSet, committer, cut, ids, world, tell } = this.#ports
    const startedMs = world.clock.monotonicMs()
    this.#checkpointMs = startedMs
    if (!this.#moved) return
    const keys = workingSet.dirtyKeys
    await committer.commit(cut, workingSet, ids, { sealed: false, durable: options.durable })
    workingSet.committed()
    this.committed()
    const endedMs = world.clock.monotonicMs()
    this.#checkpointMs = endedMs
    this.#pauseMs = endedMs - startedMs
    tell({ kind: 'checkpoint', position: new Map(cut.position), keys, pauseMs: endedMs - startedMs })
  }

  /** Commits what a source has learnt of the marks, at the position of the last commit. Nothing where something was applied since. */
  async keep(marks: ReadonlyMap<string, Mark>): Promise<void> {
    const { workingSet, committer, cut, ids } = this.#ports
    if (this.#moved || committer.checkpoint === null) return
    cut.keep(marks)
    await committer.commit(cut, workingSet, ids, { sealed: committer.checkpoint.manifest.sealed, durable: false })
    workingSet.committed()
  }

  /** Everything applied so far is in the store. */
  committed(): void {
    this.#moved = false
    this.#ports.totals.checkpoints++
  }

  /** Lets the rest of the process run, and says now and then that this writer lives. */
  async #breathe(): Promise<void> {
    const { clock } = this.#ports.world
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#breathMs < BREATH_MS) return
    await this.beatIfDue()
    await clock.sleep(0)
    this.#breathMs = clock.monotonicMs()
  }

  /** Waits as long as the limit of bytes per second says. */
  async #pace({ batch, from, to }: Turn): Promise<void> {
    const { world, meter, signal } = this.#ports
    // A delivery may be handed out in several turns.
    this.#pacer.took(batch.length === 0 ? batch.bytes : batch.bytes * ((to - from) / batch.length))
    for (let waitMs = this.#pacer.waitMs(); waitMs > 0 && !signal.aborted; waitMs = this.#pacer.waitMs()) {
      if (this.checkpointDue()) await this.checkpoint()
      await this.beatIfDue()
      await world.clock.sleep(Math.min(waitMs, PACE_MS), signal)
      meter.paced()
    }
  }

  async beatIfDue(): Promise<void> {
    const { clock } = this.#ports.world
    if (clock.monotonicMs() - this.#beatMs < BEAT_MS) return
    this.#beatMs = clock.monotonicMs()
    await this.#ports.store.beat(clock.nowMs())
  }

  /** Number of events applied. */
  async #applyTurn(turn: Turn): Promise<number> {
    let applied = 0
    for (let from = turn.from; from < turn.to; from += RUN_EVENTS) {
      applied += await this.#applyRun(turn.batch, from, Math.min(turn.to, from + RUN_EVENTS))
    }
    return applied
  }

  /** Applies records [from, to). All awaits happen between preparing and applying, so that handlers are synchronous. */
  async #applyRun(batch: EventBatch, from: number, to: number): Promise<number> {
    const { workingSet, world } = this.#ports
    const { prepared, failure } = this.#prepare(batch, from, to)
    if (workingSet.waiting) await workingSet.load()
    world.purity.enter()
    try {
      for (const event of prepared) this.#applyEvent(event)
    } finally {
      world.purity.leave()
    }
    // Events before the one that failed come first: the error of the earliest offset is the one that is told.
    if (failure !== null) throw failure.error
    return prepared.length
  }

  #prepare(batch: EventBatch, from: number, to: number): { prepared: PreparedEvent[]; failure: { error: unknown } | null } {
    const { projection, settings, workingSet, ids, world, totals } = this.#ports
    const prepared: PreparedEvent[] = []
    const leftOut = settings.waivers.leftOut.get(batch.partition)
    world.purity.enter()
    try {
      for (let i = from; i < to; i++) {
        if (leftOut !== undefined && this.#isLeftOut(batch, i, leftOut)) continue
        if (projection.idWindow > 0 && ids.isRepeat(batch.event(i))) {
          totals.duplicates++
          continue
        }
        const event = this.#applier.prepare(batch, i, workingSet.slotOf)
        if (event === null) totals.skipped++
        else prepared.push(event)
      }
      return { prepared, failure: null }
    } catch (error) {
      return { prepared, failure: { error } }
    } finally {
      world.purity.leave()
    }
  }

  #isLeftOut(batch: EventBatch, i: number, leftOut: ReadonlyMap<number, string>): boolean {
    const offset = batch.offsetAt(i)
    const code = leftOut.get(offset)
    if (code === undefined) return false
    this.#ports.cut.accept({ code, partition: batch.partition, from: offset, to: offset })
    return true
  }

  #applyEvent(prepared: PreparedEvent): void {
    const { workingSet } = this.#ports
    if (this.#owners !== null) {
      for (const slot of prepared.slots) if (this.#owners.claim(slot, prepared.event)) workingSet.ownerChanged(slot)
    }
    this.#applier.apply(prepared, workingSet.changed)
  }

  #turnOptions(upTo: Position, toEnd: ReadonlySet<string>): TurnOptions {
    const { source, cut, signal, world, meter, before, settings: { limits, waivers: { gaps } } } = this.#ports
    const from = new Map([...upTo.keys()].map((partition): [string, number] =>
      [partition, Math.max(offsetIn(cut.position, partition), offsetIn(before, partition))]))
    return {
      source, from, upTo, toEnd, limits, gaps, signal,
      marks: cut.marks(),
      pick: (n) => world.pick(n),
      waiting: (what) => meter.waiting(what),
    }
  }
}
