export { memoryLog } from './source.js'
export type { MemoryEntry, MemoryEvent, MemoryHole, MemoryLog, MemoryLogOptions } from './source.js'
export { memoryStore } from './store.js'
