import type { KafkaToken } from 'rehydrate/kafka'

export interface ClientCredentials {
  /** Of the identity provider: its `token_endpoint`. */
  readonly url: string
  readonly clientId: string
  /** Asked for each token: a rotated secret counts from the next one on. */
  readonly clientSecret: () => string
  readonly scope?: string
  /** SASL extensions, for services that want some: `{ logicalCluster: 'lkc-1', identityPoolId: 'pool-1' }`. */
  readonly extensions?: Readonly<Record<string, string>>
}

const TIMEOUT_MS = 10_000
/** A token is asked for again when so much of its life is over. Connections are renewed at 80 %, so they always get a new one then. */
const KEPT_SHARE = 0.75

/**
 * A token of the OAuth 2.0 client-credentials grant (RFC 6749, 4.4), for `sasl: { mechanism: 'oauthbearer', token }`. One token serves all
 * connections until it ages, and however many of them ask at once, the provider is asked once. What it refuses is thrown with its own
 * words, and tried again with pauses by whoever asked; the secret is never part of a message.
 */
export function clientCredentials(credentials: ClientCredentials, nowMs: () => number = Date.now): () => Promise<KafkaToken> {
  let kept: { readonly token: KafkaToken; readonly untilMs: number } | null = null
  let asking: Promise<KafkaToken> | null = null
  const ask = async (): Promise<KafkaToken> => {
    const askedMs = nowMs()
    const { token, lifeMs } = await request(credentials)
    // Counted from before the question: never longer than the provider means.
    const known = lifeMs === null ? token : { ...token, expiresAtMs: askedMs + lifeMs }
    kept = lifeMs === null ? null : { token: known, untilMs: askedMs + lifeMs * KEPT_SHARE }
    return known
  }
  return async () => {
    if (kept !== null && nowMs() < kept.untilMs) return kept.token
    asking ??= ask().finally(() => { asking = null })
    return await asking
  }
}

async function request(
  { url, clientId, clientSecret, scope, extensions }: ClientCredentials,
): Promise<{ readonly token: KafkaToken; readonly lifeMs: number | null }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Basic ${basic(clientId, clientSecret())}`, accept: 'application/json' },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope }) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const answer = await response.json().catch(() => ({})) as Record<string, unknown>
  const { access_token: value, expires_in: seconds, error, error_description: why } = answer
  if (!response.ok || typeof value !== 'string') {
    const words = [error, why].filter((text) => typeof text === 'string').join(': ')
    throw new Error(`${new URL(url).host} gives no token: ${response.status} ${words}`.trim())
  }
  const token = { value, ...(extensions === undefined ? {} : { extensions }) }
  return { token, lifeMs: Number(seconds) > 0 ? Number(seconds) * 1_000 : null }
}

/** RFC 6749, 2.3.1: both are form-encoded before they are joined. */
function basic(clientId: string, clientSecret: string): string {
  const encoded = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)
  return Buffer.from(`${encoded(clientId)}:${encoded(clientSecret)}`).toString('base64')
}
