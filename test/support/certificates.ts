import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'

/** A certificate and its private key, both PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** Signs certificates for tests, for a day. What there is of X.509 (RFC 5280) here is what TLS asks for. */
export class Authority {
  /** Of the authority itself, PEM. */
  readonly cert: string
  readonly #name: string
  readonly #key: KeyObject

  constructor(name: string) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#name = name
    this.#key = privateKey
    // Basic constraints, critical: this one may sign others.
    const isAuthority = sequence(oid(0x55, 0x1d, 0x13), der(0x01, [0xff]), der(0x04, sequence(der(0x01, [0xff]))))
    this.cert = this.#certify(name, publicKey, isAuthority)
  }

  /** For a name, at 127.0.0.1 and `localhost`. */
  sign(name: string): Certificate {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const places = sequence(der(0x87, [127, 0, 0, 1]), der(0x82, Buffer.from('localhost')))
    const cert = this.#certify(name, publicKey, sequence(oid(0x55, 0x1d, 0x11), der(0x04, places)))
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
  }

  #certify(name: string, key: KeyObject, extension: Buffer): string {
    const algorithm = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02))
    const fromMs = Date.now() - 3_600_000
    const content = sequence(
      der(0xa0, der(0x02, [2])), der(0x02, [1, ...randomBytes(8)]), algorithm, commonName(this.#name),
      sequence(time(fromMs), time(fromMs + 86_400_000)), commonName(name), key.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(extension)),
    )
    const whole = sequence(content, algorithm, der(0x03, Buffer.concat([Buffer.of(0), sign('sha256', content, this.#key)])))
    return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END CERTIFICATE-----\n`
  }
}

function der(tag: number, content: Uint8Array | readonly number[]): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), Buffer.from(content)])
}

function sequence(...parts: readonly Buffer[]): Buffer { return der(0x30, Buffer.concat(parts)) }

function oid(...bytes: readonly number[]): Buffer { return der(0x06, bytes) }

function commonName(name: string): Buffer { return sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name))))) }

function time(atMs: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(atMs).toISOString().slice(2, 19).replace(/\D/g, '')}Z`))
}
