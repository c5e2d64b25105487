import { RehydrateError } from '../errors.js'
import type { Writer } from './checkpoint.js'

/** What every store refuses, in the same words. */

export function fenced(generation: number, expected: Writer, newest: Writer | null): RehydrateError {
  return new RehydrateError('FENCED', {
    message: `Generation ${generation} has another writer now.`,
    expected: { epoch: expected.epoch, incarnation: expected.incarnation },
    actual: newest === null ? null : { epoch: newest.epoch, incarnation: newest.incarnation },
  })
}

export function alreadyRunning(generation: number, writer: Writer & { readonly owner: string }): RehydrateError {
  return new RehydrateError('ALREADY_RUNNING', {
    message: `${writer.owner} is writing generation ${generation} (epoch ${writer.epoch}).`,
    actual: { owner: writer.owner, epoch: writer.epoch },
  })
}

export function liveChanged(expected: number | null, live: number | null): RehydrateError {
  return new RehydrateError('FENCED', {
    message: `Another generation became the live one meanwhile: ${live ?? 'none'}, not ${expected ?? 'none'}.`,
    expected,
    actual: live,
    safe: 'Nothing was changed.',
    fix: 'Look again with `rehydrate generation list`, then decide.',
  })
}

/** `why`: "does not exist", "was never sealed", "is the live one", "has a living writer (NAME)". */
export function generationRefused(generation: number, why: string): RehydrateError {
  return new RehydrateError('STORE_GENERATION', { message: `Generation ${generation} ${why}.`, actual: generation })
}

export function generationNotFound(generation: number, store: string): RehydrateError {
  return new RehydrateError('STORE_NOT_FOUND', {
    message: `There is no generation ${generation} in ${store}.`, actual: generation,
    fix: '`rehydrate generation list` shows what there is; `rehydrate replay` fills an empty store.',
  })
}

export function sessionClosed(generation: number): RehydrateError {
  return new RehydrateError('USAGE', {
    message: `This session of generation ${generation} is closed.`,
    fix: 'Open another session of the store.',
  })
}

export function sessionReadOnly(generation: number): RehydrateError {
  return new RehydrateError('USAGE', {
    message: `This session of generation ${generation} was opened for reading.`,
    fix: "Open the generation with mode: 'write'.",
  })
}
