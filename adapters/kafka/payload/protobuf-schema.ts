import type * as Protobuf from 'protobufjs'
import type { Enum, Field, NamespaceBase, Root, Type } from 'protobufjs'
import { RehydrateError } from '../../../src/index.js'
import { zeroOf, type ProtoField, type ProtoMessage, type ProtoScalar, type ProtoType } from './protobuf.js'
import { SchemaUnreadable } from './unreadable.js'

type Library = typeof Protobuf

const VERSION = '8.8.1'

/** Loaded when the first Protobuf schema is met. ADAPTER_PEER_MISSING. */
export async function loadProtobuf(): Promise<Library> {
  try {
    // It is CommonJS; types say what is there either way.
    const loaded = await import('protobufjs') as Library & { readonly default?: Library }
    return loaded.default ?? loaded
  } catch (cause) {
    throw new RehydrateError('ADAPTER_PEER_MISSING', {
      message: 'The schema registry has schemas of Protobuf, which are read with the package protobufjs.',
      fix: `npm install protobufjs@${VERSION}`,
      cause,
    })
  }
}

/** The messages of one .proto file, found by the indexes that stand before a message. */
export interface ProtoFile {
  /**
   * Indexes into the messages of the file, then into those inside of the one found. SchemaUnreadable where there is none, and where a
   * group stands before it, so that it is one message for writers that count groups (by descriptors) and another one for others (by text).
   */
  messageAt(indexes: readonly number[]): ProtoMessage
  /** By its full name; null where neither the file nor what it imports has one. SchemaUnreadable. */
  messageNamed(name: string): ProtoMessage | null
}

/**
 * Reads the text of a .proto file; `imports`: those of the files that it imports, by the name in `import`, in such an order that each comes
 * after what it imports. Types of google/protobuf need not be among them. Nothing is generated from a schema. Throws SchemaUnreadable.
 */
export function parseProtobuf(library: Library, text: string, imports: ReadonlyMap<string, string>): ProtoFile {
  const root = new library.Root()
  const own = parsed(library, text, new library.Root())
  for (const imported of imports.values()) parsed(library, imported, root)
  parsed(library, text, root)
  addCommon(library, root, [text, ...imports.values()].flatMap((each) => importsOf(library, each)), imports)
  try {
    root.resolveAll()
  } catch (cause) {
    throw new SchemaUnreadable(`can not be resolved: ${(cause as Error).message}`)
  }
  const top = own.package === undefined ? own.root : own.root.lookup(own.package) as NamespaceBase
  const messages = new Messages(library)
  return {
    messageAt(indexes) {
      const [byText, byDescriptor] = [walk(library, top, indexes, false), walk(library, top, indexes, true)]
      const found = byText ?? byDescriptor
      if (found === null) throw new SchemaUnreadable(`has no message ${indexes.join('.')}`)
      if (byDescriptor !== null && byDescriptor !== found) {
        throw new SchemaUnreadable(`has a group before message ${indexes.join('.')}: it is ${nameOf(found)}, or ${nameOf(byDescriptor)}`)
      }
      return messages.of(root.lookupType(found.fullName))
    },
    messageNamed(name) {
      const found = root.lookup(`.${name}`)
      return found instanceof library.Type ? messages.of(found) : null
    },
  }
}

/** The message that indexes lead to; null: none, or a group. */
function walk(library: Library, top: NamespaceBase, indexes: readonly number[], withGroups: boolean): Type | null {
  let at: NamespaceBase = top
  for (const index of indexes) {
    const messages = at.nestedArray.filter((each): each is Type => each instanceof library.Type)
    const next = messages.filter((each) => withGroups || !isGroup(each))[index]
    if (next === undefined || isGroup(next)) return null
    at = next
  }
  return at instanceof library.Type ? at : null
}

/** Its types do not say it. */
function isGroup(type: Type & { readonly group?: boolean }): boolean {
  return type.group === true
}

function nameOf({ fullName }: Type): string {
  return fullName.replace(/^\./, '')
}

type Parsed = ReturnType<Library['parse']>

function parsed(library: Library, text: string, root: Root): Parsed {
  try {
    return library.parse(text, root, { keepCase: true })
  } catch (cause) {
    throw new SchemaUnreadable(`is no Protobuf schema: ${(cause as Error).message}`)
  }
}

function importsOf(library: Library, text: string): readonly string[] {
  const { imports, weakImports } = parsed(library, text, new library.Root())
  return [...imports ?? [], ...weakImports ?? []]
}

/** What the library knows of google/protobuf itself. */
function addCommon(library: Library, root: Root, names: readonly string[], given: ReadonlyMap<string, string>): void {
  for (const name of new Set(names)) {
    const known = given.has(name) ? null : library.common.get(name)
    if (known?.nested !== undefined) root.addJSON(known.nested)
  }
}

class Messages {
  readonly #library: Library
  readonly #known = new Map<string, ProtoMessage>()

  constructor(library: Library) {
    this.#library = library
  }

  of(type: Type): ProtoMessage {
    const known = this.#known.get(type.fullName)
    if (known !== undefined) return known
    const message: ProtoMessage = { name: nameOf(type), fields: new Map() }
    // Known before its fields are read: a message may hold itself.
    this.#known.set(type.fullName, message)
    for (const field of type.fieldsArray) message.fields.set(field.id, this.#field(field))
    return message
  }

  #field(field: Field): ProtoField {
    const { MapField } = this.#library
    const type = this.#typeOf(field)
    return {
      name: field.jsonName,
      type,
      shape: field instanceof MapField ? 'map' : field.repeated ? 'repeated' : 'single',
      keyScalar: field instanceof MapField ? field.keyType as ProtoScalar : null,
      absent: absentOf(field, type),
      isRequired: field.required,
      isDelimited: field.delimited,
      oneOf: field.partOf === null ? null : field.partOf.fieldsArray.map(({ jsonName }) => jsonName),
    }
  }

  #typeOf({ type, resolvedType }: Field): ProtoType {
    const library = this.#library
    if (resolvedType instanceof library.Enum) return { kind: 'enum', names: namesOf(resolvedType) }
    if (resolvedType instanceof library.Type) return { kind: 'message', message: this.of(resolvedType) }
    return { kind: 'scalar', scalar: type as ProtoScalar }
  }
}

/** Of two names for one number the first. */
function namesOf({ values }: Enum): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  for (const [name, number] of Object.entries(values)) if (!names.has(number)) names.set(number, name)
  return names
}

function absentOf(field: Field, type: ProtoType): unknown {
  const stated: unknown = field.options?.['default']
  if (stated === undefined) return field.hasPresence || field.partOf !== null ? undefined : zeroOf(type)
  if (type.kind === 'enum') return typeof stated === 'number' ? type.names.get(stated) ?? stated : stated
  if (type.kind === 'scalar' && type.scalar === 'bytes') return new Uint8Array(Buffer.from(String(stated), 'latin1'))
  const isRounded = type.kind === 'scalar' && type.scalar.endsWith('64') && !Number.isSafeInteger(stated)
  if (isRounded) throw new SchemaUnreadable(`has a default of ${field.name} beyond 2^53, which can not be read exactly`)
  return stated
}
