import { readdirSync, statSync } from 'node:fs'
import type { Check, Cost } from './trial.js'

/** A trial that folds a data set into one state. */
export interface FoldInput {
  /** File or folder of the log. */
  readonly path: string
  /** An empty folder for the store. */
  readonly folder: string
}

export interface FoldResult extends Cost {
  readonly events: number
  /** Of all files of the store; 0 for one in memory. */
  readonly storeBytes: number
  readonly check: Check
  /** Null for a baseline. */
  readonly engine: EngineFigures | null
}

export interface EngineFigures {
  readonly checkpoints: number
  /** Time in commits of entries: all checkpoints but the seal's own. */
  readonly pausedMs: number
  /** From the last of them to the end: re-reading every byte, building the digest, sealing. */
  readonly sealMs: number
}

export function bytesIn(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(`${folder}/${name}`).size, 0)
}
