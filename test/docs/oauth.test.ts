import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clientCredentials, type ClientCredentials } from '../../docs/examples/oauth/token.js'

interface Asked {
  readonly authorization: string | undefined
  readonly form: Readonly<Record<string, string>>
}

let server: Server
let asked: Asked[] = []
let answer: { readonly status: number; readonly body: string }
const lasting = (seconds: number | undefined): string => JSON.stringify({ access_token: `token-${asked.length}`, token_type: 'Bearer', expires_in: seconds })

beforeEach(async () => {
  asked = []
  answer = { status: 200, body: '' }
  server = createServer(async (request, response) => {
    asked.push({ authorization: request.headers.authorization, form: Object.fromEntries(new URLSearchParams(await textOf(request))) })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body === '' ? lasting(600) : answer.body)
  })
  await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done) })
})
afterEach(() => server.close())

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}

function tokens(more: Partial<ClientCredentials> = {}, nowMs: () => number = () => 1_000) {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
  return clientCredentials({ url, clientId: 'reader', clientSecret: () => 'hush hush', ...more }, nowMs)
}

test('a token is asked for by client credentials, and says when it ends', async () => {
  const extensions = { logicalCluster: 'lkc-1' }
  expect(await tokens({ clientId: 'a:b', scope: 'kafka', extensions })()).toEqual({ value: 'token-1', expiresAtMs: 601_000, extensions })
  expect(asked).toEqual([{
    authorization: `Basic ${Buffer.from('a%3Ab:hush+hush').toString('base64')}`, form: { grant_type: 'client_credentials', scope: 'kafka' },
  }])
})

test('one token serves all connections, until three quarters of its life are over; who asks at once asks once', async () => {
  let nowMs = 0
  const token = tokens({}, () => nowMs)
  expect((await Promise.all([token(), token(), token()])).map(({ value }) => value)).toEqual(['token-1', 'token-1', 'token-1'])
  nowMs = 449_999
  expect((await token()).value).toBe('token-1')
  nowMs = 450_000
  expect(await token()).toEqual({ value: 'token-2', expiresAtMs: 1_050_000 })
})

test('a token whose end is not told is asked for each time', async () => {
  answer = { status: 200, body: '{"access_token":"x"}' }
  const token = tokens()
  expect([await token(), await token()]).toEqual([{ value: 'x' }, { value: 'x' }])
  expect(asked).toHaveLength(2)
})

test('a refusal is told in the words of the provider, without the secret, and does not stay', async () => {
  answer = { status: 401, body: '{"error":"invalid_client","error_description":"no such client"}' }
  const token = tokens()
  const failure = await token().catch((error: unknown) => error as Error) as Error
  expect(failure.message).toMatch(/^127\.0\.0\.1:\d+ gives no token: 401 invalid_client: no such client$/)
  answer = { status: 502, body: '<html>' }
  await expect(token()).rejects.toThrow(/gives no token: 502$/)
  answer = { status: 200, body: '' }
  expect((await token()).value).toBe('token-3')
})
