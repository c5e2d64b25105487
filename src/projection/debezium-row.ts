import { RehydrateError } from '../errors.js'
import type { ColumnDeclarations } from '../value/columns.js'
import { parseJson } from '../value/json.js'
import { dateOf, decimalOf, timestampOf, uuidOf } from '../value/logical.js'

/** What a schema of Kafka Connect says of a field, as far as it is needed here. */
export interface ConnectField {
  readonly type?: string
  readonly field?: string
  /** Of the logical type: `io.debezium.time.Date`. */
  readonly name?: string
  readonly parameters?: Readonly<Record<string, string>>
  readonly fields?: readonly ConnectField[]
}

type Row = Readonly<Record<string, unknown>>

/** By column: what makes the one form that the column keeps out of a text. */
export type Texts = ReadonlyMap<string, (text: string, path: string) => unknown>

const IN_ONE_FORM: Readonly<Record<string, (text: string, path: string) => unknown>> = {
  decimal: decimalOf, timestamp: timestampOf, uuid: uuidOf,
}

/** Of the columns that are declared. Connectors write `12.30`, a column keeps `12.3`. */
export function textsOf(columns: ColumnDeclarations): Texts {
  return new Map(Object.entries(columns).flatMap(([column, declared]) => {
    const kind = /^[a-z0-9]*/.exec(typeof declared === 'string' ? declared : declared.type)![0]
    return Object.hasOwn(IN_ONE_FORM, kind) ? [[column, IN_ONE_FORM[kind]!] as const] : []
  }))
}

/**
 * A row image with each value in the form that columns keep: decimals as digits, dates as YYYY-MM-DD, timestamps as microseconds, bytes as
 * bytes, JSON parsed. Without a schema (null) only `texts` tells what a value is. EVENT_INVALID for a value that the change does not carry.
 */
export function rowOf(row: Row, schema: ConnectField | null, texts: Texts): Row {
  for (const column of Object.keys(row)) if (isUnavailable(row[column])) throw unavailable(column)
  if (schema === null && texts.size === 0) return row
  const fields = new Map((schema?.fields ?? []).map((field) => [field.field, field]))
  // Not assigned one by one: a column may be called __proto__.
  return Object.fromEntries(Object.entries(row).map(([column, value]) => {
    const field = fields.get(column)
    const path = `$.${column}`
    const known = value === null || field === undefined ? value : converted(value, field, path)
    return [column, typeof known === 'string' ? texts.get(column)?.(known, path) ?? known : known]
  }))
}

/** What a connector writes in the place of a large value that the database's log left out, because it did not change. */
const UNAVAILABLE = '__debezium_unavailable_value'
/** As bytes, as the one pair of an hstore in JSON, and as a UUID: version 3 of it. */
const UNAVAILABLE_TEXTS: ReadonlySet<unknown> = new Set([
  UNAVAILABLE, Buffer.from(UNAVAILABLE).toString('base64'), JSON.stringify({ [UNAVAILABLE]: UNAVAILABLE }),
  'b68a35a7-17ad-35b3-af2a-ae46edb4545a',
])
const UNAVAILABLE_NUMBERS = String([...Buffer.from(UNAVAILABLE)])

/** Of an array it is the only element, or its bytes are the elements; of a map it is the only key. */
function isUnavailable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return UNAVAILABLE_TEXTS.has(value)
  if (!Array.isArray(value)) return Object.hasOwn(value, UNAVAILABLE)
  if (value.length === 1) return UNAVAILABLE_TEXTS.has(value[0])
  return value.length === UNAVAILABLE.length && String(value) === UNAVAILABLE_NUMBERS
}

function converted(value: unknown, field: ConnectField, path: string): unknown {
  const convert = field.name === undefined ? undefined : LOGICAL[field.name]
  if (convert !== undefined) return convert(value, field, path)
  return field.type === 'bytes' ? new Uint8Array(Buffer.from(textOf(value, path), 'base64')) : value
}

type Convert = (value: unknown, field: ConnectField, path: string) => unknown

const MS_PER_DAY = 86_400_000
/** 0000-01-01 and 9999-12-31, in days since 1970. What is infinite for PostgreSQL lies beyond. */
const [FIRST_DAY, LAST_DAY] = [-719_528, 2_932_896]

const fromDays: Convert = (value, _field, path) => {
  const days = numberOf(value, path)
  if (days < FIRST_DAY || days > LAST_DAY) throw unfit(path, 'a date in the years 0 to 9999', value)
  return dateOf(new Date(days * MS_PER_DAY).toISOString().slice(0, 10), path)
}
const fromMs: Convert = (value, _field, path) => numberOf(value, path) * 1_000

/** Logical types of Kafka Connect, and those of Debezium (io.debezium.time and io.debezium.data). Others stay as they are. */
const LOGICAL: Readonly<Record<string, Convert>> = {
  'org.apache.kafka.connect.data.Decimal': (value, { parameters }, path) => {
    if (typeof value === 'number') throw rounded(path, value)
    return decimalFromBytes(textOf(value, path), Number(parameters?.['scale'] ?? 0), path)
  },
  'io.debezium.data.VariableScaleDecimal': (value, _field, path) => {
    const { scale, value: unscaled } = value as { readonly scale?: unknown; readonly value?: unknown }
    return decimalFromBytes(textOf(unscaled, path), numberOf(scale, path), path)
  },
  'org.apache.kafka.connect.data.Date': fromDays,
  'io.debezium.time.Date': fromDays,
  'org.apache.kafka.connect.data.Timestamp': fromMs,
  'io.debezium.time.Timestamp': fromMs,
  'io.debezium.time.MicroTimestamp': (value, _field, path) => numberOf(value, path),
  'io.debezium.time.NanoTimestamp': (value, _field, path) => {
    const nanoseconds = typeof value === 'bigint' ? value : BigInt(numberOf(value, path))
    if (nanoseconds % 1_000n !== 0n) throw unfit(path, 'a timestamp without parts of a microsecond', value)
    return Number(nanoseconds / 1_000n)
  },
  'io.debezium.time.ZonedTimestamp': (value, _field, path) => timestampOf(textOf(value, path), path),
  'io.debezium.data.Uuid': (value, _field, path) => uuidOf(textOf(value, path), path),
  'io.debezium.data.Json': (value, _field, path) => parseJson(textOf(value, path), { where: { path } }),
}

/** The unscaled integer is big-endian, in two's complement. */
function decimalFromBytes(base64: string, scale: number, path: string): string {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length === 0 || !Number.isSafeInteger(scale) || scale < 0) throw unfit(path, 'a decimal', base64)
  const unscaled = BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  return decimalOf(`${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`, path)
}

function textOf(value: unknown, path: string): string {
  if (typeof value !== 'string') throw unfit(path, 'a text', value)
  return value
}

function numberOf(value: unknown, path: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (!Number.isSafeInteger(number)) throw unfit(path, 'a whole number', value)
  return number as number
}

function unfit(path: string, expected: string, actual: unknown): RehydrateError {
  const message = `${path} of the change is not ${expected}, as its schema says.`
  return new RehydrateError('EVENT_INVALID', { message, path, expected, actual: String(actual) })
}

function rounded(path: string, actual: number): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `${path} of the change is a decimal, written as a number that readers of JSON round.`, path, actual,
    fix: "Let the connector write its digits: decimal.handling.mode 'string', or decimal.format 'BASE64' of the JSON converter.",
  })
}

function unavailable(column: string): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `The change does not carry the value of ${column}: the database did not log it, as it is large and did not change.`,
    path: `$.${column}`,
    fix: 'Let the database log whole rows (PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL), and take a new snapshot of the table.',
  })
}
