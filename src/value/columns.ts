/** Placeholder until written: see the task. */
export interface Columns {
  readonly text: string
}
