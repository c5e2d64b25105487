import type { Projection } from '../projection/define.js'
import { movingTurns } from './moving-turns.js'
import { orderedTurns } from './ordered-turns.js'
import { provedTurns } from './proved-turns.js'
import { FROM_THE_START, type KeptOrder, type TurnOptions, type Turns } from './turn.js'

/** The turns of a fold by this projection: in its order, with the placement of each record proved where it says how keys are placed. */
export function turnsOf(options: TurnOptions, projection: Projection, kept: KeptOrder = FROM_THE_START): Turns {
  const { placement } = projection
  if (placement === null) return orderedTurns(options, projection, kept.merge)
  if (!placement.moves) return provedTurns(orderedTurns(options, projection, kept.merge), placement, () => true)
  return movingTurns(options, projection, placement, kept)
}
