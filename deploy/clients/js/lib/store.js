// The replicated key-value store: entries with revisions and times to live.

import { absent, API, consistency, pages, queryOf } from './requests.js';
import { json } from './transport.js';

const revisionOf = ({ headers }) => (headers.etag ?? '').replace(/^"|"$/g, '');
const pathOf = (key, parameters = {}) => `${API}/store/${encodeURIComponent(key).replaceAll('%3A', ':')}${queryOf(parameters)}`;

class Entry {
  constructor(key, value, revision, expiresInMs) {
    Object.assign(this, { key, value, revision, expiresInMs });
  }

  get text() {
    return this.value.toString('utf8');
  }

  json() {
    return JSON.parse(this.text);
  }
}

export class Store {
  #transport;

  constructor(transport) {
    this.#transport = transport;
  }

  async get(key, { linearizable } = {}) {
    let answer;
    try {
      const path = pathOf(key, { consistency: consistency(linearizable) });
      answer = await this.#transport.request('GET', path, { headers: { Accept: '*/*' } });
    } catch (error) {
      absent(error, 'key');
      return null;
    }
    const expires = answer.headers['vedfolnir-expires-in-ms'];
    return new Entry(key, answer.body, revisionOf(answer), expires === undefined ? null : Number(expires));
  }

  async put(key, value, { ttlMs, ifRevision, ifAbsent = false } = {}) {
    if (ifAbsent && ifRevision !== undefined) throw new TypeError('ifAbsent and ifRevision exclude each other');
    if (ttlMs !== undefined && !(ttlMs >= 1)) throw new TypeError(`a time to live of ${ttlMs} ms; accepted: 1 ms and more`);
    const answer = await this.#transport.request('PUT', pathOf(key, { ttl_ms: ttlMs === undefined ? undefined : Math.round(ttlMs) }), {
      body: Buffer.from(value),
      headers: {
        'Content-Type': 'application/octet-stream',
        ...(ifAbsent && { 'If-None-Match': '*' }),
        ...(ifRevision !== undefined && { 'If-Match': `"${ifRevision}"` }),
      },
      repeatable: !ifAbsent && ifRevision === undefined,
    });
    return revisionOf(answer);
  }

  putJson(key, value, options) {
    return this.put(key, JSON.stringify(value), options);
  }

  async delete(key, { ifRevision } = {}) {
    const answer = await this.#transport.request('DELETE', pathOf(key), {
      headers: ifRevision === undefined ? {} : { 'If-Match': `"${ifRevision}"` },
      repeatable: ifRevision === undefined,
    });
    return json(answer).existed;
  }

  async *list(prefix = '', { pageSize = 100 } = {}) {
    for await (const view of pages(this.#transport, '/store', 'entries', { prefix, limit: pageSize })) {
      const value = view.value_base64 === undefined ? Buffer.from(view.value) : Buffer.from(view.value_base64, 'base64');
      yield new Entry(view.key, value, String(view.revision), view.expires_in_ms ?? null);
    }
  }
}
