import type { Check } from './trial.js'

/** A trial that folds a topic into one state. */
export interface KafkaInput {
  /** `host:port`, separated by commas. */
  readonly brokers: string
  readonly topic: string
  readonly events: number
  readonly partitions: number
  /** An empty folder for the store. */
  readonly folder: string
}

/** From the first event to a state on disk. */
export interface KafkaResult {
  readonly events: number
  readonly wallMs: number
  /** User and system, of all threads of this process; the broker's are not in it. */
  readonly cpuMs: number
  /** From the start of the process's work to its first event. */
  readonly firstMs: number
  readonly maxRssBytes: number
  readonly storeBytes?: number
  readonly check: Omit<Check, 'root'> & { readonly root?: string }
  /** Ours: from the last checkpoint before the seal to the end. */
  readonly sealMs?: number | null
}
