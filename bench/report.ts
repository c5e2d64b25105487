import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem, type } from 'node:os'

export interface Target {
  readonly what: string
  readonly target: string
  readonly measured: string
  readonly isMet: boolean
}

export interface Section {
  readonly title: string
  /** How it was measured. */
  readonly notes: readonly string[]
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly targets: readonly Target[]
}

/** Where and on what a section was measured; taken at its start. */
export interface Occasion {
  readonly command: string
  readonly startedAt: string
  readonly revision: string
  readonly machine: string
  readonly load: string
}

export function occasion(command: string): Occasion {
  const processors = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`
  return {
    command,
    startedAt: new Date().toISOString(),
    revision: revision(),
    machine: `${processors}, ${gib(totalmem())} GiB, ${type()} ${release()}, node ${process.version}`,
    load: loadavg().map((load) => load.toFixed(2)).join(', '),
  }
}

/** The commit, and whether files differ from it. */
function revision(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', 'src', 'adapters', 'bench') === '' ? '' : ', with changes')
  } catch {
    return 'not a git checkout'
  }
}

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1)

/** What a section found, and when and where. */
export interface Reported {
  readonly at: Occasion
  readonly section: Section
}

export function markdown(reported: readonly Reported[]): string {
  const sections = reported.map(({ section }) => section)
  return [
    '# Results', '',
    'Written by `npm run bench -- --full`, section by section (`--only NAME`), from bench/results; do not edit.', '',
    'Each trial is a process of its own; those of one table take turns, round by round. Figures are medians over the rounds.',
    'Other programs may have run on the machine: compare the ratios, which come from one run, and the CPU seconds beside them.', '',
    '## Targets', '',
    ...table(['', 'target', 'measured', 'met'], sections.flatMap(({ targets }) =>
      targets.map(({ what, target, measured, isMet }) => [what, target, measured, isMet ? 'yes' : '**no**']))),
    ...sections.flatMap(({ title, notes, head, rows }) => ['', `## ${title}`, '', ...notes, '', ...table(head, rows)]),
    '', '## When and where', '',
    ...table(['', 'started', 'revision', 'load average then', 'machine', 'command'], reported.map(({ at, section }) =>
      [section.title, at.startedAt, at.revision, at.load, at.machine, `\`${at.command}\``])),
    '',
  ].join('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...rows.map(line)]
}
