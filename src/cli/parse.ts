import { parseArgs } from 'node:util'
import { nearest, RehydrateError } from '../index.js'
import { type Command, type Flag, Flags, type Invocation, usage } from './command.js'
import { COMMANDS, DEFERRED_COMMANDS, DEFERRED_FLAGS, DEFERRED_VALUES, GLOBAL_FLAGS, usageOf } from './commands.js'

/** Reads a command line against the table. USAGE with the nearest name, OPTION_DEFERRED for what is not built yet. */
export function parseCommandLine(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Invocation {
  const command = findCommand(args[0] ?? 'help')
  const flags = [...command.flags, ...GLOBAL_FLAGS]
  const { tokens } = parseArgs({
    args: args.slice(1), strict: false, allowPositionals: true, tokens: true,
    options: Object.fromEntries(flags.map(({ name, value }) => [name, { type: value === undefined ? 'boolean' : 'string' } as const])),
  })
  const given = new Map<string, string[]>()
  const texts: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') texts.push(token.value)
    if (token.kind !== 'option') continue
    const flag = flags.find(({ name }) => name === token.name) ?? unknownFlag(command, token.rawName, flags)
    const value = checkValue(command, flag, token)
    if (given.has(flag.name) && flag.repeatable !== true) throw usage(`--${flag.name} is given twice.`)
    given.set(flag.name, [...(given.get(flag.name) ?? []), value])
  }
  for (const { name, env: variable } of flags) {
    const value = variable === undefined ? undefined : env[variable]
    if (value !== undefined && value !== '' && !given.has(name)) given.set(name, [value])
  }
  // `--help` needs no positionals.
  return { command, flags: new Flags(given), positionals: given.has('help') ? new Map() : checkPositionals(command, texts) }
}

function findCommand(name: string): Command {
  if (name === '--help' || name === '-h') return findCommand('help')
  const command = COMMANDS.find((candidate) => candidate.name === name)
  if (command !== undefined) return command
  if (Object.hasOwn(DEFERRED_COMMANDS, name)) {
    throw new RehydrateError('OPTION_DEFERRED', {
      message: `${name} is not built yet.`, why: DEFERRED_COMMANDS[name], fix: '`rehydrate help` shows what there is.',
    })
  }
  if (name.startsWith('-')) throw usage(`The command comes first, then ${name}.`, { fix: '`rehydrate help` shows the commands.' })
  const near = nearest(name, [...COMMANDS.map((candidate) => candidate.name), ...Object.keys(DEFERRED_COMMANDS)])
  throw usage(`There is no command ${name}.${near === null ? '' : ` Did you mean ${near}?`}`, {
    expected: COMMANDS.map((candidate) => candidate.name).join(', '), actual: name, fix: '`rehydrate help` shows the commands.',
  })
}

function unknownFlag(command: Command, raw: string, flags: readonly Flag[]): never {
  const name = raw.replace(/^-+/, '')
  const why = DEFERRED_FLAGS[command.name]?.[name]
  if (why !== undefined) throw new RehydrateError('OPTION_DEFERRED', { message: `--${name} is not built yet.`, path: `--${name}`, why })
  const near = nearest(name, flags.map((flag) => flag.name))
  throw usage(`${command.name} takes no ${raw}.${near === null ? '' : ` Did you mean --${near}?`}`, {
    expected: flags.map((flag) => `--${flag.name}`).join(', '), actual: raw, fix: `\`rehydrate help ${command.name}\` shows what it takes.`,
  })
}

interface OptionToken { readonly value?: string | undefined; readonly inlineValue?: boolean | undefined }

function checkValue(command: Command, flag: Flag, token: OptionToken): string {
  if (flag.value === undefined) {
    if (token.value !== undefined) throw usage(`--${flag.name} takes no value.`, { actual: token.value })
    return ''
  }
  const { value } = token
  if (value === undefined || value === '' || (value.startsWith('--') && token.inlineValue !== true)) {
    throw usage(`--${flag.name} takes a value.`, { expected: flag.choices?.join(', ') ?? flag.value })
  }
  if (DEFERRED_VALUES[`${command.name} --${flag.name}`]?.includes(value)) {
    throw new RehydrateError('OPTION_DEFERRED', { message: `--${flag.name} ${value} is not built yet.`, path: `--${flag.name}` })
  }
  if (flag.choices !== undefined && !flag.choices.includes(value)) throw notAChoice(`--${flag.name}`, value, flag.choices)
  return value
}

function checkPositionals(command: Command, texts: readonly string[]): Map<string, string> {
  const extra = texts[command.positionals.length]
  if (extra !== undefined) throw usage(`${command.name} does not take "${extra}".`, { expected: usageOf(command), actual: extra })
  const given = new Map<string, string>()
  command.positionals.forEach(({ name, required, choices }, i) => {
    const text = texts[i]
    if (text === undefined) {
      if (required) throw usage(`${command.name} takes ${choices?.join('|') ?? name}.`, { expected: usageOf(command) })
      return
    }
    if (choices !== undefined && !choices.includes(text)) throw notAChoice(`${command.name} ${name}`, text, choices)
    given.set(name, text)
  })
  return given
}

function notAChoice(where: string, value: string, choices: readonly string[]): RehydrateError {
  const near = nearest(value, choices)
  return usage(`${where} can not be ${value}.${near === null ? '' : ` Did you mean ${near}?`}`, {
    expected: choices.join(', '), actual: value,
  })
}
