// JSON Web Tokens (RFC 7519) as an issuer makes them, with Node's own cryptography: keys, signatures, key sets.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export const now = () => Math.floor(Date.now() / 1000);

const PAIRS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

const SIGNATURES = {
  HS256: (data, { secret }) => createHmac('sha256', secret).update(data).digest(),
  RS256: (data, { privateKey }) => sign('sha256', data, privateKey),
  ES256: (data, { privateKey }) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  EdDSA: (data, { privateKey }) => sign(null, data, privateKey),
};

/** A key of an issuer; `kid` names it in a key set and in the tokens' headers. */
export class Key {
  /** A shared secret (HS256). */
  static secret(secret) {
    return Object.assign(new Key(), { algorithm: 'HS256', secret });
  }

  /** A new pair for RS256, ES256 or EdDSA. */
  static pair(algorithm, kid) {
    return Object.assign(new Key(), { algorithm, kid, ...PAIRS[algorithm]() });
  }

  /** The public half, as PEM. */
  get pem() {
    return this.publicKey.export({ type: 'spki', format: 'pem' });
  }

  /** The public half, as a member of a key set (RFC 7517). */
  get jwk() {
    return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, alg: this.algorithm, use: 'sig' };
  }

  /** A signed token of `claims`, good for an hour unless they say otherwise. */
  token(claims, header = {}) {
    const full = { alg: this.algorithm, typ: 'JWT', ...(this.kid ? { kid: this.kid } : {}), ...header };
    const data = `${encode(full)}.${encode({ exp: now() + 3600, ...claims })}`;
    return `${data}.${SIGNATURES[this.algorithm](Buffer.from(data), this).toString('base64url')}`;
  }
}

/** The same token with other claims under the old signature. */
export function tampered(token, claims) {
  const [header, , signature] = token.split('.');
  return [header, encode({ exp: now() + 3600, ...claims }), signature].join('.');
}

/** A token that says it needs no signature. */
export const unsigned = (claims) =>
  `${encode({ alg: 'none', typ: 'JWT' })}.${encode({ exp: now() + 3600, ...claims })}.`;

export const keySet = (...keys) => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
