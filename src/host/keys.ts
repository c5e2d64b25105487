import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { RehydrateError } from '../errors.js'
import { type ReceiptFacts, receiptText, type SignedReceipt, type VerifySignature } from '../verify/receipt.js'

/**
 * Signs what was found, with an Ed25519 key in PEM (`openssl genpkey -algorithm ed25519`). The text that is signed is the text that
 * is kept. CONFIG_INVALID for another key, never quoting it.
 */
export function signReceipt(facts: ReceiptFacts, privateKeyPem: string): SignedReceipt {
  const privateKey = privateKeyOf(privateKeyPem)
  const receipt = receiptText(facts)
  return {
    receipt,
    signature: sign(null, Buffer.from(receipt), privateKey).toString('base64'),
    publicKey: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string,
  }
}

function privateKeyOf(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // Said below. What OpenSSL says of a key may quote it.
  }
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'The signing key is not an Ed25519 private key in PEM without a passphrase.', path: 'sign-key',
    fix: 'Make one with `openssl genpkey -algorithm ed25519 -out FILE`.',
  })
}

/** For checkReceipt. A key that is no point of the curve has signed nothing. */
export const verifyEd25519: VerifySignature = (message, signature, publicKey) => {
  const x = Buffer.from(publicKey).toString('base64url')
  try {
    return verify(null, message, createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } }), signature)
  } catch {
    return false
  }
}
