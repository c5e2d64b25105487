import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'

const KEEP_ALIVE_MS = 60_000
/** Read at once, into memory that is used again and again. */
const READ_BYTES = 256 << 10
const HEAD_BYTES = 4
/** Longer than any answer to our requests, and shorter than what the first bytes of TLS or HTTP would be as a length. */
const MAX_ANSWER_BYTES = 256 << 20

interface SocketOptions {
  readonly host: string
  readonly port: number
  readonly ssl: ConnectionOptions | null
  readonly onConnect: () => void
}

/**
 * A socket whose 'data' are whole answers, each in memory of its own size. kafkajs would keep every chunk as it came and join them in
 * the end: that is twice the memory, and most of the work of its collector.
 */
export function openSocket({ host, port, ssl, onConnect }: SocketOptions): Socket {
  const answers = new AnswerBuffer()
  const onread: OnReadOpts = {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback(length, chunk) {
      try {
        answers.take(chunk as Buffer, length, (answer) => socket.emit('data', answer))
      } catch (error) {
        socket.destroy(error as Error)
      }
      return true
    },
  }
  const secure = { host, port, ...(isIP(host) === 0 && { servername: host }), ...ssl, onread }
  const socket: Socket = ssl === null ? connectPlain({ host, port, onread }, onConnect) : connectTls(secure, onConnect)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  return socket
}

/** Puts answers together. Each begins with its length, which is left in it. */
export class AnswerBuffer {
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  #answer: Buffer | null = null
  #filled = 0

  /** `whole` is called for each answer that the first `length` bytes of a chunk complete. */
  take(chunk: Buffer, length: number, whole: (answer: Buffer) => void): void {
    for (let at = 0; at < length;) {
      if (this.#answer === null) {
        this.#head[this.#headBytes++] = chunk[at++] as number
        if (this.#headBytes < HEAD_BYTES) continue
        this.#answer = this.#begin()
      }
      const answer: Buffer = this.#answer
      const taken = Math.min(length - at, answer.length - this.#filled)
      chunk.copy(answer, this.#filled, at, at + taken)
      at += taken
      this.#filled += taken
      if (this.#filled < answer.length) continue
      this.#answer = null
      whole(answer)
    }
  }

  #begin(): Buffer {
    const length = this.#head.readInt32BE()
    if (length < 0 || length > MAX_ANSWER_BYTES) throw new Error(`An answer says that it is ${length} bytes long.`)
    const answer = Buffer.allocUnsafe(HEAD_BYTES + length)
    this.#head.copy(answer)
    this.#headBytes = 0
    this.#filled = HEAD_BYTES
    return answer
  }
}
