/**
 * The documents of a YAML file of the plain kind that manifests are written in: maps and lists by indentation, lists in brackets, plain
 * and single-quoted scalars, comments. Throws on anything else.
 */
export function documentsOf(text: string): unknown[] {
  return text.split(/^---$/m).map((document) => {
    const lines = document.split('\n').map((line) => line.replace(/(^| )#.*$/, '').trimEnd()).filter((line) => line !== '')
    const reader = { lines, at: 0 }
    const value = blockOf(reader, 0)
    if (reader.at !== lines.length) throw new Error(`Not understood: ${lines[reader.at]}`)
    return value
  })
}

interface Reader { readonly lines: string[]; at: number }

const indentOf = (line: string): number => line.length - line.trimStart().length

function blockOf(reader: Reader, indent: number): unknown {
  return reader.lines[reader.at]?.trimStart().startsWith('- ') === true ? listOf(reader, indent) : mapOf(reader, indent)
}

function listOf(reader: Reader, indent: number): unknown[] {
  const list: unknown[] = []
  for (let line = reader.lines[reader.at]; line !== undefined && indentOf(line) === indent && line[indent] === '-'; line = reader.lines[reader.at]) {
    // What follows the dash is a block that begins two columns further.
    reader.lines[reader.at] = `${' '.repeat(indent + 2)}${line.slice(indent + 2)}`
    list.push(blockOf(reader, indent + 2))
  }
  return list
}

function mapOf(reader: Reader, indent: number): Record<string, unknown> {
  const map: Record<string, unknown> = {}
  for (let line = reader.lines[reader.at]; line !== undefined && indentOf(line) === indent; line = reader.lines[reader.at]) {
    const match = /^ *([A-Za-z][\w-]*):(?: (.+))?$/.exec(line)
    if (match === null) throw new Error(`Not understood: ${line}`)
    const [, key = '', inline] = match
    if (key in map) throw new Error(`${key} comes twice.`)
    reader.at++
    const next = reader.lines[reader.at]
    map[key] = inline === undefined && next !== undefined ? blockOf(reader, indentOf(next)) : scalarOf(inline ?? '')
  }
  return map
}

function scalarOf(text: string): unknown {
  if (text.startsWith('[')) return text.slice(1, -1).split(',').map((item) => scalarOf(item.trim()))
  if (text.startsWith("'")) return text.slice(1, -1)
  if (/^[{&*!|>"%@`]/.test(text)) throw new Error(`Not understood: ${text}`)
  return /^\d+$/.test(text) ? Number(text) : text
}
