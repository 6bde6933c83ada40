// Requests to several nodes: connections that are kept, one request's attempts, what may be tried again and when.

import http from 'node:http';
import https from 'node:https';

import { errorOf, kindOf, UnavailableError, VedfolnirError } from './errors.js';

const CONNECT_MS_MAX = 2_000;
const IDLE_MS_MAX = 20_000;
const IDLE_CONNECTIONS_MAX = 16;
const DELAY_MS_MIN = 100;
const DELAY_MS_MAX = 2_000;
// Answers that come before anything was done.
const DEFINITE = new Set(['overloaded', 'not-ready', 'old-format', 'too-many-wrong-tokens', 'timeout']);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds to wait after so many failures: every node is asked once without waiting, then doubling with jitter (0 to 1). */
export function backOff(failures, nodes, jitter) {
  if (failures < nodes) return 0;
  const delay = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** Math.min(failures - nodes, 16));
  return delay * (0.5 + jitter / 2);
}

/** A `Retry-After` in milliseconds; 0 for none, and for a date, which nodes do not send. */
export const millisecondsOf = (retryAfter) => (/^\s*\d{1,6}\s*$/.test(retryAfter ?? '') ? Number(retryAfter) * 1_000 : 0);

/** Whether an answer that is no success may be asked for again, and whether it may have been done all the same. */
export function judge(status, problem) {
  if (status === 408 || status === 429) return { again: true, uncertain: false };
  if (status >= 500 && status !== 501 && status !== 507) return { again: true, uncertain: !DEFINITE.has(kindOf(problem)) };
  return { again: false, uncertain: false };
}

class Node {
  notBefore = 0;

  constructor(text, tls) {
    const url = parsed(text);
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash) {
      throw new TypeError(`${JSON.stringify(text)} is no node's address; accepted: http://HOST:PORT, https://HOST:PORT`);
    }
    if (url.username || url.password) throw new TypeError("a node's address has no user and password: give the token as { token }");
    this.module = url.protocol === 'https:' ? https : http;
    this.options = {
      ...(this.module === https ? tls : {}),
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || (this.module === https ? 443 : 80),
    };
    this.path = url.pathname.replace(/\/+$/, '');
    this.agent = new this.module.Agent({ keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS_MAX, timeout: IDLE_MS_MAX });
  }
}

function parsed(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** Any node serves any request: calls stay with the one that answered last, and go on to the next when it does not. */
export class Transport {
  #nodes;
  #token;
  #attemptMs;
  #current;

  constructor(urls, { token, timeoutMs = 30_000, attemptTimeoutMs = 5_000, tls } = {}) {
    this.#nodes = [urls].flat().map((url) => new Node(url, tls));
    if (this.#nodes.length === 0) throw new TypeError("no node's address was given");
    if (!(timeoutMs > 0) || !(attemptTimeoutMs > 0)) throw new TypeError('time-outs are milliseconds above 0');
    this.#token = token;
    this.timeoutMs = timeoutMs;
    this.#attemptMs = attemptTimeoutMs;
    // Programs that start together begin with different nodes.
    this.#current = Math.floor(Math.random() * this.#nodes.length);
  }

  close() {
    for (const { agent } of this.#nodes) agent.destroy();
  }

  /** Begins the next request with another node. */
  moveOn() {
    this.#current = (this.#current + 1) % this.#nodes.length;
  }

  /** The next node that did not ask to be left alone; otherwise the one whose time comes first. */
  #nextOf(index) {
    const now = performance.now();
    const waits = (other) => Math.max(0, this.#nodes[other].notBefore - now);
    const order = this.#nodes.map((_, step) => (index + 1 + step) % this.#nodes.length);
    return order.reduce((best, other) => (waits(other) < waits(best) ? other : best));
  }

  /**
   * An answer of the 2xx: { status, headers, body }, or an error.
   *
   * What is not `repeatable` is asked for again only after answers and failures that say that nothing was done.
   */
  async request(method, path, { body, headers, repeatable = true, idempotencyKey, timeoutMs = this.timeoutMs } = {}) {
    const all = {
      Accept: 'application/json',
      'User-Agent': 'vedfolnir-node',
      ...headers,
      ...(body !== undefined && { 'Content-Length': body.length }),
      ...(this.#token !== undefined && { Authorization: `Bearer ${this.#token}` }),
      ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
    };
    const nodes = this.#nodes;
    const deadline = performance.now() + timeoutMs;
    let index = this.#nextOf(this.#current - 1 + nodes.length);
    let attempts = 0;
    let uncertain = false;
    let freshOnly = !repeatable;
    const givenUp = (reason, cause, retryAfterMs) =>
      new UnavailableError(reason, { attempts, uncertain, idempotencyKey, retryAfterMs, cause });
    for (;;) {
      const node = nodes[index];
      const remaining = Math.max(1, deadline - performance.now());
      const within = repeatable ? Math.min(this.#attemptMs, remaining) : remaining;
      const outcome = await exchange(node, method, path, all, body, freshOnly, within);
      let last = outcome.error;
      if (last) {
        uncertain ||= outcome.sent;
        if (outcome.reused && !outcome.late) {
          // No failure of the node: the connection was closed while it was idle. The same again on a new one.
          freshOnly = true;
          continue;
        }
      } else {
        const { status, body: content } = outcome;
        if (status >= 200 && status < 300) {
          this.#current = index;
          return outcome;
        }
        const problem = parsedJson(content);
        last = errorOf(status, problem);
        const judged = judge(status, problem);
        if (!judged.again) {
          this.#current = index;
          throw last;
        }
        outcome.sent = judged.uncertain;
        uncertain ||= judged.uncertain;
        node.notBefore = performance.now() + millisecondsOf(outcome.headers['retry-after']);
      }
      attempts += 1;
      if (!repeatable && outcome.sent) throw givenUp('nobody could say what became of it', last);
      const now = performance.now();
      index = this.#nextOf(index);
      const asked = Math.max(0, nodes[index].notBefore - now);
      const delay = Math.max(backOff(attempts, nodes.length, Math.random()), asked);
      if (now + delay >= deadline) throw givenUp(`gave up within ${timeoutMs} ms`, last, asked || undefined);
      if (delay > 0) await sleep(delay);
    }
  }
}

/** One attempt: an answer, or { error, sent, reused, late }; `sent`: the node may have got it. */
function exchange(node, method, path, headers, body, freshOnly, within) {
  return new Promise((resolve) => {
    let sent = false;
    let late = false;
    const request = node.module.request({
      ...node.options,
      method,
      path: node.path + path,
      headers,
      agent: freshOnly ? false : node.agent,
    });
    const expire = () => {
      late = true;
      request.destroy(new Error(sent ? `no answer within ${Math.round(within)} ms` : 'no connection in time'));
    };
    const total = setTimeout(expire, within);
    const connecting = setTimeout(expire, Math.min(CONNECT_MS_MAX, within));
    const settle = (outcome) => {
      clearTimeout(total);
      clearTimeout(connecting);
      resolve(outcome);
    };
    const connected = () => {
      sent = true;
      clearTimeout(connecting);
    };
    const failed = (error) => settle({ error, sent, reused: request.reusedSocket, late });
    request.on('socket', (socket) => {
      if (!socket.connecting) return connected();
      return socket.once(node.module === https ? 'secureConnect' : 'connect', connected);
    });
    request.on('error', failed);
    request.on('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', failed);
      response.on('end', () => settle({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.end(body);
  });
}

function parsedJson(content) {
  try {
    return JSON.parse(content);
  } catch {
    return null;
  }
}

/** The JSON of an answer. */
export function json({ body }) {
  const value = parsedJson(body);
  if (value === null) throw new VedfolnirError("the answer is no JSON: is this the address of a node's API listener?");
  return value;
}
