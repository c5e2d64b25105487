import type { Value } from '../value/canonical.js'
import { columnDetail } from './blame-column.js'
import { courseOf, identityOf, type Course, type Folder, type Held } from './blame-fold.js'
import { suggestionsFor } from './blame-suggest.js'
import { indexOf, kindOf, Sweep, type Deviation, type DeviationKind, type Ending } from './blame-sweep.js'
import type { GroupEvent } from './events.js'
import { fieldsOf, without, type FieldDifference } from './fields.js'

export type Fitting = DeviationKind | 'stopped' | 'column'

export interface EventPlace {
  readonly partition: string
  /** Null: before the first event. */
  readonly offset: number | null
  readonly type: string | null
}

/** A hypothesis that gives the other side's value. */
export interface Fit {
  readonly hypothesis: Fitting
  /** So many events explain it equally well. */
  readonly candidates: number
  /** The first ones of them, in the order of the fold; none for a column. */
  readonly examples: readonly EventPlace[]
  /** What a column did, or more of the first example; null: there is no more to say. */
  readonly detail: string | null
}

/** A key whose value differs, in its group. */
export interface Suspect {
  /** Its place in the group's slots. */
  readonly place: number
  readonly rebuilt: Value | undefined
  readonly against: Value | undefined
  /** Fields left out of the comparison. */
  readonly omitted: readonly string[]
}

export interface Search {
  /** What fits, per suspect; the likeliest first. */
  readonly fits: readonly (readonly Fit[])[]
  /** Suspects whose value is not what the events give. */
  readonly untrue: readonly boolean[]
  /** Every deviation was tried. */
  readonly isExhaustive: boolean
}

/** Where there are as many candidates, the earlier in this list is told first. */
const ORDER: readonly Fitting[] = ['lost', 'repeated', 'reordered', 'stopped', 'column']

/** The last so many events are swept first, then twice as many before these, and so on: what is found is kept when calls run out. */
const FIRST_CHUNK = 64

/** Tries all hypotheses on a group's events. Null: there are fewer calls than events, or a handler threw. */
export async function searchGroup(
  events: readonly GroupEvent[], suspects: readonly Suspect[], isMerged: boolean, folder: Folder, maxExamples: number,
): Promise<Search | null> {
  const course = await courseOf(events, isMerged, folder)
  if (course === null) return null
  const untrue = suspects.map((suspect) => textOf(course.final[suspect.place], suspect) !== textOf(suspect.rebuilt, suspect))
  if (untrue.every(Boolean)) return { fits: suspects.map(() => []), untrue, isExhaustive: false }
  const sweep = new Sweep(course, folder)
  const isExhaustive = await sweepAll(course, suspects, sweep, folder)
  const endings = sweep.endings()
  const fits = suspects.map((suspect) => {
    const deviations = deviationsThatFit(suspect, endings)
    const found = [...ORDER.slice(0, 3).map((kind) => deviationFit(kind as DeviationKind, deviations, suspect, course, maxExamples)),
      stoppedFit(suspect, course, maxExamples), columnFit(suspect)]
    return found.filter((fit) => fit !== null)
      .sort((a, b) => a.candidates - b.candidates || ORDER.indexOf(a.hypothesis) - ORDER.indexOf(b.hypothesis))
  })
  return { fits, untrue, isExhaustive }
}

async function sweepAll(course: Course, suspects: readonly Suspect[], sweep: Sweep, folder: Folder): Promise<boolean> {
  const { length } = course.events
  for (const isWanted of tiersOf(course, suspects, folder)) {
    for (let to = length, size = FIRST_CHUNK; to > 0; to -= size, size *= 2) {
      if (!await sweep.run(Math.max(0, to - size), to, isWanted)) return false
    }
  }
  return true
}

/** What is suggested comes first, where calls may not last for everything. */
function tiersOf(course: Course, suspects: readonly Suspect[], folder: Folder): ((deviation: Deviation) => boolean)[] {
  const { length } = course.events
  if (3 * length + 1.5 * length * length <= folder.left) return [() => true]
  const suggested = new Set<Deviation>()
  for (const { place, rebuilt, against, omitted } of suspects) {
    const fields = differences(rebuilt, against, omitted)
    const paths = fields.length === 0 ? ['$'] : fields.map(({ path }) => path)
    for (const deviation of suggestionsFor(course, place, rebuilt, against, paths)) suggested.add(deviation)
  }
  return [(deviation) => suggested.has(deviation), (deviation) => !suggested.has(deviation)]
}

/** The places in which two values differ; none where one of them is absent. */
export function differences(rebuilt: Held, against: Held, omitted: readonly string[]): FieldDifference[] {
  if (rebuilt === undefined || against === undefined) return []
  return fieldsOf(without(rebuilt, omitted), without(against, omitted))
}

/** Equal texts: values that are equal where they are compared. */
function textOf(value: Held, { omitted }: Suspect): string {
  return identityOf(value === undefined || omitted.length === 0 ? value : without(value, omitted))
}

function deviationsThatFit(suspect: Suspect, endings: readonly Ending[]): Deviation[] {
  const wanted = textOf(suspect.against, suspect)
  const fitting: Deviation[] = []
  for (const { others, deviations } of endings) {
    const other = others.get(suspect.place)
    if (other === undefined || textOf(other.value, suspect) !== wanted) continue
    for (const deviation of deviations) fitting.push(deviation)
  }
  return fitting.sort((a, b) => a - b)
}

function deviationFit(
  kind: DeviationKind, deviations: readonly Deviation[], { place }: Suspect, course: Course, maxExamples: number,
): Fit | null {
  const indexes = deviations.filter((deviation) => kindOf(deviation) === kind).map(indexOf)
  const [first] = indexes
  if (first === undefined) return null
  const examples = indexes.slice(0, maxExamples).map((index) => placeOf(course.events[index] as GroupEvent))
  return { hypothesis: kind, candidates: indexes.length, examples, detail: deviationDetail(kind, first, place, course) }
}

function deviationDetail(kind: DeviationKind, index: number, key: number, { events, after }: Course): string | null {
  const event = events[index] as GroupEvent
  const next = events[index + 1]
  if (kind === 'reordered' && next !== undefined) return `applied after ${next.event.partition}@${next.event.offset}, which follows it`
  if (kind !== 'lost' || !event.at.includes(key)) return null
  const isDeleted = after[index]?.[event.at.indexOf(key)] === undefined
  const earlier = events.findLastIndex(({ at }, i) => i < index && at.includes(key))
  const wasThere = earlier >= 0 && after[earlier]?.[(events[earlier] as GroupEvent).at.indexOf(key)] !== undefined
  return isDeleted && wasThere ? 'the delete was missed' : null
}

/**
 * It has the value after one of the events that touch it, or the one before all of them. That the last of them alone is missing is
 * left to 'lost', which says the same.
 */
function stoppedFit(suspect: Suspect, { events, after }: Course, maxExamples: number): Fit | null {
  const touching = events.flatMap(({ at }, i) => (at.includes(suspect.place) ? [i] : []))
  const wanted = textOf(suspect.against, suspect)
  const applied: number[] = []
  for (let count = 0; count < touching.length - 1; count++) {
    const last = touching[count - 1]
    const value = last === undefined ? undefined : after[last]?.[(events[last] as GroupEvent).at.indexOf(suspect.place)]
    if (textOf(value, suspect) === wanted) applied.push(count)
  }
  const [first] = applied
  if (first === undefined) return null
  const examples = applied.slice(0, maxExamples).map((count): EventPlace => {
    const event = events[touching[Math.max(0, count - 1)] as number] as GroupEvent
    return count === 0 ? { partition: event.event.partition, offset: null, type: null } : placeOf(event)
  })
  const detail = first === 0 ? `none of its ${touching.length} events was applied`
    : `the last ${touching.length - first} of its ${touching.length} events are missing`
  return { hypothesis: 'stopped', candidates: applied.length, examples, detail }
}

function columnFit({ rebuilt, against, omitted }: Suspect): Fit | null {
  const detail = columnDetail(differences(rebuilt, against, omitted))
  return detail === null ? null : { hypothesis: 'column', candidates: 1, examples: [], detail }
}

function placeOf({ event: { partition, offset, type } }: GroupEvent): EventPlace {
  return { partition, offset, type }
}
