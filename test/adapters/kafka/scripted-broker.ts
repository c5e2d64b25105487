import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WireReader, WireWriter } from '../../../adapters/kafka/wire.js'

/** What a broker does with the next fetch: an error code for the partition; or it closes the connection, or never answers on it again. */
export type Fault = number | 'drop' | 'hang' | 'garbage'

/**
 * A cluster of two brokers that do as they are told, with one topic `t`: for lies, stalls and moves that a real one does not show on demand.
 * It speaks the versions that the adapter uses, and no others.
 */
export class ScriptedCluster {
  /** Per partition; what a fetch from `base` on gives. */
  readonly log: { base: number; last: number; bytes: Buffer }[][] = [[]]
  topicId = 'AAAAAAAAAAAAAAAAAAAAAQ'
  /** Per partition: which of the two leads. */
  leaders = [0]
  epoch = 0
  start = 0
  fetchVersion = 13
  throttleMs = 0
  /** Each request waits for the one before it, as on a real broker. */
  answerAfterMs = 0
  configError = 0
  sasl: { readonly username: string; readonly password: string } | null = null
  /** For the next fetches, one after the other. */
  readonly faults: Fault[] = []
  /** For each fetch of a partition. */
  readonly partitionErrors = new Map<number, number>()
  /** Node and version of each fetch. */
  readonly fetches: { readonly node: number; readonly version: number; readonly offsets: number[]; readonly atMs: number }[] = []
  connections = 0
  readonly #servers: Server[] = []
  readonly #ports: number[] = []
  readonly #sockets = new Set<Socket>()

  async listen(): Promise<this> {
    for (const node of [0, 1]) {
      const server = createServer((socket) => { this.#serve(socket, node) })
      this.#servers.push(server)
      await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done) })
      this.#ports.push((server.address() as AddressInfo).port)
    }
    return this
  }

  address(node: number): string { return `127.0.0.1:${this.#portOf(node)}` }

  close(): void {
    for (const server of this.#servers) server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Half of the cluster goes away. */
  stop(node: number): void { this.#servers[node]?.close() }

  cut(): void { for (const socket of this.#sockets) socket.destroy() }

  #portOf(node: number): number { return this.#ports[node] as number }

  #serve(socket: Socket, node: number): void {
    this.connections++
    this.#sockets.add(socket)
    let isKnown = this.sasl === null
    let isDead = false
    let earlier: Promise<unknown> = Promise.resolve()
    let buffer = Buffer.alloc(0)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket)).on('data', (data) => {
      buffer = Buffer.concat([buffer, data])
      while (!isDead && buffer.length >= 4 && buffer.length >= 4 + buffer.readInt32BE(0)) {
        const request = buffer.subarray(4, 4 + buffer.readInt32BE(0))
        buffer = buffer.subarray(4 + request.length)
        const api = request.readInt16BE(0)
        const isAllowed = isKnown || [18, 17, 36].includes(api)
        const body = !isAllowed ? 'drop' : this.#answer(api, request.readInt16BE(2), request.subarray(10 + request.readInt16BE(8)), node)
        if (body === 'drop') socket.destroy()
        isDead = body === 'drop' || body === 'hang'
        if (body === 'drop' || body === 'hang') return
        if (api === 36) isKnown = body.readInt16BE(0) === 0
        const head = Buffer.alloc(8)
        head.writeInt32BE(4 + body.length, 0)
        request.copy(head, 4, 4, 8)
        if (this.answerAfterMs === 0) socket.write(Buffer.concat([head, body]))
        else earlier = earlier.then(() => sleep(this.answerAfterMs)).then(() => socket.write(Buffer.concat([head, body])))
      }
    })
  }

  #answer(api: number, version: number, body: Buffer, node: number): Buffer | 'drop' | 'hang' {
    switch (api) {
      case 18: return this.#apiVersions()
      case 17: return saslHandshake()
      case 36: return this.#authenticate(new WireReader(body, false))
      case 3: return this.#metadata()
      case 32: return this.#configs(new WireReader(body, false))
      case 2: return this.#listOffsets(new WireReader(body, false))
      case 1: return this.#fetch(new WireReader(body, version >= 12), version, node)
      default: return 'drop'
    }
  }

  #apiVersions(): Buffer {
    const writer = error(new WireWriter(false), 0)
    const apis = [[1, this.fetchVersion], [2, 5], [3, 12], [17, 1], [18, 2], [23, 3], [32, 1], [36, 1]] as const
    writer.array(apis, ([key, version]) => { int16(int16(int16(writer, key), 0), version) })
    return writer.int32(0).bytes()
  }

  #authenticate(reader: WireReader): Buffer {
    const [, username, password] = reader.byteString().toString().split('\0')
    const right = username === this.sasl?.username && password === this.sasl?.password
    const writer = error(new WireWriter(false), right ? 0 : 58).string(right ? '' : 'Authentication failed')
    return writer.int32(0).int64(0).bytes()
  }

  #metadata(): Buffer {
    const writer = new WireWriter(true).int32(0)
    writer.array([0, 1], (node) => writer.int32(node).string('127.0.0.1').int32(this.#portOf(node)).string('').tags()).string('scripted').int32(0)
    writer.array(['t'], () => {
      error(writer, 0).string('t').uuid(this.topicId).boolean(false)
      writer.array([...this.leaders.entries()], ([partition, leader]) => {
        error(writer, 0).int32(partition).int32(leader).int32(this.epoch)
        for (let list = 0; list < 3; list++) writer.array([0, 1], (replica) => writer.int32(replica))
        writer.tags()
      }).int32(0).tags()
    })
    return writer.tags().bytes()
  }

  #configs(reader: WireReader): Buffer {
    const [topic] = reader.array(() => {
      reader.int8()
      const name = reader.string()
      reader.array(() => reader.string())
      return name
    }) as [string]
    const writer = new WireWriter(false).int32(0)
    return writer.array([topic], () => {
      error(writer, this.configError).string('').int8(2).string(topic)
      writer.array(this.configError === 0 ? ['cleanup.policy'] : [], (name) => {
        writer.string(name).string('compact,delete').boolean(false).int8(1).boolean(false).array([], () => {})
      })
    }).bytes()
  }

  #listOffsets(reader: WireReader): Buffer {
    reader.int32()
    reader.int8()
    const asked = reader.array(() => [reader.string(), reader.array(() => [reader.int32(), reader.int32(), reader.int64()] as const)] as const)
    const writer = new WireWriter(false).int32(0)
    return writer.array(asked, ([topic, partitions]) => writer.string(topic ?? '').array(partitions, ([partition, , time]) => {
      error(writer.int32(partition), 0).int64(-1).int64(time === -2 ? this.start : this.#end(partition)).int32(this.epoch)
    })).bytes()
  }

  #end(partition: number): number { return (this.log[partition]?.at(-1)?.last ?? -1) + 1 }

  #fetch(reader: WireReader, version: number, node: number): Buffer | 'drop' | 'hang' {
    const byId = version >= 12
    for (let field = 0; field < 4; field++) reader.int32()
    reader.int8()
    reader.int32()
    reader.int32()
    const [partitions] = reader.array(() => {
      if (byId) reader.uuid()
      else reader.string()
      const list = reader.array(() => {
        const [partition, , offset] = [reader.int32(), reader.int32(), reader.int64()]
        if (byId) reader.int32()
        reader.int64()
        reader.int32()
        reader.tags()
        return { partition, offset }
      })
      reader.tags()
      return list
    }) as [{ partition: number; offset: number }[]]
    this.fetches.push({ node, version, offsets: partitions.map(({ offset }) => offset), atMs: Date.now() })
    const fault = this.faults.shift() ?? 0
    if (fault === 'drop' || fault === 'hang') return fault
    if (fault === 'garbage') return Buffer.from([0, 0, 0, 0, 0, 0, 0])
    const writer = error(new WireWriter(byId).int32(this.throttleMs), 0).int32(0)
    writer.array(['t'], (topic) => {
      if (byId) writer.uuid(this.topicId)
      else writer.string(topic)
      writer.array(partitions, ({ partition, offset }) => {
        const code = this.leaders[partition] === node ? this.partitionErrors.get(partition) ?? fault : 6
        error(writer.int32(partition), code).int64(this.#end(partition)).int64(this.#end(partition)).int64(this.start).array([], () => {}).int32(-1)
        const batches = code === 0 ? (this.log[partition] ?? []).filter(({ last }) => last >= offset).map(({ bytes }) => bytes) : []
        writer.array([...Buffer.concat(batches)], (byte) => writer.int8(byte << 24 >> 24)).tags()
      }).tags()
    })
    return writer.tags().bytes()
  }
}

function int16(writer: WireWriter, value: number): WireWriter { return writer.int8(value >> 8).int8(value << 24 >> 24) }

function error(writer: WireWriter, code: number): WireWriter { return int16(writer, code) }

function saslHandshake(): Buffer {
  const writer = error(new WireWriter(false), 0)
  return writer.array(['PLAIN'], (mechanism) => writer.string(mechanism)).bytes()
}
