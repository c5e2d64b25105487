/**
 * Text as a terminal may be given it: keys, values and names come from a log, and could move the cursor, colour what follows or turn it
 * around. Characters that are not seen stand there as `\u{…}`.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`)
}
