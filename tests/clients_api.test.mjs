// The packages of deploy/clients: their own tests, and both against three nodes of which one is killed while they publish.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { Client, ConflictError, IdempotencyKeyReusedError } from '../deploy/clients/js/index.js';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, freePort } from './support/cluster.mjs';
import { until, within } from './support/wait.mjs';

atEnd(closeClients);

const HERE = path.dirname(fileURLToPath(import.meta.url));
const PACKAGES = path.join(HERE, '../deploy/clients');
const PYTHON = {
  ...process.env,
  PYTHONPATH: `${path.join(PACKAGES, 'python/src')}:${process.env.VEDFOLNIR_PYTHONPATH}`,
  PYTHONDONTWRITEBYTECODE: '1',
};

/** The packages' own tests, which run beside those here. */
const { NODE_TEST_CONTEXT, ...apart } = PYTHON;
const own = Promise.allSettled([
  promisify(execFile)('python3', ['-m', 'unittest', 'discover', '-t', '.', '-s', 'tests'], { cwd: path.join(PACKAGES, 'python'), env: apart }),
  promisify(execFile)('node', ['--test', 'test/vedfolnir.test.js'], { cwd: path.join(PACKAGES, 'js'), env: apart }),
]);

/** In front of a node: takes requests, has them done, and loses every `nth` answer with its connection. */
async function forgetful(url, nth) {
  let count = 0;
  const door = { lost: 0 };
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const { hostname, port } = new URL(url);
    const { method, headers } = request;
    const onwards = http.request({ hostname, port, path: request.url, method, headers, agent }, (answer) => {
      count += 1;
      if (count % nth === 0) {
        door.lost += 1;
        answer.resume();
        answer.on('end', () => request.socket.destroy());
        return;
      }
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onwards.on('error', () => request.socket.destroy());
    request.pipe(onwards);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(() => {
    server.closeAllConnections();
    server.close();
    agent.destroy();
  });
  return Object.assign(door, { url: `http://127.0.0.1:${server.address().port}` });
}

describe('three nodes', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.plan(3);
    for (const node of cluster.nodes) {
      const port = await freePort();
      node.apiUrl = `http://127.0.0.1:${port}`;
      node.args.push('--api-addr', `127.0.0.1:${port}`);
      node.spawn();
    }
    await cluster.ready();
  });
  after(() => cluster.stop());

  /** A client of the package for Node.js. */
  const client = (urls = cluster.nodes.map(({ apiUrl }) => apiUrl), options) => {
    const made = new Client(urls, options);
    atEnd(() => made.close());
    return made;
  };

  test('answers are lost and a node is killed while both packages publish: everything comes once, with the offset that was answered', { timeout: 90_000 }, async () => {
    const doors = await Promise.all(cluster.nodes.map(({ apiUrl }) => forgetful(apiUrl, 7)));
    const urls = doors.map(({ url }) => url);
    const receiver = await connect('receiver', cluster.urls);
    await receiver.join('room');

    const answers = new Map();
    const COUNT = 150;
    const script = spawn('python3', [path.join(HERE, 'support/publishing.py'), urls.join(','), 'python', String(COUNT), '4'], { env: PYTHON, stdio: ['ignore', 'pipe', 'inherit'] });
    atEnd(() => script.kill('SIGKILL'));
    const ended = once(script, 'exit');
    createInterface({ input: script.stdout }).on('line', (line) => {
      const { id, ...answer } = JSON.parse(line);
      answers.set(id, answer);
    });
    const worker = async (index) => {
      const by = client([...urls.slice(index % 3), ...urls.slice(0, index % 3)], { attemptTimeoutMs: 3_000 });
      for (let number = index; number < COUNT; number += 4) {
        const id = `node:${number}`;
        answers.set(id, await by.publish({ room: 'room', event: 'm', args: [{ id }] }));
      }
    };
    const workers = Promise.all([0, 1, 2, 3].map(worker));
    await until('some of each has been published', () => ['python', 'node'].every((name) => [...answers.keys()].filter((id) => id.startsWith(name)).length > 20), { every: 5 });
    const leader = await cluster.leader();
    await leader.kill('SIGKILL');
    try {
      await workers;
      assert.deepEqual(await within('the end of the Python program', ended), [0, null]);
    } finally {
      await leader.restart();
    }
    assert.equal(answers.size, 2 * COUNT);
    await client().publish({ room: 'room', event: 'm', args: [{ id: 'end' }] });
    await until('the receiver has everything', () => receiver.seen.includes('end'), { every: 5 });

    assert.ok(doors.every(({ lost }) => lost > 0), `answers lost: ${doors.map(({ lost }) => lost)}`);
    assert.ok([...answers.values()].some(({ replayed }) => replayed));
    assert.deepEqual(receiver.seen.slice(0, -1).sort(), [...answers.keys()].sort(), 'each of them once');
    const offsets = receiver.messages.filter(({ message }) => message.id !== 'end').map(({ message, offset }) => [message.id, offset]);
    assert.deepEqual(new Map(offsets), new Map([...answers].map(([id, { offset }]) => [id, offset])));
  });

  test('a key that is used again is one publish, and refused for another; a batch is made once, too', async () => {
    const by = client();
    const receiver = await connect('receiver of keys', cluster.urls);
    await receiver.join('keys');
    const publish = { room: 'keys', event: 'm', args: [{ id: 'keyed' }] };
    const key = 'order-42-shipped';
    const first = await by.publish(publish, { idempotencyKey: key });
    const second = await client().publish(publish, { idempotencyKey: key });
    assert.deepEqual([first.replayed, second.replayed, second.offset], [false, true, first.offset]);
    const other = { ...publish, args: [{ id: 'another' }] };
    await assert.rejects(by.publish(other, { idempotencyKey: key }), (error) => error instanceof IdempotencyKeyReusedError && error.field === 'Idempotency-Key');
    const publishes = ['a', 'b', 'c'].map((id) => ({ room: 'keys', event: 'm', args: [{ id }] }));
    const made = await by.batch(publishes, { idempotencyKey: 'batch-1' });
    const again = await client().batch(publishes, { idempotencyKey: 'batch-1' });
    assert.deepEqual(again.items, made.items);
    await by.publish({ room: 'keys', event: 'm', args: [{ id: 'end' }] });
    await until('the receiver has the last one', () => receiver.seen.includes('end'), { every: 5 });
    assert.deepEqual(receiver.seen, ['keyed', 'a', 'b', 'c', 'end']);
  });

  test('a publish that is sent after the answer to another is behind it, on whichever nodes, for every client', async () => {
    const publishers = cluster.nodes.map(({ apiUrl }) => client(apiUrl));
    const receivers = await Promise.all(cluster.urls.map((url, index) => connect(`in order ${index}`, url)));
    await Promise.all(receivers.map((receiver) => receiver.join('order')));
    const sent = [];
    for (let number = 0; number < 60; number += 1) {
      const { offset } = await publishers[number % 3].publish({ room: 'order', event: 'm', args: [{ id: String(number) }] });
      sent.push([String(number), offset]);
    }
    for (const receiver of receivers) {
      await receiver.received(60);
      assert.deepEqual(receiver.messages.map(({ message, offset }) => [message.id, offset]), sent);
    }
  });

  test('sessions of an application are kept, exchanged only as they were read, listed and removed, while a node is dead', async () => {
    const dead = await cluster.leader();
    const [here, there] = cluster.nodes.filter((node) => node !== dead).map(({ apiUrl }) => client([dead.apiUrl, apiUrl]));
    // A room's history has what was published while somebody was in it.
    const listener = await connect('listener', cluster.nodes.filter((node) => node !== dead).map(({ url }) => url));
    await listener.join('python');
    await dead.kill('SIGKILL');
    try {
      const python = promisify(execFile)('python3', [path.join(HERE, 'support/storing.py'), cluster.nodes.map(({ apiUrl }) => apiUrl).join(',')], { env: PYTHON });
      const key = 'vedfolnir:session:a/ü ?#%';
      assert.equal(await here.store.get(key, { linearizable: true }), null);
      const made = await here.store.putJson(key, { user_id: 1 }, { ifAbsent: true, ttlMs: 3_600_000 });
      const entry = await there.store.get(key, { linearizable: true });
      assert.deepEqual([entry.json(), entry.revision], [{ user_id: 1 }, made]);
      assert.ok(entry.expiresInMs > 3_500_000 && entry.expiresInMs <= 3_600_000, String(entry.expiresInMs));
      const next = await there.store.put(key, Buffer.from([0, 255]), { ifRevision: made });
      await assert.rejects(here.store.put(key, 'late', { ifRevision: made }), (error) => error instanceof ConflictError && error.problem.current === next);
      await assert.rejects(here.store.put(key, 'late', { ifAbsent: true }), ConflictError);
      await Promise.all(['b', 'c'].map((name) => here.store.put(`vedfolnir:session:${name}`, name)));
      const listed = [];
      for await (const { key: name, value } of here.store.list('vedfolnir:session:', { pageSize: 2 })) listed.push([name, value.toString('hex')]);
      assert.deepEqual(listed, [[key, '00ff'], ['vedfolnir:session:b', '62'], ['vedfolnir:session:c', '63']]);
      assert.equal(await here.store.delete(key, { ifRevision: next }), true);
      assert.equal(await here.store.delete(key), false);
      await python;
    } finally {
      await dead.restart();
    }
  });

  test('sessions, presence and history are read, and sessions are moved and ended', async () => {
    const by = client();
    const one = await connect('one', cluster.urls[0], { auth: {} });
    await one.join('reads');
    await connect('two', cluster.urls[1]).then((two) => two.join('reads'));
    assert.deepEqual(await by.presence({ room: 'reads', linearizable: true }), { sessions: 2, users: 0 });
    const sids = [];
    for await (const { sid, connected } of by.sessions.list({ room: 'reads', linearizable: true, pageSize: 1 })) sids.push([sid, connected]);
    assert.equal(sids.length, 2);
    assert.ok(sids.some(([sid, connected]) => sid === one.id && connected));
    assert.equal(await by.sessions.join(['more'], { session: one.id }), 1);
    assert.ok((await by.sessions.get(one.id)).rooms.includes('more'));
    const offsets = [];
    for (const id of ['h1', 'h2', 'h3']) offsets.push((await by.publish({ room: 'more', event: 'm', args: [{ id }] })).offset);
    const events = [];
    for await (const { offset, args } of by.history({ room: 'more', after: offsets[0], pageSize: 1 })) events.push([offset, args[0].id]);
    assert.deepEqual(events, [[offsets[1], 'h2'], [offsets[2], 'h3']]);
    assert.equal(await by.sessions.end(one.id), true);
    assert.equal((await one.disconnected()).reason, 'io server disconnect');
    assert.equal(await by.sessions.end(one.id), false);
    assert.equal(await by.sessions.get(one.id), null);
  });
});

test("the packages' own tests pass", async () => {
  for (const { status, reason } of await own) assert.equal(status, 'fulfilled', `${reason?.stdout}${reason?.stderr}`);
});
