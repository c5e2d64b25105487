import type { AvroType } from './avro.js'
import type { ProtoField, ProtoMessage } from './protobuf.js'
import { isWellKnown } from './well-known.js'

/** `items[].sku` as `items`, `[]`, `sku`. */
export function stepsOf(path: string): readonly string[] {
  return path.replaceAll('[]', '.[]').split('.')
}

/** May values of the type have something at a path? In doubt they may. */
export function avroHas(type: AvroType, steps: readonly string[]): boolean {
  const [step, ...rest] = steps
  if (step === undefined) return true
  switch (type.kind) {
    case 'union': return type.branches.some((branch) => avroHas(branch, steps))
    case 'record': return type.fields.some(({ name, type: field }) => name === step && avroHas(field, rest))
    case 'map': return step !== '[]' && avroHas(type.items, rest)
    case 'array': return step !== '[]' || avroHas(type.items, rest)
    default: return false
  }
}

/** As avroHas. */
export function protobufHas(message: ProtoMessage, steps: readonly string[]): boolean {
  const [step, ...rest] = steps
  if (step === undefined || isWellKnown(message.name)) return true
  return [...message.fields.values()].some((field) => field.name === step && fieldHas(field, rest))
}

function fieldHas(field: ProtoField, steps: readonly string[]): boolean {
  const [step, ...rest] = steps
  if (step === undefined) return true
  if (field.shape === 'repeated') return step !== '[]' || itemHas(field, rest)
  return field.shape === 'map' ? step !== '[]' && itemHas(field, rest) : itemHas(field, steps)
}

function itemHas({ type }: ProtoField, steps: readonly string[]): boolean {
  return type.kind === 'message' ? protobufHas(type.message, steps) : steps.length === 0
}
