#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs'

// Nothing else is imported before it is known what is asked: `rehydrate --version` costs little more than bare Node.
const args = process.argv.slice(2)
if (args.length === 1 && (args[0] === '--version' || args[0] === '-v')) process.stdout.write(`${version()}\n`)
else await runProcess()

function version(): string {
  let manifest = new URL('../../package.json', import.meta.url)
  if (!existsSync(manifest)) manifest = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}

async function runProcess(): Promise<void> {
  const [{ runCli }, { processIo }] = await Promise.all([import('./run.js'), import('./io.js')])
  const exitCode = await runCli(args, processIo())
  // What the user's configuration left open must not keep the process; what was printed must be out.
  process.stdout.write('', () => process.exit(exitCode))
}
