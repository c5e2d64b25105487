import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { RehydrateError } from '../../src/index.js'
import { unreachable } from './bytes.js'

/** One file of a partition, as its name tells. */
export interface SegmentFile {
  readonly path: string
  /** Path below the root, with `/`. */
  readonly name: string
  readonly partition: string
  /** From NAME.000001.ndjson; null where the whole partition is one file. */
  readonly number: number | null
  readonly gzip: boolean
}

const SUFFIX = /\.(?:ndjson|jsonl)(\.gz)?$/
const NUMBER = /^(.+)\.(\d{6})$/s
const WILDCARD = /[*?{]/

/**
 * The log files under a path, a directory (recursive) or a glob (`*`, `?`, `**`, `{a,b}`), by partition, in segment order.
 * Names that begin with a dot, other suffixes and linked directories are passed over; a file named outright may have any suffix.
 * Errors: SOURCE_UNREACHABLE where there is no file, CONFIG_AMBIGUOUS where two files have one name.
 */
export async function findSegments(path: string): Promise<ReadonlyMap<string, readonly SegmentFile[]>> {
  const files = await findFiles(path)
  if (files.length === 0) {
    throw new RehydrateError('SOURCE_UNREACHABLE', {
      message: `There is no log file at ${path}.`,
      file: resolve(path),
      expected: 'files named NAME.ndjson, NAME.ndjson.gz, NAME.000001.ndjson …',
    })
  }
  const partitions = new Map<string, SegmentFile[]>()
  for (const file of files.sort((a, b) => (a.number ?? 0) - (b.number ?? 0))) {
    const segments = partitions.get(file.partition)
    if (segments === undefined) partitions.set(file.partition, [file])
    else segments.push(file)
  }
  for (const segments of partitions.values()) refuseSameName(segments)
  return partitions
}

function refuseSameName(segments: readonly SegmentFile[]): void {
  segments.forEach((segment, i) => {
    const before = segments[i - 1]
    if (before === undefined || (before.number !== null && before.number !== segment.number)) return
    throw new RehydrateError('CONFIG_AMBIGUOUS', {
      message: `Two files stand for the same part of partition ${segment.partition}: ${before.name} and ${segment.name}.`,
      partition: segment.partition,
      file: segment.path,
    })
  })
}

async function findFiles(path: string): Promise<SegmentFile[]> {
  const kind = await kindOf(path)
  if (kind === 'file') return [nameSegment(resolve(path), basename(path))]
  if (kind === 'directory') return listFiles(resolve(path), '', null)
  if (!WILDCARD.test(path)) return []
  const root = globRoot(path)
  if ((await kindOf(root)) !== 'directory') return []
  return listFiles(resolve(root), '', globToRegExp(toSlashes(resolve(path)).slice(toSlashes(join(resolve(root), '/')).length)))
}

async function kindOf(path: string): Promise<'file' | 'directory' | null> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file'
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw unreachable(path, error)
  }
}

async function listFiles(root: string, below: string, pattern: RegExp | null): Promise<SegmentFile[]> {
  const directory = join(root, below)
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    throw unreachable(directory, error)
  })
  const found: SegmentFile[] = []
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory()) found.push(...(await listFiles(root, name, pattern)))
    else if (SUFFIX.test(name) && (pattern === null || pattern.test(name))) found.push(nameSegment(join(root, name), name))
  }
  return found
}

function nameSegment(path: string, name: string): SegmentFile {
  const stem = name.replace(SUFFIX, '')
  const numbered = NUMBER.exec(stem)
  return {
    path,
    name,
    partition: numbered?.[1] ?? stem,
    number: numbered === null ? null : Number(numbered[2]),
    gzip: name.endsWith('.gz'),
  }
}

/** The directory above the first part that holds a wildcard. */
export function globRoot(pattern: string): string {
  let root = pattern
  while (WILDCARD.test(root)) root = dirname(root)
  return root
}

/** `*` and `?` stay within a part, `**` crosses parts, `{a,b}` is either. */
export function globToRegExp(pattern: string): RegExp {
  let depth = 0
  const source = pattern.replace(/\*\*\/|\*\*|[\s\S]/g, (token) => {
    if (token === '**/') return '(?:[^/]+/)*'
    if (token === '**') return '.*'
    if (token === '*') return '[^/]*'
    if (token === '?') return '[^/]'
    if (token === '{') return (depth++, '(?:')
    if (token === '}' && depth > 0) return (depth--, ')')
    if (token === ',' && depth > 0) return '|'
    return token.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  })
  if (depth > 0) {
    throw new RehydrateError('CONFIG_INVALID', { message: `The glob ${pattern} opens a brace that it does not close.`, actual: pattern })
  }
  return new RegExp(`^${source}$`, 's')
}

function toSlashes(path: string): string {
  return sep === '/' ? path : path.replaceAll(sep, '/')
}
