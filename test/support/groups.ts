import { RehydrateError, type ConsumerGroup, type EventSource, type Position } from '../../src/index.js'

/** A consumer group as a test drives it. */
export class FakeGroup implements ConsumerGroup {
  members: readonly string[] = []
  position: Position = new Map()

  async describe(): Promise<{ state: string; members: readonly string[]; position: Position }> {
    return { state: this.members.length === 0 ? 'Empty' : 'Stable', members: this.members, position: new Map(this.position) }
  }

  async commit(position: Position): Promise<void> {
    if (this.members.length > 0) throw new RehydrateError('GROUP_ACTIVE', { message: 'The group has members.' })
    this.position = new Map([...this.position, ...position])
  }
}

/** The log with that group; other groups are empty ones. */
export function withGroup<S extends EventSource>(source: S, group: ConsumerGroup, name = 'service'): S & Required<Pick<EventSource, 'group'>> {
  return new Proxy(source, {
    get(target, property) {
      if (property === 'group') return (asked: string) => (asked === name ? group : new FakeGroup())
      const own: unknown = Reflect.get(target, property)
      return typeof own === 'function' ? own.bind(target) : own
    },
  }) as S & Required<Pick<EventSource, 'group'>>
}
