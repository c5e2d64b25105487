import type { Phase } from './api.js'

export type PhaseChange = 'planned' | 'reachedEnd' | 'caughtUp' | 'stop' | 'drained' | 'sealed' | 'resumed' | 'failed'

/** What a phase becomes. '-': can not happen there, and is a fault of the engine. */
const PHASES: Readonly<Record<Phase, Readonly<Record<PhaseChange, Phase | '-'>>>> = {
  planning: {
    planned: 'replaying', reachedEnd: '-', caughtUp: '-', stop: 'stopped', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
  replaying: {
    planned: '-', reachedEnd: 'sealing', caughtUp: 'following', stop: 'draining', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
  following: {
    planned: '-', reachedEnd: 'sealing', caughtUp: 'following', stop: 'draining', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
  sealing: {
    planned: '-', reachedEnd: '-', caughtUp: '-', stop: 'draining', drained: '-', sealed: 'sealed', resumed: 'following', failed: 'failed',
  },
  draining: {
    planned: '-', reachedEnd: '-', caughtUp: '-', stop: 'draining', drained: 'stopped', sealed: '-', resumed: '-', failed: 'failed',
  },
  sealed: {
    planned: '-', reachedEnd: '-', caughtUp: '-', stop: 'sealed', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
  stopped: {
    planned: '-', reachedEnd: '-', caughtUp: '-', stop: 'stopped', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
  failed: {
    planned: '-', reachedEnd: '-', caughtUp: '-', stop: 'failed', drained: '-', sealed: '-', resumed: '-', failed: 'failed',
  },
}

/** The phase after a change. Throws on a change that the phase does not know. */
export function nextPhase(phase: Phase, change: PhaseChange): Phase {
  const next = PHASES[phase][change]
  if (next === '-') throw new Error(`A run that is ${phase} can not have "${change}" happen to it.`)
  return next
}
