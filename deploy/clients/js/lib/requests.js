// The API's requests in JSON: GET with parameters, POST, pages.

import { NotFoundError } from './errors.js';
import { json } from './transport.js';

export const API = '/api/v1';

/** `?name=value&…`; parameters that are undefined are left out. */
export function queryOf(parameters) {
  const present = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  const text = present.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return text && `?${text}`;
}

export const consistency = (linearizable) => (linearizable ? 'linearizable' : undefined);

/** Passes over what is not there; any other 404 (a namespace, a path) is an error still. */
export function absent(error, field) {
  if (!(error instanceof NotFoundError) || error.field !== field) throw error;
}

export const get = async (transport, path, parameters = {}) => json(await transport.request('GET', API + path + queryOf(parameters)));

export const post = (transport, path, body, options) =>
  transport.request('POST', API + path, {
    ...options,
    body: Buffer.from(JSON.stringify(body)),
    headers: { 'Content-Type': 'application/json' },
  });

/** What is in all pages, each asked for when the one before is used up. */
export async function* pages(transport, path, name, parameters) {
  let { after } = parameters;
  do {
    const page = await get(transport, path, { ...parameters, after });
    yield* page[name];
    after = page.next ?? undefined;
  } while (after !== undefined);
}
