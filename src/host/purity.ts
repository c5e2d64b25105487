import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { RehydrateError } from '../errors.js'
import type { Purity } from '../replay/api.js'

/**
 * Guards clocks, random numbers, timers and the network while handlers run. The globals of a process are shared by all its
 * runs, so the guard is one per process: installed by the first run, taken away after the last. Outside of enter() … leave()
 * everything behaves as before. What a module kept in a variable before the first run (`const now = Date.now`) is not seen;
 * the sampled double runs are there for that.
 */
export const hostPurity: Purity = {
  install() {
    if (installs === 0) restore = guardAll()
    installs += 1
    let installed = true
    return () => {
      if (!installed) return
      installed = false
      installs -= 1
      if (installs === 0) restore()
    }
  },
  enter() {
    depth += 1
  },
  leave() {
    depth -= 1
  },
}

let installs = 0
let restore: () => void
/** Above 0 while handlers run. Handlers are synchronous, so one counter serves every run of the process. */
let depth = 0

type AnyFunction = (this: unknown, ...args: any[]) => unknown

const GUARDED: readonly (readonly [target: object, label: string, names: readonly string[]])[] = [
  [Math, 'Math.', ['random']],
  [globalThis.performance, 'performance.', ['now', 'mark', 'measure']],
  [globalThis.crypto, 'crypto.', ['getRandomValues', 'randomUUID']],
  [crypto, 'crypto.', ['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync', 'randomFill']],
  [globalThis, '', ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch']],
  [timers, 'timers.', ['setTimeout', 'setInterval', 'setImmediate']],
  [timersPromises, 'timers/promises.', ['setTimeout', 'setInterval', 'setImmediate']],
]

function guardAll(): () => void {
  const undo = [guardDate(), guardHrtime()]
  for (const [target, label, names] of GUARDED) {
    for (const name of names) {
      const original = (target as Record<string, unknown>)[name]
      if (typeof original === 'function') undo.push(replace(target, name, guarded(`${label}${name}()`, original as AnyFunction)))
    }
  }
  syncBuiltinESMExports()
  return () => {
    for (const step of undo) step()
    syncBuiltinESMExports()
  }
}

function refuse(what: string): never {
  throw new RehydrateError('IMPURE_HANDLER', { message: `A handler called ${what}.`, actual: what })
}

/** The original behind a check, with everything else about it (name, length, util.promisify.custom) unchanged. */
function guarded(what: string, original: AnyFunction): AnyFunction {
  const wrapper: AnyFunction = function (...args) {
    if (depth > 0) refuse(what)
    return Reflect.apply(original, this, args)
  }
  const { prototype: _, ...rest } = Object.getOwnPropertyDescriptors(original) as Record<string, PropertyDescriptor>
  return Object.defineProperties(wrapper, rest)
}

/** Puts `value` in the place of a property. The result puts the original back, unless somebody else replaced ours meanwhile. */
function replace(target: object, name: string, value: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { enumerable: own?.enumerable ?? false, configurable: true, writable: true, value })
  return () => {
    if (Object.getOwnPropertyDescriptor(target, name)?.value !== value) return
    if (own === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, own)
  }
}

function guardHrtime(): () => void {
  const hrtime = guarded('process.hrtime()', process.hrtime as AnyFunction)
  Object.defineProperty(hrtime, 'bigint', {
    ...Object.getOwnPropertyDescriptor(process.hrtime, 'bigint'),
    value: guarded('process.hrtime.bigint()', process.hrtime.bigint as AnyFunction),
  })
  return replace(process, 'hrtime', hrtime)
}

/**
 * Date with the clock guarded: `new Date()`, `Date()` and `Date.now()`; `new Date(x)`, parse and UTC ask no clock. A plain
 * function over the same prototype, because a Proxy or a rest parameter makes `new Date(x)` ten times slower.
 */
function guardDate(): () => void {
  const Original = globalThis.Date
  const GuardedDate = function (value: number): unknown {
    if (arguments.length === 0 || new.target === undefined) {
      if (depth > 0) refuse(new.target === undefined ? 'Date()' : 'new Date()')
      if (new.target === undefined) return Original()
    }
    if (arguments.length === 1 && new.target === GuardedDate) return new Original(value)
    return Reflect.construct(Original, arguments as unknown as ArrayLike<unknown>, new.target)
  } as unknown as DateConstructor
  const undoNow = replace(Original, 'now', guarded('Date.now()', Original.now as AnyFunction))
  Object.defineProperties(GuardedDate, {
    ...Object.getOwnPropertyDescriptors(Original),
    prototype: { value: Original.prototype, writable: false },
  })
  const undoConstructor = replace(Original.prototype, 'constructor', GuardedDate)
  const undoDate = replace(globalThis, 'Date', GuardedDate)
  return () => {
    undoDate()
    undoConstructor()
    undoNow()
  }
}
