import { expect, test } from 'vitest'
import { COMMANDS, DEFERRED_COMMANDS, GLOBAL_FLAGS } from '../../src/cli/commands.js'
import { parseCommandLine } from '../../src/cli/parse.js'

const parse = (line: string, env: Record<string, string> = {}): ReturnType<typeof parseCommandLine> =>
  parseCommandLine(line.split(' ').filter((word) => word !== ''), env)

test('a command line is read against the table', () => {
  const { command, positionals, flags } = parse('replay orders --until orders/0@41 --accept LOG_GAP=a@1 --accept=LOG_GAP=a@3 --restart')
  expect(command.name).toBe('replay')
  expect(positionals).toEqual(new Map([['JOB', 'orders']]))
  expect(flags.text('until')).toBe('orders/0@41')
  expect(flags.list('accept')).toEqual(['LOG_GAP=a@1', 'LOG_GAP=a@3'])
  expect([flags.has('restart'), flags.has('takeover'), flags.text('config')]).toEqual([true, false, undefined])
})

test('every command of the table can be named, and takes its flags once', () => {
  for (const command of COMMANDS) {
    const names = [...command.flags, ...GLOBAL_FLAGS].map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(parse(`${command.name} --help`).command).toBe(command)
  }
})

test('flags win over environment variables', () => {
  expect(parse('status', { REHYDRATE_CONFIG: 'a.ts' }).flags.text('config')).toBe('a.ts')
  expect(parse('status --config b.ts', { REHYDRATE_CONFIG: 'a.ts' }).flags.text('config')).toBe('b.ts')
  expect(parse('status', { REHYDRATE_CONFIG: '' }).flags.has('config')).toBe(false)
})

test.each([
  ['replya', 'There is no command replya. Did you mean replay?'],
  ['verfy', 'There is no command verfy. Did you mean verify?'],
  ['--json status', 'The command comes first, then --json.'],
  ['replay --untill head', 'replay takes no --untill. Did you mean --until?'],
  ['replay -u', 'replay takes no -u.'],
  ['replay --until', '--until takes a value.'],
  ['replay --until --restart', '--until takes a value.'],
  ['replay --until=', '--until takes a value.'],
  ['replay --restart=yes', '--restart takes no value.'],
  ['replay --until head --until follow', '--until is given twice.'],
  ['replay a b', 'replay does not take "b".'],
  ['inspect', 'inspect takes KEY.'],
  ['generation', 'generation takes list|switch|drop.'],
  ['generation swich', 'generation ACTION can not be swich. Did you mean switch?'],
  ['export --format xml', '--format can not be xml.'],
  ['status --log-level loud', '--log-level can not be loud.'],
])('"%s" is USAGE: %s', (line, message) => {
  expect(() => parse(line)).toThrow(expect.objectContaining({ code: 'USAGE', message }))
})

test.each<[string, string]>([
  ...Object.keys(DEFERRED_COMMANDS).map((name): [string, string] => [name, `${name} is not built yet.`]),
  ['replay --from-snapshot latest', '--from-snapshot is not built yet.'],
  ['export --format csv', '--format csv is not built yet.'],
  ['export --format parquet', '--format parquet is not built yet.'],
])('"%s" is refused by name: OPTION_DEFERRED', (line, message) => {
  expect(() => parse(line)).toThrow(expect.objectContaining({ code: 'OPTION_DEFERRED', message }))
})

test('--workers of a command that will never take it is a plain mistake', () => {
  expect(() => parse('status --workers 2')).toThrow(expect.objectContaining({ code: 'USAGE' }))
})
