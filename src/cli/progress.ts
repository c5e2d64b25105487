import type { Progress, RunEvent } from '../index.js'
import { clock, compact, compactOf, fit, grouped, percent, rate } from './format.js'
import type { Io } from './io.js'

/** Where the events of a run are shown. */
export interface Reporter {
  event(event: RunEvent): void
  /** Leaves the terminal as it was found. */
  end(): void
}

export const SILENT: Reporter = { event() {}, end() {} }

/** For a person: the last line of a terminal, or plain lines where stderr is none. */
export function personReporter(io: Io, job: string): Reporter {
  return isWatched(io) ? new LiveReporter(io, job) : new PlainReporter(io, job)
}

/** True where somebody looks at a terminal. */
export function isWatched(io: Io): boolean {
  return io.stderr.isTTY === true && !io.env['CI'] && io.env['TERM'] !== 'dumb'
}

/** `orders  78.1 %  39.0/50.0 M  212 k/s  lag 10.9 M  eta 0:52 (0:45–1:05)` */
export function progressText(job: string, progress: Progress, following = false): string {
  const { total, done, eventsPerSecond, lag, eta } = progress
  const parts = [job]
  if (following) parts.push('following', compact(done))
  else parts.push(percent(done, total), compactOf(done, total))
  parts.push(rate(eventsPerSecond), `lag ${compact(lag)}`)
  if (eta === 'never') parts.push('eta never: the log grows faster than it is read')
  else if (eta !== null && lag > 0) parts.push(`eta ${clock(eta.midMs)} (${clock(eta.lowMs)}–${clock(eta.highMs)})`)
  return parts.join('  ')
}

function stallText(job: string, last: Progress | null, stall: Extract<RunEvent, { kind: 'stall' }>): string {
  const where = last === null ? [] : [percent(last.done, last.total), compactOf(last.done, last.total)]
  return [job, ...where, `stalled ${clock(stall.forMs)}, waiting for ${stall.waitingFor}`].join('  ')
}

const REDRAW_MS = 100
const CLEAR_LINE = '\r\x1b[2K'

/** The last line of a terminal, redrawn at most ten times a second; what is printed after end() scrolls above the next one. */
export class LastLine {
  readonly #io: Io
  #text = ''
  #drawnAtMs = -Infinity
  #timer: NodeJS.Timeout | null = null

  constructor(io: Io) {
    this.#io = io
  }

  /** Draws now, or when a tenth of a second has passed since the last time: the newest text is always shown in the end. */
  show(text: string): void {
    this.#text = text
    if (this.#timer !== null) return
    const waitMs = this.#drawnAtMs + REDRAW_MS - performance.now()
    if (waitMs <= 0) this.#draw()
    else this.#timer = setTimeout(() => this.#draw(), waitMs).unref()
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#text !== '') this.#io.stderr.write(CLEAR_LINE)
    this.#text = ''
  }

  #draw(): void {
    this.#timer = null
    this.#drawnAtMs = performance.now()
    this.#io.stderr.write(CLEAR_LINE + fit(this.#text, (this.#io.stderr.columns ?? 80) - 1))
  }
}

/** Where somebody watches: a line that is redrawn. */
class LiveReporter implements Reporter {
  readonly #line: LastLine
  readonly #job: string
  #last: Progress | null = null
  #following = false

  constructor(io: Io, job: string) {
    this.#line = new LastLine(io)
    this.#job = job
  }

  event(event: RunEvent): void {
    if (event.kind === 'progress') {
      this.#last = event
      this.#line.show(`  ${progressText(this.#job, event, this.#following)}`)
    } else if (event.kind === 'stall') {
      this.#line.show(`  ${stallText(this.#job, this.#last, event)}`)
    } else if (event.kind === 'phase') {
      this.#following = event.phase === 'following'
      if (event.phase === 'sealing' || event.phase === 'draining') this.#line.show(`  ${this.#job}  ${event.phase} …`)
    }
  }

  end(): void {
    this.#line.end()
  }
}

const PLAIN_EVERY_MS = 10_000

/** For logs of CI and of containers: a line per phase and checkpoint, and every ten seconds. */
class PlainReporter implements Reporter {
  readonly #io: Io
  readonly #job: string
  #last: Progress | null = null
  #following = false
  #printedAtMs = performance.now()

  constructor(io: Io, job: string) {
    this.#io = io
    this.#job = job
  }

  event(event: RunEvent): void {
    switch (event.kind) {
      case 'phase':
        this.#following = event.phase === 'following'
        this.#print(`${event.phase}${event.generation === null ? '' : `, generation ${event.generation}`}`)
        break
      case 'progress':
        this.#last = event
        if (performance.now() - this.#printedAtMs >= PLAIN_EVERY_MS) this.#printText(progressText(this.#job, event, this.#following))
        break
      case 'checkpoint':
        this.#print(`checkpoint, ${grouped(event.keys)} keys`)
        if (this.#last !== null) this.#printText(progressText(this.#job, this.#last, this.#following))
        break
      case 'stall':
        this.#printText(stallText(this.#job, this.#last, event))
        break
      case 'caughtUp':
        this.#print('caught up')
        break
      case 'sealed':
        break // the result says it
    }
  }

  end(): void {}

  #print(text: string): void {
    this.#printText(`${this.#job}  ${text}`)
  }

  #printText(text: string): void {
    this.#printedAtMs = performance.now()
    this.#io.stderr.write(`${text}\n`)
  }
}
