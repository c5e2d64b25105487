/** Programs that people compare tables with, where they are installed. The bench never installs one. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { cacheFolder } from '../src/cli/cache-folder.js'

export interface Peer {
  readonly name: string
  /** What would install it. */
  readonly install: string
  /** The program; null where it is not installed. */
  readonly path: string | null
}

const VENV = join(cacheFolder(process.env), 'bench', 'reladiff')

export function sqldiff(): Peer {
  return { name: 'sqldiff --primarykey', install: 'apt-get install sqlite3-tools', path: programIn('sqldiff', searched()) }
}

export function reladiff(): Peer {
  return {
    name: 'reladiff over two DuckDB files', install: `python3 -m venv ${VENV} && ${VENV}/bin/pip install reladiff duckdb`,
    path: programIn('reladiff', [join(VENV, 'bin'), ...searched()]),
  }
}

const searched = (): string[] => (process.env['PATH'] ?? '').split(delimiter)

function programIn(name: string, folders: readonly string[]): string | null {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null
}
