/** A length of time in words: 45 s, 6 min, 2 h 10 min, 3 d 4 h. At least 1 s, and seconds up to two minutes. */
export function span(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1_000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(ms / 60_000)
  if (minutes < 60) return `${minutes} min`
  // Rounded once, in the smaller unit: else 2 d 23 h 40 min would be 2 d 24 h.
  return minutes < 48 * 60 ? inTwo(minutes, 60, 'h', 'min') : inTwo(Math.round(ms / 3_600_000), 24, 'd', 'h')
}

function inTwo(count: number, size: number, large: string, small: string): string {
  const rest = count % size
  return `${Math.floor(count / size)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`
}
