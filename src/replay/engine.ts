import type { RehydrateError } from '../errors.js'
import { beforeFirst, headOf } from '../log/bounds.js'
import { samePosition, type Position } from '../log/position.js'
import { tablesOf } from '../projection/tables.js'
import type { Checkpoint } from '../store/checkpoint.js'
import type { StoreSession } from '../store/contract.js'
import { mergeAccepted } from './accept.js'
import type { Phase, ReplayOptions, RunEvent, RunTotals, SealedRun, World } from './api.js'
import { boundsInOrder, checkPlacement } from './bounds-in-order.js'
import type { SealRequests } from './channel.js'
import { Committer } from './commit.js'
import { Cut } from './cut.js'
import { partitionsToEnd, partitionsToHaveWhole, passMs, refuseCompacted, whereRead } from './compacted.js'
import { isHandedOver } from './handover-record.js'
import { IDS, IdWindow } from './ids.js'
import { checkGrowth, checkIdentity } from './log-check.js'
import { keepsOwners, OWNERS } from './owners.js'
import { backfillOwners, dropOwners } from './owners-backfill.js'
import { nextPhase, type PhaseChange } from './phase.js'
import { settle, type Start } from './plan.js'
import { ProgressMeter } from './progress.js'
import { buildDigest, sampleStore } from './seal.js'
import { sealedRun } from './sealed-run.js'
import { ReplaySession, type Totals } from './session.js'
import type { Settings } from './settings.js'
import { runStopped, type Stage } from './stage.js'
import { readEngineCollection } from './state.js'
import { WorkingSet } from './working-set.js'

export interface EnginePorts {
  readonly options: ReplayOptions
  readonly settings: Settings
  readonly world: World
  readonly signal: AbortSignal
  readonly sealing: SealRequests
  readonly tell: (event: RunEvent) => void
}

const FOLLOW_POLL_MS = 200
const WATCH_MS = 1_000
/** So often marks are kept in a silence, by the time for which a compacted log keeps deletes: a stop then counts from there. */
const MARKS_SHARE = 0.02

/** One run from its plan to its seal: settles the start, drives the session, seals, follows. */
export class Engine {
  readonly #ports: EnginePorts
  readonly #meter: ProgressMeter
  readonly #totals: Totals = { duplicates: 0, skipped: 0, checkpoints: 0 }
  readonly #closing = new AbortController()
  readonly #uninstall: () => void
  #phase: Phase = 'planning'
  #generation: number | null = null
  #store: StoreSession | null = null
  #everSealed = false

  constructor(ports: EnginePorts) {
    this.#ports = ports
    this.#meter = new ProgressMeter(ports.world.clock)
    this.#uninstall = ports.world.purity.install()
    this.#tellPhase()
  }

  /** Resolves with the seal; rejects with RUN_STOPPED after a clean checkpoint, or with what went wrong. */
  async run(): Promise<SealedRun> {
    const { signal } = this.#ports
    if (signal.aborted) throw runStopped(new Map(), signal)
    void this.#watch()
    const { start, store } = await this.#begin()
    this.#change('planned')
    this.#everSealed = start.everSealed
    return await this.#drive(await this.#stage(start, store, store.checkpoint, start.end))
  }

  /** Tells the last phase, after an error. */
  failed(stopped: boolean): void {
    if (this.#phase === 'stopped' || this.#phase === 'sealed') return
    if (stopped && this.#phase === 'planning') this.#change('stop')
    else this.#change('failed')
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#uninstall()
    await this.#store?.close()
    await this.#ports.options.source.close()
  }

  /** Settles the start and takes the store for writing; settles again where another writer moved on in between. */
  async #begin(): Promise<{ start: Start; store: StoreSession }> {
    const { options, settings, world } = this.#ports
    const refuse = (error: Error): void => { throw error }
    for (;;) {
      this.#meter.waiting('the log to answer')
      const start = await settle(options, settings, world, refuse)
      this.#meter.moved(0)
      this.#meter.waiting(null)
      this.#generation = start.generation
      const store = await options.store.open({
        generation: start.generation, mode: 'write', incarnation: world.token(), owner: world.owner,
        nowMs: world.clock.nowMs(), takeover: settings.takeover, tables: tablesOf(options.projection),
      })
      // A state that was handed over meanwhile has the same manifest: it is refused on the next round.
      if (store.checkpoint?.manifestHash === start.checkpoint?.manifestHash && !isHandedOver(store.checkpoint)) {
        this.#store = store
        await sampleStore(store, () => world.token())
        return { start, store }
      }
      await store.close()
    }
  }

  /** Everything that one fold needs, around the state as it is stored. */
  async #stage(start: Start, store: StoreSession, checkpoint: Checkpoint | null, end: Position): Promise<Stage> {
    const { options, settings, world, signal, tell } = this.#ports
    const { source, projection } = options
    const cut = new Cut(checkpoint, start.marks, start)
    cut.haveWhole(partitionsToHaveWhole(projection, start.bounds))
    for (const accepted of start.accepted) cut.accept(accepted)
    for (const partition of start.unproved) cut.unprovable(partition)
    const committer = new Committer(store, checkpoint, projection, start.fingerprint, world.clock, settings.shard)
    const ids = new IdWindow(projection.idWindow, await readEngineCollection<[string, string]>(store, IDS, checkpoint))
    const owners = keepsOwners(projection, [...cut.position.keys(), ...end.keys()], settings.shard !== null)
    const workingSet = new WorkingSet(projection, store, {
      memoryBytes: settings.memoryBytes, owners, empty: checkpoint === null, digestKept: () => !committer.pending,
    })
    const before = beforeFirst(start.bounds)
    const ports = {
      source, projection, store, world, settings, cut, workingSet, ids, committer, signal, owners, before, tell,
      meter: this.#meter, totals: this.#totals,
    }
    const kept = cut.position.size > 0 && (await store.collections()).includes(OWNERS)
    if (owners && !kept && cut.position.size > 0) await backfillOwners(ports)
    if (!owners && kept) await dropOwners(ports)
    return { start, store, cut, committer, workingSet, ids, before, end, owners, session: new ReplaySession(ports) }
  }

  /** From the stage as it stands to the end of the run. */
  async #drive(first: Stage): Promise<SealedRun> {
    const { options, settings, sealing, tell } = this.#ports
    const follow = settings.until.kind === 'follow'
    let stage = first
    for (;;) {
      const toEnd = partitionsToEnd(options.projection, settings.until, stage.start.bounds)
      if (!(await stage.session.replayTo(stage.end, toEnd))) return await this.#drain(stage)
      stage = { ...stage, end: whereRead(stage.end, toEnd, stage.cut.position) }
      this.#tellProgress(stage)
      if (this.#phase === 'replaying' && follow) tell({ kind: 'caughtUp', position: new Map(stage.cut.position) })
      if (follow && this.#everSealed && !sealing.asked) {
        this.#change('caughtUp')
      } else {
        this.#change('reachedEnd')
        // What waits for its time is not in the state: a seal is a function of its position.
        stage = await this.#keepingOwners(stage, stage.cut.position)
        const sealed = await this.#seal(stage)
        if (sealed === null) return await this.#drain(stage)
        this.#change(follow ? 'resumed' : 'sealed')
        tell({ kind: 'sealed', sealed })
        if (!follow) return sealed
        sealing.resolve(sealed)
      }
      const next = await this.#awaitGrowth(stage)
      if (next === null) return await this.#drain(stage)
      stage = next
    }
  }

  /** Waits until the log has grown, a seal is asked for, or the run is to stop (null). */
  async #awaitGrowth(stage: Stage): Promise<Stage | null> {
    const { options, settings, world, signal, sealing } = this.#ports
    const refuse = (error: RehydrateError): void => { throw error }
    let keptMs = world.clock.monotonicMs()
    while (!signal.aborted) {
      const known = new Set(stage.cut.position.keys())
      const bounds = await boundsInOrder(options.source, options.projection, { following: true, known })
      const end = headOf(bounds)
      const start = { ...stage.start, bounds }
      if (!samePosition(end, stage.end)) return await this.#grown(stage, start, end)
      if (sealing.asked) return { ...stage, start }
      if (stage.session.moved && stage.session.checkpointDue()) await stage.session.checkpoint()
      if (world.clock.monotonicMs() - keptMs > MARKS_SHARE * passMs(bounds)) {
        keptMs = world.clock.monotonicMs()
        await stage.session.keep((await checkIdentity(options.source, stage.cut.marks(), stage.cut.position, refuse)).marks)
      }
      await stage.session.beatIfDue()
      await world.clock.sleep(Math.min(FOLLOW_POLL_MS, settings.checkpointMs), signal)
    }
    return null
  }

  /** On to a log that has grown, which is judged as at a start. */
  async #grown(stage: Stage, grown: Start, end: Position): Promise<Stage> {
    const refuse = (error: RehydrateError): void => { throw error }
    const { options, settings } = this.#ports
    const { cut } = stage
    refuseCompacted(options.projection, grown.bounds, refuse)
    cut.haveWhole(partitionsToHaveWhole(options.projection, grown.bounds))
    checkPlacement(options.projection, grown.bounds.keys(), settings.shard === null, refuse)
    const accepted = await checkGrowth(options.source, settings, cut.position, grown.bounds, cut.marks(), refuse)
    for (const waived of accepted) cut.accept(waived)
    const start = { ...grown, accepted: mergeAccepted(grown.accepted, accepted) }
    for (const [partition, { first }] of start.bounds) stage.before.set(partition, first - 1)
    return { ...await this.#keepingOwners({ ...stage, start }, end), end }
  }

  /** Owners are kept, or no more, as the partitions up to `end` need it. */
  async #keepingOwners(stage: Stage, end: Position): Promise<Stage> {
    const { options: { projection }, settings } = this.#ports
    const { start, store, cut, committer } = stage
    if (stage.owners === keepsOwners(projection, [...cut.position.keys(), ...end.keys()], settings.shard !== null)) return stage
    await stage.session.checkpoint()
    const { merge, held } = cut
    return { ...await this.#stage({ ...start, marks: cut.marks(), merge, held }, store, committer.checkpoint, end), end: stage.end }
  }

  /** Null where the signal came first: nothing is sealed then. */
  async #seal(stage: Stage): Promise<SealedRun | null> {
    const { options, settings, world, signal } = this.#ports
    const { cut, committer, store, session, workingSet, ids } = stage
    const { marks, unproved } = await checkIdentity(options.source, cut.marks(), cut.position, (error) => { throw error })
    cut.keep(marks)
    for (const partition of unproved) cut.unprovable(partition)
    const goLive = settings.switchAtFirstSeal && !this.#everSealed && (await this.#isNewest())
    const scrubbed = committer.pending
    if (scrubbed) {
      await session.checkpoint()
      // An empty log has nothing to apply, yet is sealed like any other.
      if (committer.checkpoint === null) await committer.commit(cut, workingSet, ids, { sealed: false, durable: false })
      workingSet.release()
      if (!(await buildDigest({ session: store, committer, clock: world.clock, signal }))) return null
    } else {
      await session.checkpoint()
      await committer.assertWritten()
      await sampleStore(store, () => world.token())
    }
    const checkpoint = await committer.commit(cut, workingSet, ids, { sealed: true, durable: true, goLive, scrubbed })
    workingSet.committed()
    session.committed()
    this.#everSealed = true
    const { generation } = stage.start
    const live = goLive || stage.start.live === stage.start.generation
    return sealedRun({ generation, live, checkpoint, projection: options.projection, bounds: stage.start.bounds, run: this.#runTotals() })
  }

  /** The first seal makes a generation live, unless a newer one is: a rebuild that was late must not take it back. */
  async #isNewest(): Promise<boolean> {
    const live = (await this.#ports.options.store.generations()).find((row) => row.live)
    return live === undefined || live.generation <= (this.#generation as number)
  }

  async #drain(stage: Stage): Promise<never> {
    this.#change('stop')
    this.#tellProgress(stage)
    await stage.session.checkpoint({ durable: true })
    this.#change('drained')
    throw runStopped(stage.cut.position, this.#ports.signal)
  }

  #runTotals(): RunTotals {
    const { applied } = this.#meter
    const durationMs = Math.round(this.#meter.elapsedMs)
    return {
      applied, durationMs, ...this.#totals,
      eventsPerSecond: durationMs === 0 ? applied : Math.round((applied * 1_000) / durationMs),
    }
  }

  /** Tells of stalls while the loop waits. */
  async #watch(): Promise<void> {
    const { world, tell } = this.#ports
    const { signal } = this.#closing
    while (!signal.aborted) {
      await world.clock.sleep(WATCH_MS, signal)
      const stall = signal.aborted || this.#phase === 'following' ? null : this.#meter.stall()
      if (stall !== null) tell(stall)
    }
  }

  #tellProgress({ cut, end }: Stage): void {
    const progress = this.#meter.report(cut.position, end, true)
    if (progress !== null) this.#ports.tell(progress)
  }

  #change(change: PhaseChange): void {
    const next = nextPhase(this.#phase, change)
    if (next === this.#phase) return
    this.#phase = next
    this.#tellPhase()
  }

  #tellPhase(): void {
    this.#ports.tell({ kind: 'phase', phase: this.#phase, generation: this.#generation })
  }
}
