import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseCommandLine } from '../../src/cli/parse.js'
import { shardOf } from '../../src/cli/shard.js'
import { ERRORS } from '../../src/index.js'
import { documentsOf } from '../support/yaml.js'

const FOLDER = join(import.meta.dirname, '../../docs/examples/kubernetes')
const [claim, replay, joining] = documentsOf(readFileSync(join(FOLDER, 'job.yaml'), 'utf8')) as any[]

test('the command lines of the example are ones that this tool takes, for every index', () => {
  const { completions, parallelism, template } = replay.spec
  const [container] = template.spec.containers
  expect([replay.spec.completionMode, completions, parallelism]).toEqual(['Indexed', 8, 8])
  for (let index = 0; index < completions; index++) {
    const args = container.args.map((arg: string) => arg.replace('$(JOB_COMPLETION_INDEX)', String(index)))
    const { command, flags, positionals } = parseCommandLine(args, {})
    expect([command.name, positionals.get('JOB'), shardOf(flags)]).toEqual(['replay', 'orders', { index, of: completions }])
  }
  const joined = parseCommandLine(joining.spec.template.spec.containers[0].args, {})
  expect([joined.command.name, joined.flags.whole('join')]).toEqual(['seal', completions])
})

test('every exit code of the policies is one of ours, and every failing one of ours is in the policy of the replay', () => {
  const ours = new Set<number>([...Object.values(ERRORS).map(({ exit }) => exit), 143])
  const named = (job: any, action: string): number[] =>
    job.spec.podFailurePolicy.rules.filter((rule: any) => rule.action === action && rule.onExitCodes).flatMap((rule: any) => rule.onExitCodes.values)
  expect(named(replay, 'FailJob')).toEqual([7, 8, 64])
  expect(named(replay, 'Count')).toEqual([2, 5, 130, 143])
  for (const job of [replay, joining]) {
    for (const code of [...named(job, 'FailJob'), ...named(job, 'Count')]) expect(ours, String(code)).toContain(code)
    for (const rule of job.spec.podFailurePolicy.rules) {
      if (rule.onExitCodes) expect(rule.onExitCodes.containerName).toBe(job.spec.template.spec.containers[0].name)
    }
  }
  // 1 and 3 are answers of commands that compare and wait: a replay does not end in them.
  expect([...ours].filter((code) => ![1, 3].includes(code)).sort((a, b) => a - b))
    .toEqual([...named(replay, 'FailJob'), ...named(replay, 'Count')].sort((a, b) => a - b))
})

test('volumes that are mounted are there, of the claim that is made', () => {
  for (const { spec } of [replay, joining].map(({ spec: { template } }) => template)) {
    expect(spec.restartPolicy).toBe('Never')
    for (const { name } of spec.containers[0].volumeMounts) expect(spec.volumes.map((volume: any) => volume.name)).toContain(name)
    expect(spec.volumes[0].persistentVolumeClaim.claimName).toBe(claim.metadata.name)
  }
})
