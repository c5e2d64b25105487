import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Context, usage } from './command.js'

export const TOKEN_VARIABLE = 'REHYDRATE_TOKEN'

/** The token of `serve --digest`, from --token-file or the environment; never from the command line, which others can read. USAGE. */
export async function tokenOf({ flags, io }: Context): Promise<string> {
  const file = flags.text('token-file')
  const token = file === undefined ? io.env[TOKEN_VARIABLE] : await readTokenFile(resolve(io.folder, file))
  if (token !== undefined && token !== '') return token
  throw usage('A token is needed, the same on both sides.', {
    fix: `Make one with \`openssl rand -hex 32\`; give it as ${TOKEN_VARIABLE} or in a file with --token-file FILE.`,
  })
}

/** A line feed at its end does not count. */
async function readTokenFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    throw usage(`${file} can not be read: ${(error as Error).message}`, { fix: 'Name a file that holds the token and nothing else.' })
  }
}
