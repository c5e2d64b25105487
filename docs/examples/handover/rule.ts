export interface Account {
  readonly cents: number
  readonly moves: number
  /** Of all moves so far, in their order: shows whether one was lost, repeated or exchanged. */
  readonly chain: number
}

/** What a move makes of an account: one rule for the rebuild and for the service. */
export function moved(before: Account | undefined, cents: number): Account {
  const { cents: sum, moves, chain } = before ?? { cents: 0, moves: 0, chain: 0 }
  return { cents: sum + cents, moves: moves + 1, chain: (chain * 31 + cents + 7) % 1_000_003 }
}
