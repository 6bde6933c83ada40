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

import { Client, IdempotencyKeyReusedError } from '../deploy/clients/js/index.js';
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

test("the packages' own tests pass", async () => {
  const run = promisify(execFile);
  const { NODE_TEST_CONTEXT, ...env } = PYTHON;
  await Promise.all([
    run('python3', ['-m', 'unittest', 'discover', '-t', '.', '-s', 'tests'], { cwd: path.join(PACKAGES, 'python'), env }),
    run('node', ['--test', 'test/vedfolnir.test.js'], { cwd: path.join(PACKAGES, 'js'), env }),
  ]);
});

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
});
