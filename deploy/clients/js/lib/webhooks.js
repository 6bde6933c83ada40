// Whether a request is from Vedfolnir: the signature of webhooks and of the backend proxy's calls.

import { createHmac, timingSafeEqual } from 'node:crypto';

import { SignatureError } from './errors.js';

const TOLERANCE_SECONDS = 300;
const SIGNATURES_MAX = 16;

const digest = (body, secret, timestamp) => createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');

export const sign = (body, secret, timestamp) => `v1=${digest(body, secret, timestamp)}`;

/** The value of a header: of a Headers, of Node's IncomingMessage, or of an object with names in any case. */
function header(headers, name) {
  if (typeof headers.get === 'function') return headers.get(name) ?? '';
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? [];
  return [value ?? ''].flat().join(',');
}

export function verify(body, headers, secrets, { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now() / 1_000 } = {}) {
  if (!(body instanceof Uint8Array)) {
    throw new TypeError("verify needs the bytes that came: express.raw({ type: '*/*' }) in Express, await buffer(request) elsewhere");
  }
  const known = typeof secrets === 'string' || secrets instanceof Uint8Array ? [secrets] : [...secrets];
  if (known.length === 0 || known.some((secret) => secret.length === 0)) {
    throw new TypeError('no secret, or an empty one, would verify anything');
  }
  const timestamp = header(headers, 'vedfolnir-timestamp').trim();
  if (!/^\d{1,12}$/.test(timestamp)) throw new SignatureError('Vedfolnir-Timestamp is missing, or no number of seconds');
  const age = now - Number(timestamp);
  if (Math.abs(age) > toleranceSeconds) {
    throw new SignatureError(`the request was signed ${Math.round(age)} s ago, accepted: within ${toleranceSeconds} s of now`);
  }
  const parts = header(headers, 'vedfolnir-signature').split(',').map((part) => part.trim());
  const given = parts.filter((part) => part.startsWith('v1=')).map((part) => Buffer.from(part.slice(3)));
  if (given.length === 0) throw new SignatureError('Vedfolnir-Signature is missing, or has no signature of version v1');
  let isRight = false;
  for (const secret of known) {
    const expected = Buffer.from(digest(body, secret, timestamp));
    for (const signature of given.slice(0, SIGNATURES_MAX)) {
      // All of them, so that the time taken does not tell which was right.
      const matches = signature.length === expected.length && timingSafeEqual(signature, expected);
      isRight ||= matches;
    }
  }
  if (!isRight) throw new SignatureError('no signature is that of a known secret over this body');
  let event;
  try {
    event = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new SignatureError('the body is no JSON');
  }
  if (event === null || typeof event !== 'object' || Array.isArray(event)) throw new SignatureError('the body is no JSON object');
  return event;
}
