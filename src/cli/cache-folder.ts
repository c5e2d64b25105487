import { homedir } from 'node:os'
import { join } from 'node:path'

/** REHYDRATE_CACHE, else rehydrate in the user's cache folder (XDG_CACHE_HOME, ~/.cache). */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const own = env['REHYDRATE_CACHE']
  if (own !== undefined && own !== '') return own
  const xdg = env['XDG_CACHE_HOME']
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'rehydrate')
}
