// The package against the vectors that it shares with the one for Python, and against nodes that die, refuse and wait.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import * as vedfolnir from '../index.js';
import { backOff, judge, millisecondsOf } from '../lib/transport.js';
import { node, ok, problem, refusing, secureNode } from './server.js';

const { Backend, Client, Refuse, UnavailableError } = vedfolnir;
const VECTORS = JSON.parse(readFileSync(new URL('../../vectors.json', import.meta.url), 'utf8'));

/** A client that is closed with the test. */
function client(t, urls, options) {
  const made = new Client(urls, options);
  t.after(() => made.close());
  return made;
}

async function call(by, name, { sid, key, value, rooms_changed: rooms, ttl_ms: ttlMs, if_revision: ifRevision, if_absent: ifAbsent, ...rest }) {
  const [group, verb] = name.includes('.') ? name.split('.') : [null, name];
  const options = Object.fromEntries(Object.entries({ ttlMs, ifRevision, ifAbsent, ...rest }).filter(([, given]) => given !== undefined));
  const first = [sid, key, value, rooms].filter((given) => given !== undefined);
  const target = group ? by[group] : by;
  return plain(await target[verb](...first, options));
}

/** A result as the vectors say it. */
const plain = (result) =>
  result?.revision === undefined ? result : { text: result.text, revision: result.revision, expires_ms: result.expiresInMs };

for (const vector of VECTORS.requests) {
  test(`the request for ${vector.name} is the one that the HTTP API has`, async (t) => {
    const { status, headers, body } = vector.answer;
    const server = await node(t, { status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
    const result = await call(client(t, server.url, { token: 'a token of the tests' }), vector.call, vector.args);
    const [asked] = server.asked;
    assert.deepEqual(result, vector.result ?? null);
    assert.deepEqual([asked.method, asked.path], [vector.method, vector.path]);
    assert.equal(asked.headers.authorization, 'Bearer a token of the tests');
    for (const [name, value] of Object.entries(vector.headers ?? {})) assert.equal(asked.headers[name], value, name);
    for (const name of ['if-match', 'if-none-match']) assert.equal(name in asked.headers, name in (vector.headers ?? {}));
    assert.equal('idempotency-key' in asked.headers, vector.call === 'publish' && !vector.args.volatile);
    if (typeof vector.body === 'object') assert.deepEqual(JSON.parse(asked.body), vector.body);
    else assert.equal(String(asked.body), vector.body ?? '');
  });
}

test('each problem is an error of its own, with the field, and is not asked for again', async (t) => {
  for (const vector of VECTORS.problems) {
    const server = await node(t, { status: vector.status, headers: {}, body: vector.body });
    const error = await client(t, server.url).publish({ event: 'm' }).catch((caught) => caught);
    assert.ok(error instanceof vedfolnir.ApiError);
    assert.deepEqual([error.name, error.status, error.type, error.field ?? null], [vector.error, vector.status, vector.type, vector.field]);
    assert.equal(server.asked.length, 1);
  }
});

test('what may be asked again, when, and what is unsure', () => {
  for (const { status, problem: answered, again, uncertain } of VECTORS.judged) assert.deepEqual(judge(status, answered), { again, uncertain });
  for (const { failures, nodes, jitter, ms } of VECTORS.back_off) assert.equal(backOff(failures, nodes, jitter), ms);
  for (const [text, ms] of VECTORS.retry_after) assert.equal(millisecondsOf(text), ms, text);
});

for (const vector of VECTORS.signatures) {
  test(`a signature is ${vector.valid ? 'believed' : 'not believed'}: ${vector.name}`, () => {
    const body = Buffer.from(vector.body);
    const each = [vector.headers, ...(Object.values(vector.headers).every((value) => /^[\x20-\x7e]*$/.test(value)) ? [new Headers(vector.headers)] : [])];
    for (const headers of each) {
      const verified = () => vedfolnir.verify(body, headers, vector.secrets, { now: vector.now });
      if (vector.valid) assert.deepEqual(verified(), JSON.parse(vector.body));
      else assert.throws(verified, vedfolnir.SignatureError);
    }
  });
}

test('verify wants bytes and a secret', () => {
  assert.throws(() => vedfolnir.verify('{}', {}, 'secret'), TypeError);
  for (const secrets of [[], '', ['good', '']]) assert.throws(() => vedfolnir.verify(Buffer.from('{}'), {}, secrets), TypeError);
  const headers = { 'vedfolnir-timestamp': '7', 'vedfolnir-signature': vedfolnir.sign('{}', 'secret', 7) };
  assert.deepEqual(vedfolnir.verify(Buffer.from('{}'), headers, Buffer.from('secret'), { now: 7 }), {});
});

test('handlers answer calls', async () => {
  const closed = [];
  const backend = new Backend('a secret', { onError: () => {} });
  backend
    .of('/user')
    .on('connect', (context, auth) => {
      if (!auth) return false;
      if (auth.name !== 'ada') throw new Refuse('not you', { code: 7 });
      context.user = auth.name;
      context.data = { role: 'reader' };
      context.join(`user:${context.user}`);
      return undefined;
    })
    .on('start', async (context, job, count) => {
      context.emit('started', [job]);
      context.emit('started', [job, context.user], { namespace: '/admin', room: 'watchers' });
      context.emit('news', [], { broadcast: true });
      context.join(`job:${job}`);
      context.leave('idle');
      return [job, count];
    })
    .on('sizes', (context, one, more) => [one.length, more.a[0].length])
    .on('quiet', () => {})
    .on('bye', (context) => context.disconnect())
    .on('fails', () => {
      throw new Error('on purpose');
    })
    .on('*', (context, event, ...args) => ({ event, args }));
  backend.onWebhook('session.closed', (event) => closed.push(event.type));
  for (const vector of VECTORS.calls) {
    const body = Buffer.from(JSON.stringify(vector.call));
    const now = Math.floor(Date.now() / 1_000);
    const headers = { 'Vedfolnir-Timestamp': String(now), 'Vedfolnir-Signature': vedfolnir.sign(body, 'a secret', now) };
    const answer = await backend.handle(headers, body);
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [vector.status, vector.answer], vector.name);
    assert.equal((await backend.handle({ ...headers, 'Vedfolnir-Signature': 'v1=00' }, body)).status, 401);
  }
  assert.deepEqual(closed, ['session.closed']);
});

test('a publish keeps its key over nodes that die, refuse and do not know, and the next one has another', async (t) => {
  const server = await node(t, null, problem(503, 'no-quorum', { 'Retry-After': '0' }), ok({ offset: 'A' }));
  const by = client(t, [await refusing(), server.url, await refusing()]);
  assert.deepEqual(await by.publish({ event: 'm', args: [1] }), { offset: 'A', replayed: false });
  await by.publish({ event: 'm', args: [1] });
  const keys = server.asked.map(({ headers }) => headers['idempotency-key']);
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys.slice(0, 3)).size, 1);
  assert.notEqual(keys[2], keys[3]);
  for (const key of keys) assert.match(key, /^[\x21-\x7e]{32,255}$/);
});

test('a key of the caller is used, and named by the error with what is known', async (t) => {
  const nobody = await client(t, await refusing(), { timeoutMs: 1_000 }).publish({ event: 'm' }, { idempotencyKey: 'mine' }).catch((error) => error);
  assert.ok(nobody instanceof UnavailableError);
  assert.deepEqual([nobody.uncertain, nobody.idempotencyKey], [false, 'mine']);
  const server = await node(t, problem(503, 'no-quorum'));
  const unsure = await client(t, server.url, { timeoutMs: 1_000 }).publish({ event: 'm' }).catch((error) => error);
  assert.equal(unsure.uncertain, true);
  assert.deepEqual(new Set(server.asked.map(({ headers }) => headers['idempotency-key'])), new Set([unsure.idempotencyKey]));
  assert.ok(unsure.attempts > 1);
  assert.ok(server.asked.length > 1);
});

test('a node that wants to be left alone is, until its time has come', async (t) => {
  const busy = await node(t, problem(503, 'overloaded', { 'Retry-After': '600' }));
  const free = await node(t, ok({ offset: 'A' }));
  for (const by of [client(t, [busy.url, free.url])]) for (let times = 0; times < 20; times += 1) await by.publish({ event: 'm' });
  assert.ok(busy.asked.length <= 1);
  assert.equal(free.asked.length, 20);
  const before = busy.asked.length;
  const error = await client(t, busy.url).publish({ event: 'm' }).catch((caught) => caught);
  assert.equal(busy.asked.length, before + 1, 'waiting would take longer than the call may');
  assert.ok(error.retryAfterMs > 500_000);
  assert.equal(error.uncertain, false);
});

test('a node that does not answer is not waited for longer than an attempt may take', async (t) => {
  const silent = await node(t, 'silence');
  const server = await node(t, ok({ offset: 'A' }));
  const answers = await Promise.all(Array.from({ length: 8 }, () => client(t, [silent.url, server.url], { attemptTimeoutMs: 200 }).publish({ event: 'm' })));
  assert.deepEqual(new Set(answers.map(({ offset }) => offset)), new Set(['A']));
  assert.equal(server.asked.length, 8);
});

const twice = {
  'a volatile publish': (by) => by.publish({ event: 'm', volatile: true }),
  'the making of an entry': (by) => by.store.put('k', 'v', { ifAbsent: true }),
  'the removal of what was read': (by) => by.store.delete('k', { ifRevision: '1.0' }),
};
for (const [name, attempt] of Object.entries(twice)) {
  test(`${name} is not tried again once it may have been done`, async (t) => {
    for (const answer of [null, problem(503, 'no-quorum'), problem(502, 'bad')]) {
      const server = await node(t, answer);
      const error = await attempt(client(t, server.url)).catch((caught) => caught);
      assert.ok(error instanceof UnavailableError, error);
      assert.deepEqual([error.uncertain, server.asked.length], [true, 1]);
    }
    const server = await node(t, problem(503, 'overloaded'), ok({ existed: true }, { ETag: '"1.0"' }));
    await attempt(client(t, [await refusing(), server.url]));
    assert.equal(server.asked.length, 2, 'nothing was done the first time');
  });
}

test('what no majority answered in a batch is tried again under the same key', async (t) => {
  const unsure = { status: 503, problem: { type: 'urn:vedfolnir:problem:no-quorum' } };
  const wrong = { status: 422, problem: { type: 'urn:vedfolnir:problem:invalid', field: 'publishes[1].event' } };
  const done = { status: 200, offset: 'A' };
  const server = await node(t, ok({ results: [done, wrong, unsure] }), ok({ results: [done, wrong, { status: 200, offset: 'B' }] }));
  const batch = await client(t, server.url).batch([0, 1, 2].map((number) => ({ event: 'm', args: [number] })));
  assert.deepEqual(batch.items.map(({ offset }) => offset), ['A', null, 'B']);
  assert.equal(batch.ok, false);
  assert.ok(batch.items[1].error instanceof vedfolnir.InvalidRequestError);
  const [first, second] = server.asked;
  assert.equal(String(first.body), String(second.body));
  assert.equal(first.headers['idempotency-key'], second.headers['idempotency-key']);
  const never = await node(t, ok({ results: [unsure] }));
  const given = await client(t, never.url, { timeoutMs: 1_000 }).batch([{ event: 'm' }]);
  assert.equal(given.items[0].error.status, 503);
  assert.deepEqual(new Set(never.asked.map(({ headers }) => headers['idempotency-key'])), new Set([given.idempotencyKey]));
});

test('a batch with volatile ones has no key, and is made once', async (t) => {
  const volatile = [{ event: 'm', volatile: true }, { event: 'm' }];
  const server = await node(t, ok({ results: [{ status: 202 }, { status: 503 }] }));
  const by = client(t, server.url);
  const { items, idempotencyKey } = await by.batch(volatile);
  assert.deepEqual([items.map(({ status }) => status), idempotencyKey], [[202, 503], undefined]);
  assert.equal(server.asked[0].headers['idempotency-key'], undefined);
  await assert.rejects(by.batch(volatile, { idempotencyKey: 'k' }), TypeError);
  assert.equal(server.asked.length, 1);
  const dying = await node(t, null);
  await assert.rejects(client(t, dying.url).batch(volatile), UnavailableError);
  assert.equal(dying.asked.length, 1);
});

test('https is for authorities that are known, and nothing is sent to others', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'vedfolnir-client-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [certificate, key] = ['certificate.pem', 'key.pem'].map((name) => path.join(directory, name));
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', [...request, '-subj', '/CN=a node', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const cert = readFileSync(certificate);
  const server = await secureNode(t, { key: readFileSync(key), cert }, ok({ offset: 'A' }));
  const by = client(t, server.url, { tls: { ca: cert } });
  for (let times = 0; times < 2; times += 1) assert.equal((await by.publish({ event: 'm' })).offset, 'A');
  const error = await client(t, server.url, { timeoutMs: 1_000 }).publish({ event: 'm' }).catch((caught) => caught);
  assert.ok(error instanceof UnavailableError);
  assert.deepEqual([error.uncertain, error.cause.code, server.asked.length], [false, 'DEPTH_ZERO_SELF_SIGNED_CERT', 2]);
});

test('connections are kept, and one that was closed while idle is no failure', async (t) => {
  const server = await node(t, ok({ offset: 'A' }), null, ok({ offset: 'B' }));
  const by = client(t, server.url, { timeoutMs: 5_000 });
  for (let times = 0; times < 2; times += 1) await by.publish({ event: 'm' });
  assert.deepEqual([server.asked.length, server.connections], [3, 2]);
});

test('pages are asked for as they are used', async (t) => {
  const view = (key) => ({ key, revision: '1.0', value: key });
  const bytes = { key: 'c', revision: '2.0', value_base64: '/wA=', expires_in_ms: 1500 };
  const server = await node(t, ok({ entries: [view('a')], next: 'a' }), ok({ entries: [view('b'), bytes], next: null }));
  const entries = client(t, server.url).store.list();
  await entries.next();
  assert.equal(server.asked.length, 1);
  const rest = [];
  for await (const { key, value, expiresInMs } of entries) rest.push([key, value.toString('hex'), expiresInMs]);
  assert.deepEqual(rest, [['b', '62', null], ['c', 'ff00', 1500]]);
  assert.deepEqual(server.asked.map(({ path }) => path), ['/api/v1/store?prefix=&limit=100', '/api/v1/store?prefix=&limit=100&after=a']);
});

test('a path or namespace that is not there is no missing entry', async (t) => {
  for (const field of [undefined, 'namespace']) {
    const server = await node(t, ok({ type: 'urn:vedfolnir:problem:some', field }, {}, 404));
    const by = client(t, server.url);
    for (const asked of [by.store.get('k'), by.sessions.get('sid'), by.sessions.end('sid')]) await assert.rejects(asked, vedfolnir.NotFoundError);
  }
});

test('what cannot be an address, a time to live or JSON is refused', async (t) => {
  for (const url of ['10.0.0.1:5003', 'ftp://a', 'http://', 'http://user:pass@host:1', 'http://a/?x=1', []]) assert.throws(() => new Client(url), TypeError);
  const server = await node(t, { status: 200, headers: {}, body: '<html>' });
  const by = client(t, server.url);
  await assert.rejects(by.presence(), vedfolnir.VedfolnirError);
  await assert.rejects(by.store.put('k', 'v', { ttlMs: 0 }), TypeError);
  await assert.rejects(by.store.put('k', 'v', { ifAbsent: true, ifRevision: '1.0' }), TypeError);
});
