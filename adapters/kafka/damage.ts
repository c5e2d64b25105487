/** What is wrong with bytes whose place only the caller knows; it becomes LOG_CORRUPT there. The message is a predicate: "has …". */
export class Damage extends Error {}

/** More would come out than the caller allows. */
export class TooLarge extends Damage {}
