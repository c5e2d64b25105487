/** `rehydrate/conformance`: the laws of sources and stores, for the tests of adapters. */
export type { ConformanceCase } from './kit.js'
export { sourceCases } from './sources.js'
export type { SourceCapability, SourceEntry, SourceHarness, SourceHole, SourceLog, SourceRecord } from './sources.js'
export { storeCases } from './stores.js'
export type { StoreCapability, StoreFactory, StoreUnderTest } from './stores.js'
