// The client: publish, batches, and reads of sessions, presence and history.

import { randomBytes } from 'node:crypto';

import { errorOf, UnavailableError } from './errors.js';
import { absent, API, consistency, get, pages, post, queryOf } from './requests.js';
import { Store } from './store.js';
import { backOff, json, judge, sleep, Transport } from './transport.js';

/** A key that nobody else makes: 24 random bytes as text. */
export const newIdempotencyKey = () => randomBytes(24).toString('base64url');

const replayed = ({ headers }) => headers['idempotent-replayed'] === 'true';

function batchOf(answer, idempotencyKey) {
  const items = json(answer).results.map(({ status, offset = null, problem }) => ({
    status,
    offset,
    ...(problem && { error: errorOf(status, problem) }),
  }));
  return { items, ok: items.every(({ error }) => !error), replayed: replayed(answer), idempotencyKey };
}

export class Client {
  #transport;

  constructor(urls, options) {
    this.#transport = new Transport(urls, options);
    this.store = new Store(this.#transport);
    this.sessions = new Sessions(this.#transport);
  }

  close() {
    this.#transport.close();
  }

  async publish(publish, { idempotencyKey, timeoutMs } = {}) {
    const repeatable = !publish.volatile;
    const answer = await post(this.#transport, '/publish', publish, {
      repeatable,
      timeoutMs,
      idempotencyKey: repeatable ? idempotencyKey ?? newIdempotencyKey() : undefined,
    });
    return { offset: (answer.body.length > 0 && json(answer).offset) || null, replayed: replayed(answer) };
  }

  async batch(publishes, { idempotencyKey: given, timeoutMs = this.#transport.timeoutMs } = {}) {
    if (publishes.some(({ volatile }) => volatile)) {
      // Nothing is kept of a volatile publish, no key either: such a batch is made once, or nobody knows.
      if (given !== undefined) throw new TypeError('a batch with volatile publishes cannot have an idempotency key');
      return batchOf(await post(this.#transport, '/batch', { publishes }, { repeatable: false, timeoutMs }));
    }
    const idempotencyKey = given ?? newIdempotencyKey();
    const deadline = performance.now() + timeoutMs;
    let answer = null;
    for (let failures = 1; ; failures += 1) {
      const remaining = Math.max(1, deadline - performance.now());
      try {
        answer = await post(this.#transport, '/batch', { publishes }, { idempotencyKey, timeoutMs: remaining });
      } catch (error) {
        // What is known of its publishes is worth more than that nobody knows more.
        if (!(error instanceof UnavailableError) || answer === null) throw error;
        return batchOf(answer, idempotencyKey);
      }
      const delay = backOff(failures, 1, Math.random());
      // Under the key, what was committed already is not published again: only the rest is tried.
      const isDone = !json(answer).results.some(({ status, problem }) => judge(status, problem).again);
      if (isDone || performance.now() + delay >= deadline) return batchOf(answer, idempotencyKey);
      this.#transport.moveOn();
      await sleep(delay);
    }
  }

  presence({ namespace = '/', room, user, linearizable } = {}) {
    return get(this.#transport, '/presence', { namespace, room, user, consistency: consistency(linearizable) });
  }

  users({ namespace = '/', room, linearizable, pageSize = 1_000 } = {}) {
    return pages(this.#transport, '/presence/users', 'users', {
      namespace, room, limit: pageSize, consistency: consistency(linearizable),
    });
  }

  history({ namespace = '/', room, user, after, linearizable, pageSize = 100 } = {}) {
    return pages(this.#transport, '/history', 'events', {
      namespace, room, user, after, limit: pageSize, consistency: consistency(linearizable),
    });
  }
}

class Sessions {
  #transport;

  constructor(transport) {
    this.#transport = transport;
  }

  list({ namespace = '/', room, user, connected, linearizable, pageSize = 100 } = {}) {
    return pages(this.#transport, '/sessions', 'sessions', {
      namespace, room, user, connected, limit: pageSize, consistency: consistency(linearizable),
    });
  }

  async get(sid, { namespace = '/' } = {}) {
    try {
      return await get(this.#transport, `/sessions/${encodeURIComponent(sid)}`, { namespace });
    } catch (error) {
      absent(error, 'session');
      return null;
    }
  }

  async end(sid, { namespace = '/' } = {}) {
    try {
      await this.#transport.request('DELETE', `${API}/sessions/${encodeURIComponent(sid)}${queryOf({ namespace })}`);
      return true;
    } catch (error) {
      absent(error, 'session');
      return false;
    }
  }

  join(enter, target) {
    return this.#change('join', { ...target, enter });
  }

  leave(leave, target) {
    return this.#change('leave', { ...target, leave });
  }

  disconnect(target) {
    return this.#change('disconnect', { ...target });
  }

  async #change(verb, body) {
    return json(await post(this.#transport, `/sessions/${verb}`, body)).sessions;
  }
}
