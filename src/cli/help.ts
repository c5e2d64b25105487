import { type ErrorCode, ERRORS, nearest } from '../index.js'
import { COMMANDS, DEFERRED_COMMANDS, GLOBAL_FLAGS, usageOf } from './commands.js'
import { type Command, type Flag, type Handler, usage } from './command.js'
import { table } from './format.js'

const EXITS: readonly (readonly [string, string])[] = [
  ['0', 'done; equal'],
  ['1', 'differs, absent, or refused by policy'],
  ['2', 'fault or unknown'],
  ['3', 'not yet'],
  ['5', 'lost the race: fenced, or already running'],
  ['7', 'the source lost data'],
  ['8', 'handler failed, is not deterministic, or the projection changed'],
  ['64', 'usage or configuration'],
  ['130, 143', 'stopped by a signal after a clean checkpoint'],
]

export const helpCommand: Handler = async ({ positionals, output }) => {
  const topic = positionals.get('COMMAND|CODE')
  const command = COMMANDS.find(({ name }) => name === topic)
  const code = topic?.toUpperCase() ?? ''
  if (topic === undefined) {
    const commands = COMMANDS.map(commandJson)
    await output.document({ commands, flags: GLOBAL_FLAGS, deferred: DEFERRED_COMMANDS, exits: Object.fromEntries(EXITS) })
    await output.lines(overview())
  } else if (command !== undefined) {
    await output.document({ ...commandJson(command), globalFlags: GLOBAL_FLAGS })
    await output.lines(commandScreen(command))
  } else if (Object.hasOwn(ERRORS, code)) {
    await output.document({ code, ...ERRORS[code as ErrorCode] })
    await output.lines(codeScreen(code as ErrorCode))
  } else if (Object.hasOwn(DEFERRED_COMMANDS, topic)) {
    await output.document({ name: topic, deferred: DEFERRED_COMMANDS[topic] })
    await output.lines([`${topic} is not built yet. ${DEFERRED_COMMANDS[topic]}`])
  } else {
    const near = nearest(topic, [...COMMANDS.map(({ name }) => name), ...Object.keys(ERRORS)])
    throw usage(`There is no command or error code ${topic}.${near === null ? '' : ` Did you mean ${near}?`}`, {
      actual: topic, fix: '`rehydrate help` shows the commands; docs/errors.md the codes.',
    })
  }
  return 0
}

function commandJson(command: Command): object {
  return { ...command, usage: usageOf(command) }
}

function overview(): string[] {
  return [
    "rehydrate: rebuild a service's state from its event log, and prove it",
    '',
    'rehydrate COMMAND [--json] [--config FILE]',
    '',
    ...table(COMMANDS.map(({ name, summary }) => [name, summary])),
    '',
    'With every command:',
    ...table([...GLOBAL_FLAGS.map(flagRow), ['--version', 'of this program']]),
    '',
    'Exit codes:',
    ...table(EXITS),
    '',
    'Environment: REHYDRATE_CONFIG is --config; NO_COLOR and CI turn colour and the live line off.',
    `Not built yet: ${Object.keys(DEFERRED_COMMANDS).join(', ')}.`,
  ]
}

function commandScreen(command: Command): string[] {
  const flags = [...command.flags, ...GLOBAL_FLAGS]
  return [
    usageOf(command),
    `  ${command.summary}`,
    '',
    ...table(flags.map(flagRow)),
    ...(command.json === null ? [] : ['', `--json prints ${command.json}`]),
  ]
}

function flagRow(flag: Flag): [string, string] {
  const value = flag.value === undefined ? '' : ` ${flag.choices?.join('|') ?? flag.value}`
  const more = [...(flag.repeatable === true ? ['may be repeated'] : []), ...(flag.env === undefined ? [] : [`or ${flag.env}`])]
  return [`--${flag.name}${value}`, `${flag.summary}${more.length === 0 ? '' : ` (${more.join(', ')})`}`]
}

function codeScreen(code: ErrorCode): string[] {
  const { exit, acceptable, summary, safe, fix } = ERRORS[code]
  return [
    `${code}  (exit ${exit === 130 ? '130 or 143' : exit})`,
    ...table([
      ['what', summary], ['safe', safe], ['fix', fix],
      ['waive', acceptable ? 'with the --accept flag above; it stands in the seal for good' : 'can not be accepted'],
    ]),
  ]
}
