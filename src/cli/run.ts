import type { CommandName, Context, Handler, Invocation } from './command.js'
import type { Io } from './io.js'
import { Output, type Reader } from './output.js'
import { parseCommandLine } from './parse.js'

/** Each command's code is loaded when it is run. */
const HANDLERS: Readonly<Record<CommandName, () => Promise<Handler>>> = {
  demo: async () => (await import('./demo-command.js')).demoCommand,
  init: async () => (await import('./init.js')).initCommand,
  doctor: async () => (await import('./doctor.js')).doctorCommand,
  plan: async () => (await import('./plan.js')).planCommand,
  replay: async () => (await import('./replay.js')).replayCommand,
  seal: async () => (await import('./seal.js')).sealCommand,
  status: async () => (await import('./status.js')).statusCommand,
  generation: async () => (await import('./generation.js')).generationCommand,
  verify: async () => (await import('./verify.js')).verifyCommand,
  diff: async () => (await import('./diff.js')).diffCommand,
  repair: async () => (await import('./repair.js')).repairCommand,
  handover: async () => (await import('./handover.js')).handoverCommand,
  inspect: async () => (await import('./inspect.js')).inspectCommand,
  explain: async () => (await import('./inspect.js')).explainCommand,
  prove: async () => (await import('./prove.js')).proveCommand,
  check: async () => (await import('./check.js')).checkCommand,
  export: async () => (await import('./export.js')).exportCommand,
  digest: async () => (await import('./digest.js')).digestCommand,
  serve: async () => (await import('./serve.js')).serveCommand,
  help: async () => (await import('./help.js')).helpCommand,
}

/** Runs one command line (without `node` and the script). Resolves to the exit code; never rejects. */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  let output = new Output(io, readerOf((name) => args.includes(`--${name}`)))
  try {
    const invocation = parseCommandLine(args, io.env)
    const { flags } = invocation
    output = new Output(io, readerOf((name) => flags.has(name)), flags.text('log-level'))
    return await runCommand({ ...invocation, io, output })
  } catch (error) {
    return output.fail(error)
  }
}

async function runCommand(context: Context): Promise<number> {
  if (context.flags.has('help')) return (await HANDLERS.help())(helpFor(context))
  return (await HANDLERS[context.command.name]())(context)
}

/** `rehydrate replay --help` is `rehydrate help replay`; of help itself, the overview. */
function helpFor(context: Context): Context {
  const topic: Invocation['positionals'] = context.command.name === 'help' ? new Map() : new Map([['COMMAND|CODE', context.command.name]])
  return { ...context, positionals: topic }
}

function readerOf(has: (name: string) => boolean): Reader {
  return has('jsonl') ? 'lines' : has('json') ? 'document' : 'person'
}
