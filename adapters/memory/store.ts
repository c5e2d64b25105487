import { overlayStore, type StateStore } from '../../src/index.js'

/**
 * A store in this process's memory: for tests and small states. It has the semantics of a durable store (generations,
 * fencing, pinned reads) and forgets everything with the process. What was committed outlives sessions and `close()`, so
 * that a restart can be played with one object. It is the engine's overlay, over nothing.
 */
export function memoryStore(): StateStore {
  return overlayStore(null)
}
