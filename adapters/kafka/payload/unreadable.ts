/** What is wrong with the bytes of one payload, whose place only the caller knows; it becomes EVENT_INVALID there. A predicate: "has …". */
export class Unreadable extends Error {}

/** A schema that this adapter can not read, or that says what can not be. A predicate too. */
export class SchemaUnreadable extends Error {}
