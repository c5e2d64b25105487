import type { Context } from './command.js'

/** So long nobody wonders. */
const QUIET_MS = 3_000

/** Says that the log is waited for, where that takes long: nothing else is shown before it answered. */
export async function untilAnswered<Result>({ output }: Context, job: string, work: Promise<Result>): Promise<Result> {
  const timer = setTimeout(() => output.note(`${job}  waiting for the log to answer …`), QUIET_MS)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}
