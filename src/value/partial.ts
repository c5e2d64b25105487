import { RehydrateError } from '../errors.js'

/** Objects that hold some fields of what was in the log, and know it: to touch another one is FIELD_NOT_DECLARED. */

export interface Touched {
  error: RehydrateError | null
}

interface Guarded {
  /** Whose data it is: the type of the event. */
  readonly of: string
  readonly declared: readonly string[]
  readonly touched: Touched
}

const PARTIAL = Symbol('partial')
const ABSENT = Symbol('absent')
/** Which fields are there is kept as bits of an integer. */
const MOST_FIELDS = 30
/** Constructors per maker: each set of present fields has one. */
const MOST_CONSTRUCTORS = 64

type Make = new (values: readonly unknown[]) => object

export interface ObjectMaker {
  /** In the place of a value: the field is not there. */
  readonly absent: symbol
  /** An object of the values, by the place of their names; which may be used again then. */
  make(values: readonly unknown[]): object
  /** Was this object made here? */
  made(value: object): boolean
  /** The error of one who took the whole object, with all that it does not hold. */
  takenWhole(): RehydrateError
}

/** True where an object holds only some of the fields that are in the log. */
export function isPartial(value: unknown): value is object {
  return typeof value === 'object' && value !== null && makerBehind(value) !== undefined
}

/** The error of one who would keep or copy an object that holds only some fields; null where it is an ordinary one. */
export function partialTaken(value: object): RehydrateError | null {
  return makerBehind(value)?.takenWhole() ?? null
}

/** A copy that is partial as the original is. */
export function copyObject(value: object): Record<string, unknown> {
  const copy: Record<string, unknown> = { ...value }
  return isPartial(value) ? Object.setPrototypeOf(copy, Object.getPrototypeOf(value) as object) as Record<string, unknown> : copy
}

/**
 * A copy whose partial objects also refuse to be listed: `{ ...data }`, Object.keys and the like see own fields only, and so can be
 * noticed only by such a Proxy, which is too slow for every event.
 */
export function unlistable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(unlistable)
  const maker = makerBehind(value)
  if (maker === undefined) return value
  const copy = copyObject(value)
  for (const [name, item] of Object.entries(copy)) copy[name] = unlistable(item)
  return new Proxy(copy, {
    ownKeys: () => { throw maker.takenWhole() },
    getOwnPropertyDescriptor: (target, name) => {
      // What is not there is asked of the prototype, which refuses names that are not declared.
      if (!Object.hasOwn(target, name)) Reflect.has(Object.getPrototypeOf(target) as object, name)
      return Object.getOwnPropertyDescriptor(target, name)
    },
    // Who writes a field reads none.
    set: (target, name, item: unknown) => {
      return Reflect.defineProperty(target, name, { value: item, writable: true, enumerable: true, configurable: true })
    },
  })
}

function makerBehind(value: object): ObjectMaker | undefined {
  return (value as { readonly [PARTIAL]?: ObjectMaker })[PARTIAL]
}

/** Makes objects of these fields, which lie at `path`: `$.customer`. Not guarded: plain objects. */
export function makerOf(names: readonly string[], path: string, guarded: Guarded | null): ObjectMaker {
  const prototype = guarded === null ? Object.prototype : null
  const constructors = new Map<number, Make | null>()
  let last = -1
  let Last: Make | null = null
  const maker: ObjectMaker = {
    absent: ABSENT,
    make: (values) => {
      let present = 0
      for (let i = 0; i < names.length; i++) if (values[i] !== ABSENT) present |= 1 << i
      if (present !== last || Last === null) {
        Last = names.length > MOST_FIELDS ? null : constructorOf(present)
        last = present
      }
      return Last === null ? slowly(values) : new Last(values)
    },
    made: (value) => guarded !== null && makerBehind(value) === maker,
    takenWhole: () => touch(guarded as Guarded, path, `All of ${path === '$' ? 'the data' : path}`),
  }
  const base: object = prototype ?? guardOf(maker, names, path, guarded as Guarded)
  const constructorOf = (present: number): Make | null => {
    const known = constructors.get(present)
    if (known !== undefined || constructors.size >= MOST_CONSTRUCTORS) return known ?? null
    const made = makeFor(names.flatMap((name, i) => ((present & (1 << i)) === 0 ? [] : [[name, i] as const])), base)
    constructors.set(present, made)
    return made
  }
  const slowly = (values: readonly unknown[]): object => {
    const object: Record<string, unknown> = {}
    for (let i = 0; i < names.length; i++) if (values[i] !== ABSENT) object[names[i] as string] = values[i]
    return Object.setPrototypeOf(object, base) as object
  }
  return maker
}

/**
 * Makes objects with these fields out of the values. Its prototype has a field of each name: so an assignment meets that one, and not the
 * guard behind it. Written as source, because V8 gives each function its own inline caches. (Measured in a fold: a quarter of the time that
 * fields of a class take, which need no such prototype; a plain `{}` with Object.setPrototypeOf takes more than those.) Null where the
 * process forbids code from strings.
 */
function makeFor(fields: readonly (readonly [name: string, place: number])[], base: object): Make | null {
  const body = fields.map(([name, place]) => `this[${JSON.stringify(name)}] = values[${place}];`).join(' ')
  let Made: Make & { prototype: object }
  try {
    Made = new Function(`return function (values) { ${body} }`)() as typeof Made
  } catch {
    return null
  }
  Made.prototype = Object.create(base, Object.fromEntries(fields.map(([name]) => [name, { value: undefined, writable: true }])))
  return Made
}

function guardOf(maker: ObjectMaker, names: readonly string[], path: string, guarded: Guarded): object {
  const inherited = Object.prototype as unknown as Record<PropertyKey, unknown>
  // A field of logs is called constructor sooner than a handler asks for the class; the rest of what objects inherit are methods.
  const isKnown = (name: PropertyKey): boolean => {
    return typeof name === 'symbol' || names.includes(name as string) || (name in inherited && name !== 'constructor')
  }
  const refuse = (name: PropertyKey): never => { throw touch(guarded, `${path}.${String(name)}`, `${path}.${String(name)}`) }
  return new Proxy(Object.create(Object.prototype) as object, {
    get: (_, name, receiver) => {
      if (name === PARTIAL) return maker
      // JSON.stringify asks for this one first.
      if (name === 'toJSON' && !names.includes(name)) throw maker.takenWhole()
      if (names.includes(name as string)) return undefined
      return isKnown(name) ? Reflect.get(inherited, name, receiver) : refuse(name)
    },
    has: (_, name) => (names.includes(name as string) ? false : isKnown(name) ? name in inherited : refuse(name)),
    // For a loop with `in`, which goes up the prototypes.
    ownKeys: () => { throw maker.takenWhole() },
  })
}

function touch({ of, declared, touched }: Guarded, path: string, what: string): RehydrateError {
  const error = new RehydrateError('FIELD_NOT_DECLARED', {
    message: `${what} of ${of} is read, which \`reads\` does not declare.`,
    path, expected: declared.join(', '), actual: path,
  })
  touched.error ??= error
  return error
}
