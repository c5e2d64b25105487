import { span, type Accepted } from '../index.js'

/** Numbers, times and waivers as people read them. */

/** 1,234,567 */
export function grouped(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** 1 key, 1,234 keys */
export function counted(number: number, noun: string): string {
  return `${grouped(number)} ${noun}${number === 1 ? '' : 's'}`
}

const UNITS = [{ size: 1e9, unit: ' G' }, { size: 1e6, unit: ' M' }, { size: 1e4, unit: ' k', divisor: 1e3 }]

function scaleOf(count: number): { divisor: number; unit: string } {
  const scale = UNITS.find(({ size }) => count >= size)
  return scale === undefined ? { divisor: 1, unit: '' } : { divisor: scale.divisor ?? scale.size, unit: scale.unit }
}

/** 1.2 kB, 12.3 MB, 45.0 GB: powers of ten, as file sizes are given. */
export function megabytes(bytes: number): string {
  if (bytes > 0 && bytes < 1e5) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e10 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}

/** 10.9 M, 212.4 k, 9,999 */
export function compact(count: number): string {
  const { divisor, unit } = scaleOf(count)
  return divisor === 1 ? grouped(count) : `${(count / divisor).toFixed(1)}${unit}`
}

/** 39.0/50.0 M: both in the unit of the second. */
export function compactOf(part: number, whole: number): string {
  const { divisor, unit } = scaleOf(whole)
  return divisor === 1 ? `${grouped(part)}/${grouped(whole)}` : `${(part / divisor).toFixed(1)}/${(whole / divisor).toFixed(1)}${unit}`
}

/** 212 k/s, 21.2 k/s, 950/s: three digits are enough for a rate. */
export function rate(perSecond: number): string {
  const { divisor, unit } = scaleOf(perSecond)
  const scaled = perSecond / divisor
  const digits = divisor === 1 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2
  return `${scaled.toFixed(digits)}${unit}/s`
}

/** Rounded down, so that 100 % means all. */
export function percent(part: number, whole: number): string {
  return `${whole === 0 ? '100.0' : (Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`
}

/** 0:52, 1:02:03 */
export function clock(ms: number): string {
  const seconds = Math.round(ms / 1000)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const tail = String(seconds % 60).padStart(2, '0')
  return hours === 0 ? `${minutes}:${tail}` : `${hours}:${String(minutes).padStart(2, '0')}:${tail}`
}

/** 850 ms, 5.1 s, 3:20 */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : clock(ms)
}

/** What is judged, not measured: less than 1 s, about 45 s, about 2 h 10 min. */
export function about(ms: number): string {
  return ms < 1_000 ? 'less than 1 s' : `about ${span(ms)}`
}

/** `text` in so many columns, with … where it was cut. */
export function fit(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`
}

/** Aligns the first column of two. */
export function table(rows: readonly (readonly [string, string])[], indent = '  '): string[] {
  const width = Math.max(0, ...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => `${indent}${name.padEnd(width)}  ${text}`.trimEnd())
}

/** What was waived, as it is given to `--accept`. */
export function acceptedText({ code, partition, from, to, detail }: Accepted): string {
  const where = partition === undefined ? detail ?? '' : `${partition}@${from ?? ''}${to === undefined || to === from ? '' : `..${to}`}`
  return `${code}=${where}`
}
