import { rmSync } from 'node:fs'
import { emptyFolder, launch } from './launch.js'
import type { StatesResult } from './trials/states.js'

/** States that are compared; made once in a run, since that takes longer than to compare them. */
export interface States extends StatesResult {
  readonly folder: string
  readonly keys: number
}

const made = new Map<string, States>()

export function statesOf(keys: number, options: { readonly tables: boolean }): States {
  const name = `${keys} ${options.tables}`
  const present = made.get(name)
  if (present !== undefined) return present
  process.stderr.write(`${new Date().toISOString().slice(11, 19)}  making states of ${keys} keys\n`)
  const folder = emptyFolder('states-')
  const sizes = launch<StatesResult>('trials/states.js', { states: folder, keys, ...options })
  const states = { folder, keys, ...sizes }
  made.set(name, states)
  return states
}

export function removeStates(): void {
  for (const { folder } of made.values()) rmSync(folder, { recursive: true })
  made.clear()
}
