/** `rehydrate/testing`: for authors of projections. Binds the real world to the kit, as index.ts does for the engine. */
import { givenIn } from './conformance/given.js'
import { hostPurity } from './host/purity.js'

export const given = givenIn(hostPurity)
export type { Given, GivenEvent, GivenState } from './conformance/given.js'
