/** A configuration with one job, as a person would write it. */
export interface ConfigParts {
  /** As a property is written. */
  readonly job: string
  /** The adapter to import, the function of it that makes the source, and what that is given: one line each. */
  readonly source: { readonly from: string; readonly name: string; readonly options: readonly string[] }
  readonly projection: { readonly name: string; readonly file: string }
}

/** The text of `rehydrate.config.ts`. The state is kept beside it. */
export function configText({ job, source: { from, name, options }, projection }: ConfigParts): string {
  return [
    "import { join } from 'node:path'",
    "import { defineConfig } from 'rehydrate'",
    `import { ${name} } from '${from}'`,
    "import { sqlite } from 'rehydrate/sqlite'",
    `import { ${projection.name} } from './${projection.file}'`,
    '',
    'export default defineConfig({',
    '  jobs: {',
    `    ${job}: {`,
    ...(options.length === 1 ? [`      source: ${name}({ ${options[0]} }),`]
      : [`      source: ${name}({`, ...options.map((line) => `        ${line}`), '      }),']),
    `      projection: ${projection.name},`,
    "      store: sqlite({ path: join(import.meta.dirname, 'state.db') }),",
    '    },',
    '  },',
    '})',
    '',
  ].join('\n')
}
