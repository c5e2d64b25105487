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
  readonly log: { base: number; last: number; bytes: Buffer; timestamps?: readonly number[] }[][] = [[]]
  /** Of partition 0: transactions that were aborted, which an answer to who reads committed ones names. */
  readonly aborted: { readonly producerId: number; readonly firstOffset: number; readonly lastOffset: number }[] = []
  topicId = 'AAAAAAAAAAAAAAAAAAAAAQ'
  /** Per partition: which of the two leads. */
  leaders = [0]
  epoch = 0
  start = 0
  fetchVersion = 13
  throttleMs = 0
  /** So many fetches are answered with `throttleMs` and nothing else, as by a broker whose quota is used up. */
  throttledFetches = 0
  /** So many partitions are served per fetch, as by a broker that reads tiered logs; the others are answered emptily. */
  servedPerFetch = Infinity
  /** Per partition: whom the leader names to those who say where they are; it serves, unless there is an error for it. */
  readonly preferred = new Map<number, number>()
  replicaError = 0
  /** Per node. */
  fetchAfterMs = [0, 0]
  /** Each request waits for the one before it, as on a real broker. */
  answerAfterMs = 0
  configError = 0
  sasl: { readonly username: string; readonly password: string } | { readonly token: () => string } | null = null
  /** How long an authentication counts; a request behind its end is answered by a cut connection. 0: for ever. */
  sessionMs = 0
  /** For the next fetches, one after the other. */
  readonly faults: Fault[] = []
  /** For each fetch of a partition. */
  readonly partitionErrors = new Map<number, number>()
  /** Node and version of each fetch. */
  readonly fetches: {
    readonly node: number; readonly version: number; readonly partitions: number[]; readonly offsets: number[]; readonly atMs: number
    readonly bytes: number[]; readonly rack: string; readonly clientId: string
  }[] = []
  /** Times of requests of other kinds, by API. */
  readonly requests: { readonly api: number; readonly node: number; readonly atMs: number }[] = []
  authentications = 0
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
    let knownUntilMs = this.sasl === null ? Infinity : 0
    let isDead = false
    let earlier: Promise<unknown> = Promise.resolve()
    let buffer = Buffer.alloc(0)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket)).on('data', (data) => {
      buffer = Buffer.concat([buffer, data])
      while (!isDead && buffer.length >= 4 && buffer.length >= 4 + buffer.readInt32BE(0)) {
        const request = buffer.subarray(4, 4 + buffer.readInt32BE(0))
        buffer = buffer.subarray(4 + request.length)
        const api = request.readInt16BE(0)
        const clientId = request.toString('utf8', 10, 10 + request.readInt16BE(8))
        const isAllowed = Date.now() < knownUntilMs || [18, 17, 36].includes(api)
        this.requests.push({ api, node, atMs: Date.now() })
        const rest = request.subarray(10 + request.readInt16BE(8))
        const body = !isAllowed ? 'drop' : this.#answer(api, request.readInt16BE(2), rest, node, clientId)
        if (body === 'drop') socket.destroy()
        isDead = body === 'drop' || body === 'hang'
        if (body === 'drop' || body === 'hang') return
        if (api === 36 && body.readInt16BE(0) === 0) knownUntilMs = this.sessionMs === 0 ? Infinity : Date.now() + this.sessionMs
        const head = Buffer.alloc(8)
        head.writeInt32BE(4 + body.length, 0)
        request.copy(head, 4, 4, 8)
        const afterMs = api === 1 ? this.answerAfterMs + (this.fetchAfterMs[node] as number) : this.answerAfterMs
        if (afterMs === 0) socket.write(Buffer.concat([head, body]))
        else earlier = earlier.then(() => sleep(afterMs)).then(() => socket.write(Buffer.concat([head, body])))
      }
    })
  }

  #answer(api: number, version: number, body: Buffer, node: number, clientId: string): Buffer | 'drop' | 'hang' {
    switch (api) {
      case 18: return this.#apiVersions()
      case 17: return saslHandshake(this.sasl !== null && 'token' in this.sasl ? 'OAUTHBEARER' : 'PLAIN')
      case 36: return this.#authenticate(new WireReader(body, false))
      case 3: return this.#metadata(new WireReader(body, true))
      case 32: return this.#configs(new WireReader(body, false))
      case 23: return this.#epochEnds(new WireReader(body, false))
      case 35: return this.#logDirs(new WireReader(body, false), node)
      case 2: return this.#listOffsets(new WireReader(body, false))
      case 1: return this.#fetch(new WireReader(body, version >= 12), version, node, clientId)
      default: return 'drop'
    }
  }

  #apiVersions(): Buffer {
    const writer = error(new WireWriter(false), 0)
    const apis = [[1, this.fetchVersion], [2, 5], [3, 12], [17, 1], [18, 2], [23, 3], [32, 1], [35, 1], [36, 1]] as const
    writer.array(apis, ([key, version]) => { int16(int16(int16(writer, key), 0), version) })
    return writer.int32(0).bytes()
  }

  #authenticate(reader: WireReader): Buffer {
    const said = reader.byteString().toString()
    const right = this.sasl !== null && ('token' in this.sasl
      ? said.includes(`auth=Bearer ${this.sasl.token()}\x01`) : said === `\0${this.sasl.username}\0${this.sasl.password}`)
    if (right) this.authentications++
    const writer = error(new WireWriter(false), right ? 0 : 58).string(right ? '' : 'Authentication failed')
    return writer.int32(0).int64(this.sessionMs).bytes()
  }

  #metadata(reader: WireReader): Buffer {
    const asked = reader.array(() => {
      reader.uuid()
      const name = reader.string() ?? ''
      reader.tags()
      return name
    })
    const writer = new WireWriter(true).int32(0)
    writer.array([0, 1], (node) => writer.int32(node).string('127.0.0.1').int32(this.#portOf(node)).string('').tags()).string('scripted').int32(0)
    writer.array(asked, (name) => {
      const isThere = name === 't'
      error(writer, isThere ? 0 : 3).string(name).uuid(isThere ? this.topicId : 'A'.repeat(22)).boolean(false)
      writer.array(isThere ? [...this.leaders.entries()] : [], ([partition, leader]) => {
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

  #logDirs(reader: WireReader, node: number): Buffer {
    const asked = reader.array(() => [reader.string() ?? '', reader.array(() => reader.int32())] as const)
    const writer = new WireWriter(false).int32(0)
    return writer.array(['/log'], (folder) => error(writer, 0).string(folder).array(asked, ([topic, partitions]) => {
      const led = partitions.filter((partition) => this.leaders[partition] === node)
      writer.string(topic).array(led, (partition) => {
        const bytes = (this.log[partition] ?? []).reduce((sum, batch) => sum + batch.bytes.length, 0)
        writer.int32(partition).int64(bytes).int64(0).boolean(false)
      })
    })).bytes()
  }

  #listOffsets(reader: WireReader): Buffer {
    reader.int32()
    reader.int8()
    const asked = reader.array(() => [reader.string(), reader.array(() => [reader.int32(), reader.int32(), reader.int64()] as const)] as const)
    const writer = new WireWriter(false).int32(0)
    return writer.array(asked, ([topic, partitions]) => writer.string(topic ?? '').array(partitions, ([partition, , time]) => {
      const offset = time === -2 ? this.start : time === -1 ? this.#end(partition) : this.#at(partition, time)
      error(writer.int32(partition), 0).int64(-1).int64(offset).int32(this.epoch)
    })).bytes()
  }

  #at(partition: number, time: number): number {
    for (const { base, timestamps = [] } of this.log[partition] ?? []) {
      const index = timestamps.findIndex((timestamp) => timestamp >= time)
      if (index >= 0) return base + index
    }
    return -1
  }

  #epochEnds(reader: WireReader): Buffer {
    reader.int32()
    const asked = reader.array(() => [reader.string() ?? '', reader.array(() => [reader.int32(), reader.int32(), reader.int32()] as const)] as const)
    const writer = new WireWriter(false).int32(0)
    return writer.array(asked, ([topic, partitions]) => writer.string(topic).array(partitions, ([partition, , epoch]) => {
      const isKnown = epoch <= this.epoch
      error(writer, 0).int32(partition).int32(isKnown ? this.epoch : -1).int64(isKnown ? this.#end(partition) : -1)
    })).bytes()
  }

  #end(partition: number): number { return (this.log[partition]?.at(-1)?.last ?? -1) + 1 }

  #fetch(reader: WireReader, version: number, node: number, clientId: string): Buffer | 'drop' | 'hang' {
    const byId = version >= 12
    for (let field = 0; field < 4; field++) reader.int32()
    const readsCommitted = reader.int8() === 1
    reader.int32()
    reader.int32()
    const [partitions] = reader.array(() => {
      if (byId) reader.uuid()
      else reader.string()
      const list = reader.array(() => {
        const [partition, , offset] = [reader.int32(), reader.int32(), reader.int64()]
        if (byId) reader.int32()
        reader.int64()
        const bytes = reader.int32()
        reader.tags()
        return { partition, offset, bytes }
      })
      reader.tags()
      return list
    }) as [{ partition: number; offset: number; bytes: number }[]]
    reader.array(() => {})
    const rack = reader.string() ?? ''
    this.fetches.push({
      node, version, rack, clientId, atMs: Date.now(), partitions: partitions.map(({ partition }) => partition),
      offsets: partitions.map(({ offset }) => offset), bytes: partitions.map(({ bytes }) => bytes),
    })
    const fault = this.faults.shift() ?? 0
    if (fault === 'drop' || fault === 'hang') return fault
    if (fault === 'garbage') return Buffer.from([0, 0, 0, 0, 0, 0, 0])
    const writer = error(new WireWriter(byId).int32(this.throttleMs), 0).int32(0)
    if (this.throttledFetches-- > 0) return writer.array([], () => {}).tags().bytes()
    let served = 0
    writer.array(['t'], (topic) => {
      if (byId) writer.uuid(this.topicId)
      else writer.string(topic)
      writer.array(partitions, ({ partition, offset }) => {
        const nearer = this.leaders[partition] === node && rack !== '' ? this.preferred.get(partition) ?? -1 : -1
        const isReplica = this.preferred.get(partition) === node
        const outside = offset < this.start || offset > this.#end(partition) ? 1 : 0
        const code = isReplica ? this.replicaError : this.leaders[partition] !== node ? 6 : this.partitionErrors.get(partition) ?? (fault || outside)
        error(writer.int32(partition), code).int64(this.#end(partition)).int64(this.#end(partition)).int64(this.start)
        const aborted = readsCommitted && partition === 0 ? this.aborted.filter(({ lastOffset }) => lastOffset >= offset) : []
        writer.array(aborted, ({ producerId, firstOffset }) => writer.int64(producerId).int64(firstOffset).tags()).int32(nearer)
        const isServed = code === 0 && nearer < 0 && served < this.servedPerFetch
        const batches = isServed ? (this.log[partition] ?? []).filter(({ last }) => last >= offset).map(({ bytes }) => bytes) : []
        if (batches.length > 0) served++
        writer.array([...Buffer.concat(batches)], (byte) => writer.int8(byte << 24 >> 24)).tags()
      }).tags()
    })
    return writer.tags().bytes()
  }
}

function int16(writer: WireWriter, value: number): WireWriter { return writer.int8(value >> 8).int8(value << 24 >> 24) }

function error(writer: WireWriter, code: number): WireWriter { return int16(writer, code) }

function saslHandshake(mechanism: string): Buffer {
  const writer = error(new WireWriter(false), 0)
  return writer.array([mechanism], (name) => writer.string(name)).bytes()
}
