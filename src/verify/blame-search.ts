import type { Value } from '../value/canonical.js'
import { columnDetail } from './blame-column.js'
import { ABSENT, courseOf, identityOf, type Course, type Folder, type Held } from './blame-fold.js'
import { suggestionsFor } from './blame-suggest.js'
import { indexOf, kindOf, Sweep, type Deviation, type DeviationKind, type Ending } from './blame-sweep.js'
import type { GroupEvent, KeyGroup } from './events.js'
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

/** Tries all hypotheses on a group's events. 'bound': calls do not last for the events as they were; null: a handler threw. */
export async function searchGroup(
  group: KeyGroup, suspects: readonly Suspect[], isMerged: boolean, folder: Folder, maxExamples: number,
): Promise<Search | 'bound' | null> {
  const course = await courseOf(group, isMerged, folder)
  if (course === 'bound' || course === null) return course
  const untrue = suspects.map((suspect) => textOf(course.final[suspect.place] as Held, suspect) !== givenText(suspect.rebuilt, suspect))
  if (untrue.every(Boolean)) return { fits: suspects.map(() => []), untrue, isExhaustive: false }
  const sweep = new Sweep(course, folder)
  const isExhaustive = await sweepAll(course, suspects, sweep, folder)
  const endings = endingsByPlace(sweep.endings())
  const fits = suspects.map((suspect) => {
    const deviations = deviationsThatFit(suspect, endings.get(suspect.place) ?? [])
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
export function differences(rebuilt: Value | undefined, against: Value | undefined, omitted: readonly string[]): FieldDifference[] {
  if (rebuilt === undefined || against === undefined) return []
  return fieldsOf(without(rebuilt, omitted), without(against, omitted))
}

/** Equal texts: values that are equal where they are compared. */
function textOf({ value, identity }: Held, { omitted }: Suspect): string {
  return value === undefined || omitted.length === 0 ? identity : identityOf(without(value, omitted))
}

function givenText(value: Value | undefined, suspect: Suspect): string {
  return value === undefined ? ABSENT.identity : textOf({ value, identity: identityOf(value) }, suspect)
}

function endingsByPlace(endings: readonly Ending[]): ReadonlyMap<number, readonly Ending[]> {
  const found = new Map<number, Ending[]>()
  for (const ending of endings) {
    for (const place of ending.others.keys()) {
      const list = found.get(place)
      if (list === undefined) found.set(place, [ending])
      else list.push(ending)
    }
  }
  return found
}

function deviationsThatFit(suspect: Suspect, endings: readonly Ending[]): Deviation[] {
  const wanted = givenText(suspect.against, suspect)
  const fitting: Deviation[] = []
  for (const { others, deviations } of endings) {
    if (textOf(others.get(suspect.place) as Held, suspect) !== wanted) continue
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

function deviationDetail(kind: DeviationKind, index: number, key: number, { events, before, after, next }: Course): string | null {
  const { at } = events[index] as GroupEvent
  const following = events[next[index] as number]
  if (kind === 'reordered' && following !== undefined) {
    return `applied after ${following.event.partition}@${following.event.offset}, which follows it`
  }
  const place = at.indexOf(key)
  if (kind !== 'lost' || place === -1) return null
  const isDeleted = before[index]?.[place] !== ABSENT && after[index]?.[place] === ABSENT
  return isDeleted ? 'the delete was missed' : null
}

/**
 * It has the value after one of the events that touch it, or the one before all of them. That the last of them alone is missing is
 * left to 'lost', which says the same.
 */
function stoppedFit(suspect: Suspect, { events, after, touching: all }: Course, maxExamples: number): Fit | null {
  const touching = all[suspect.place] as readonly number[]
  const wanted = givenText(suspect.against, suspect)
  const applied: number[] = []
  for (let count = 0; count < touching.length - 1; count++) {
    const last = touching[count - 1]
    const value = last === undefined ? ABSENT : after[last]?.[(events[last] as GroupEvent).at.indexOf(suspect.place)]
    if (textOf(value as Held, suspect) === wanted) applied.push(count)
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
