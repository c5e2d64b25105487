import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseCommandLine } from '../../src/cli/parse.js'
import { documentsOf } from '../support/yaml.js'

const FOLDER = join(import.meta.dirname, '../../docs/examples/compose')
const [compose] = documentsOf(readFileSync(join(FOLDER, 'compose.yaml'), 'utf8')) as any[]
const { environment, ports, volumes } = compose.services.kafka

test('clients are sent to where the port is published, and only this machine reaches it', () => {
  expect(ports).toEqual(['127.0.0.1:9092:9092'])
  expect(environment.KAFKA_ADVERTISED_LISTENERS).toBe('PLAINTEXT://127.0.0.1:9092')
  expect(environment.KAFKA_LISTENERS).toBe('PLAINTEXT://:9092,CONTROLLER://:9093')
})

test('every listener has a protocol, the quorum is the node itself, and the data lie in the volume', () => {
  const mapped = Object.fromEntries(environment.KAFKA_LISTENER_SECURITY_PROTOCOL_MAP.split(',').map((pair: string) => pair.split(':')))
  for (const listener of environment.KAFKA_LISTENERS.split(',')) expect(mapped).toHaveProperty(listener.split(':')[0], 'PLAINTEXT')
  expect(environment.KAFKA_CONTROLLER_QUORUM_VOTERS).toBe(`${environment.KAFKA_NODE_ID}@localhost:9093`)
  const [name, folder] = volumes[0].split(':')
  expect(compose.volumes).toHaveProperty(name)
  expect(folder).toBe(environment.KAFKA_LOG_DIRS)
})

test('the commands of the page are ones that this tool takes', () => {
  const page = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  const lines = [...page.matchAll(/^(?:\w+=\S+ )?rehydrate ([^#\n]*)/gm)].map(([, line]) => (line as string).trim().split(' '))
  expect(lines.map((args) => parseCommandLine(args, {}).command.name)).toEqual(['demo', 'init', 'doctor', 'replay'])
})
