import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { ERRORS, type ErrorCode, RehydrateError } from '../errors.js'
import { BASE_PATH, MAX_ANSWER_BYTES } from './digest-protocol.js'

type Method = 'POST' | 'DELETE'

interface Answer {
  readonly status: number
  readonly answer: Buffer
}

/** A connection that broke before the answer was whole. */
const DROPPED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'HPE_INVALID_EOF_STATE'])
const RETRIES = 2
const MAX_ERROR_BYTES = 16 * 1024
const END_MS = 2_000

/** Requests to one host: authorised, bounded in time and size, counted. AGAINST_UNREACHABLE, AGAINST_INVALID, RUN_STOPPED. */
export class Link {
  readonly name: string
  requests = 0
  bytes = 0
  readonly #token: string
  readonly #timeoutMs: number
  readonly #signal: AbortSignal
  readonly #isSecure: boolean
  readonly #agent: HttpAgent
  #isClosed = false

  constructor(name: string, token: string, timeoutMs: number, signal: AbortSignal) {
    this.name = name
    this.#token = token
    this.#timeoutMs = timeoutMs
    this.#signal = signal
    this.#isSecure = name.startsWith('https:')
    const options = { keepAlive: true, maxSockets: 4 }
    this.#agent = this.#isSecure ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** Takes up nothing of this process any more. */
  close(): void {
    this.#isClosed = true
    this.#agent.destroy()
  }

  /** The answer of at most so many bytes to a request that begins something, and so is sent once. */
  open(path: string, most: number): Promise<Buffer> {
    return this.#send('POST', path, null, most, this.#signal)
  }

  /** Ends what was opened, also after the signal. What can not be ended now ends there when it was idle for long enough. */
  async end(path: string): Promise<void> {
    try {
      await this.#send('DELETE', path, null, 0, AbortSignal.timeout(END_MS))
    } catch {
      // The other host is gone, or has ended it already.
    } finally {
      this.close()
    }
  }

  /** A request that changes nothing, and so is sent again where the connection broke. */
  async read(path: string, body: Buffer, most = MAX_ANSWER_BYTES): Promise<Buffer> {
    for (let retry = 0; ; retry++) {
      try {
        return await this.#send('POST', path, body, most, this.#signal)
      } catch (error) {
        if (this.#isClosed || retry === RETRIES || !isDropped(error)) throw error
      }
    }
  }

  /** The body of the answer. What the other host refuses comes as an error. */
  async #send(method: Method, path: string, body: Buffer | null, most: number, signal: AbortSignal): Promise<Buffer> {
    const { status, answer } = await this.#exchange(method, path, body, most, signal)
    if (status === 200 || status === 204) return answer
    throw this.#refused(status, answer)
  }

  invalid(message: string, expected?: unknown, actual?: unknown): RehydrateError {
    return new RehydrateError('AGAINST_INVALID', { message: `${this.name}: ${message}`, expected, actual })
  }

  #exchange(method: Method, path: string, body: Buffer | null, most: number, signal: AbortSignal): Promise<Answer> {
    if (signal.aborted) return Promise.reject(this.#stopped())
    this.requests++
    this.bytes += body?.length ?? 0
    return new Promise((resolve, reject) => {
      const request = this.#start(method, path, body)
      const finish = (error: Error | null, answer?: Answer): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        if (error === null) resolve(answer!)
        else {
          request.destroy()
          reject(error)
        }
      }
      const timer = setTimeout(() => finish(this.#unreachable(`did not answer within ${this.#timeoutMs} ms`)), this.#timeoutMs)
      const onAbort = (): void => finish(this.#stopped())
      signal.addEventListener('abort', onAbort, { once: true })
      request.on('error', (error: NodeJS.ErrnoException) => finish(this.#unreachable(`could not be reached: ${codeOf(error)}`, error)))
      request.on('response', (response) => this.#receive(response, most, finish))
      request.end(body ?? undefined)
    })
  }

  #start(method: Method, path: string, body: Buffer | null): ClientRequest {
    const headers = { 'Authorization': `Bearer ${this.#token}`, 'Content-Length': body?.length ?? 0 }
    const send = this.#isSecure ? httpsRequest : httpRequest
    return send(`${this.name}${BASE_PATH}${path}`, { method, headers, agent: this.#agent, maxHeaderSize: 16 * 1024 })
  }

  #receive(response: IncomingMessage, most: number, finish: (error: Error | null, answer?: Answer) => void): void {
    const status = response.statusCode ?? 0
    const limit = status === 200 ? most : MAX_ERROR_BYTES
    const parts: Buffer[] = []
    let length = 0
    const isTooLong = (bytes: number): boolean => {
      if (bytes <= limit) return false
      finish(this.invalid(`An answer of it is longer than ${limit} bytes.`, limit, bytes))
      return true
    }
    if (isTooLong(Number(response.headers['content-length'] ?? 0))) return
    response.on('data', (part: Buffer) => {
      length += part.length
      this.bytes += part.length
      if (!isTooLong(length)) parts.push(part)
    })
    response.on('error', (error: NodeJS.ErrnoException) => finish(this.#unreachable(`broke off: ${codeOf(error)}`, error)))
    response.on('end', () => finish(null, { status, answer: Buffer.concat(parts) }))
  }

  #refused(status: number, answer: Buffer): RehydrateError {
    const code = codeIn(answer)
    if (code === 'DIGESTS_INCOMPARABLE') return incomparable(this.name, { protocol: 1 }, 'another version')
    if (code === 'STATE_CORRUPT') return this.invalid('Its store found that what it holds is not what was written.')
    if (status === 401) {
      return this.#unreachable('refused the token', undefined,
        'Give the token that the other host serves with: REHYDRATE_TOKEN or --token-file.')
    }
    if (status === 404 || status === 405) {
      return this.#unreachable('serves no digest there', undefined, 'Check the address: `rehydrate serve --digest` prints it.')
    }
    if (status === 410) {
      return this.#unreachable('closed the view, because nothing was asked for some time or it was stopped', undefined,
        'Run the comparison again.')
    }
    const why = code === null || code === 'AGAINST_UNREACHABLE' ? '' : `: ${code}, ${ERRORS[code].summary}`
    if (status === 503) {
      return this.#unreachable(`can not serve now${why}`, undefined,
        why === '' ? 'Too many comparisons are under way there: try again when one has ended.' : ERRORS[code!].fix)
    }
    return this.#unreachable(`answered with status ${status}${why}`)
  }

  #unreachable(what: string, cause?: unknown, fix?: string): RehydrateError {
    return new RehydrateError('AGAINST_UNREACHABLE', { message: `${this.name} ${what}.`, cause, fix })
  }

  #stopped(): RehydrateError {
    return new RehydrateError('RUN_STOPPED', {
      message: `The comparison with ${this.name} was stopped.`, why: 'It was asked to stop.', safe: 'Nothing was changed.',
      fix: 'Run it again.',
    })
  }
}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? error.message
}

function isDropped(error: unknown): boolean {
  const cause = error instanceof RehydrateError ? error.details.cause as NodeJS.ErrnoException | undefined : undefined
  return cause?.code !== undefined && DROPPED.has(cause.code)
}

/** The code that a refusal names, where it is one of ours. */
function codeIn(answer: Buffer): ErrorCode | null {
  try {
    const { error } = JSON.parse(answer.toString()) as { error?: { code?: unknown } }
    return typeof error?.code === 'string' && Object.hasOwn(ERRORS, error.code) ? error.code as ErrorCode : null
  } catch {
    return null
  }
}

/** DIGESTS_INCOMPARABLE */
export function incomparable(name: string, expected: unknown, actual: unknown): RehydrateError {
  return new RehydrateError('DIGESTS_INCOMPARABLE', { message: `${name} makes or serves its digest by other rules.`, expected, actual })
}
