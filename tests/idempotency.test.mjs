// Idempotency keys: what is asked for again, on whichever node, after whoever's death, is published once. And `vedfolnir
// publish`, which asks so.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, freePort, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask, metric } from './support/doors.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const PROBLEM = 'urn:vedfolnir:problem:';
const REPLAYED = 'idempotent-replayed';

/** One publish, or a batch, under a key. */
const post = (node, path, body, key) =>
  ask(node.apiUrl, `/api/v1/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(key !== undefined && { 'Idempotency-Key': key }) },
    body: JSON.stringify(body),
  });

describe('three nodes', () => {
  let cluster;
  let clients;
  before(async () => {
    cluster = await Cluster.plan(3);
    for (const node of cluster.nodes) {
      const port = await freePort();
      node.apiUrl = `http://127.0.0.1:${port}`;
      node.args.push('--api-addr', `127.0.0.1:${port}`);
      node.spawn();
    }
    await cluster.ready();
    // Whoever's node is killed goes on at the next one, and is given what it missed.
    clients = await Promise.all(cluster.urls.map((_, index) => connect(`client ${index}`, [...cluster.urls.slice(index), ...cluster.urls.slice(0, index)])));
    await until('every member speaks the newest format', async () => (await post(cluster.nodes[0], 'publish', { event: 'm', args: [{ id: 'first' }] }, 'first')).status === 200);
  });
  after(() => cluster.stop());

  let ends = 0;
  /** Waits until every client has everything that was published before this call; resolves with what each has seen. */
  const everythingArrived = async () => {
    ends += 1;
    const id = `end-${ends}`;
    const node = cluster.alive[0];
    await until(`${id} is published`, async () => (await post(node, 'publish', { event: 'm', args: [{ id }] }, id)).status === 200);
    for (const client of clients) await until(`${client.name} has ${id}`, () => client.seen.includes(id));
    return clients.map((client) => client.messages.map(({ message, offset }) => [message.id, offset]));
  };
  /** Every client has each of these once, with the offset that was answered: [[id, offset], …]. */
  const assertOnce = (arrived, published) => {
    const ids = new Set(published.map(([id]) => id));
    const wanted = published.map(String).sort();
    for (const messages of arrived) assert.deepEqual(messages.filter(([id]) => ids.has(id)).map(String).sort(), wanted);
  };
  /** Asks one node after the other, from this one on, until one has answered that all of it is committed. */
  const persist = async (first, path, body, key) => {
    let turn = cluster.indexOf(first);
    let answer;
    await until(`${key} is committed`, async () => {
      const node = cluster.nodes[turn % cluster.nodes.length];
      turn += 1;
      answer = await post(node, path, body, key);
      return answer.status === 200 && (answer.json.results ?? [answer.json]).every(({ offset }) => offset);
    }, { every: 5 });
    return answer;
  };

  for (const role of ['follower', 'leader']) {
    test(`a ${role} is killed while it has requests, which others are given again: everything is published once`, async () => {
      const victim = role === 'leader' ? await cluster.leader() : (await cluster.followers())[0];
      let answered = 0;
      const singles = Array.from({ length: 160 }, (_, number) => `${role} ${number}`);
      const batches = Array.from({ length: 8 }, (_, number) => Array.from({ length: 40 }, (_, part) => `${role} batch ${number}, ${part}`));
      const event = (id) => ({ event: 'm', args: [{ id }] });
      const asked = [
        ...singles.map((id) => ({ path: 'publish', body: event(id), key: id.replaceAll(' ', '-'), ids: [id] })),
        ...batches.map((ids, number) => ({ path: 'batch', body: { publishes: ids.map(event) }, key: `${role}-batch-${number}`, ids })),
      ];
      const all = asked.map(async ({ path, body, key }) => {
        const answer = await persist(victim, path, body, key);
        answered += 1;
        return answer;
      });
      await until('some are answered', () => answered > 20, { every: 1 });
      await victim.kill('SIGKILL');
      const answers = await Promise.all(all);
      const published = answers.flatMap(({ json }, index) => (json.results ?? [json]).map(({ offset }, part) => [asked[index].ids[part], offset]));
      assert.equal(new Set(published.map(([, offset]) => offset)).size, published.length);
      assertOnce(await everythingArrived(), published);
      // What was in one batch came in its order, whoever published which part of it.
      for (const ids of batches) {
        for (const client of clients) assert.deepEqual(client.seen.filter((id) => ids.includes(id)), ids);
      }

      // Asked once more, everybody answers the same, the node that was killed too.
      await victim.restart();
      for (const [index, node] of cluster.nodes.entries()) {
        for (const { path, body, key } of [asked[index], asked.at(-1 - index)]) {
          const again = await persist(node, path, body, key);
          const first = answers[asked.findIndex((one) => one.key === key)];
          assert.deepEqual([again.json, again.headers[REPLAYED]], [first.json, 'true']);
        }
      }
      assertOnce(await everythingArrived(), published);
    });
  }

  test('asked for on all nodes at once it is published once, and one answer says that it was the first', async () => {
    const keys = Array.from({ length: 30 }, (_, number) => `at-once-${number}`);
    const published = await Promise.all(keys.map(async (key) => {
      const body = { event: 'm', args: [{ id: key }] };
      const answers = await Promise.all([...cluster.nodes, ...cluster.nodes].map((node) => post(node, 'publish', body, key)));
      assert.deepEqual(answers.map(({ status }) => status), answers.map(() => 200), key);
      assert.equal(answers.filter(({ headers }) => headers[REPLAYED] === undefined).length, 1, key);
      const [offset, ...others] = new Set(answers.map(({ json }) => json.offset));
      assert.deepEqual(others, []);
      return [key, offset];
    }));
    assertOnce(await everythingArrived(), published);
    const [node] = cluster.nodes;
    assert.ok((await metric(node, 'vedfolnir_publishes_total', { result: 'repeated' })) >= keys.length);
    assert.ok((await metric(node, 'vedfolnir_idempotency_keys')) >= keys.length);
    assert.equal(await metric(node, 'vedfolnir_idempotency_keys_dropped_total'), 0);
  });

  test('another request under the same key is refused, by whichever node, and publishes nothing', async () => {
    const [a, b, c] = cluster.nodes;
    const body = { event: 'm', args: [{ id: 'kept' }] };
    const other = { event: 'm', args: [{ id: 'refused' }] };
    const first = await post(a, 'publish', body, 'taken');
    assert.equal(first.status, 200);
    const refused = async (node, path, asked) => {
      const { status, json } = await post(node, path, asked, 'taken');
      assert.deepEqual([status, json.type, json.field], [409, `${PROBLEM}idempotency-key-reused`, 'Idempotency-Key'], `${path} ${node.name}`);
    };
    for (const node of [a, b, c]) {
      await refused(node, 'publish', other);
      await refused(node, 'publish', { ...body, room: 'a' });
      await refused(node, 'batch', { publishes: [body] });
      await refused(node, 'batch', { publishes: [{ event: 'connect' }, other] });
    }
    // The first of a batch stands for all of it.
    const publishes = ['part 0', 'part 1'].map((id) => ({ event: 'm', args: [{ id }] }));
    const batch = await post(b, 'batch', { publishes }, 'batch');
    const longer = { publishes: [...publishes, other] };
    assert.equal((await post(c, 'batch', longer, 'batch')).status, 409);
    assertOnce(await everythingArrived(), [
      ['kept', first.json.offset],
      ...batch.json.results.map(({ offset }, index) => [`part ${index}`, offset]),
    ]);
    assert.ok(clients.every((client) => !client.seen.includes('refused')));
    for (const bad of ['', 'a b', 'x'.repeat(256)]) {
      const { status, json } = await post(a, 'publish', body, bad);
      assert.deepEqual([status, json.type, json.field], [422, `${PROBLEM}invalid`, 'Idempotency-Key'], bad);
    }
    const volatile = await post(a, 'publish', { ...body, volatile: true }, 'volatile');
    assert.deepEqual([volatile.status, volatile.json.field], [422, 'volatile']);
    const { json } = await post(a, 'batch', { publishes: [{ ...body, volatile: true }, { event: 'm', args: [{ id: 'durable' }] }] }, 'half');
    assert.deepEqual(json.results.map(({ status, problem }) => [status, problem?.field]), [[422, 'publishes[0].volatile'], [200, undefined]]);
  });

  test('what was sent to a client that has left since is answered as it was; nothing new is', async () => {
    const [a, b] = cluster.nodes;
    const gone = await connect('one that leaves', a.url);
    const body = { session: gone.id, event: 'm', args: [{ id: 'to one' }] };
    const first = await post(a, 'publish', body, 'to-one');
    assert.equal(first.status, 200, first.text);
    await until('it came', () => gone.seen.includes('to one'));
    gone.close();
    await until('its session is over', async () => (await post(b, 'publish', body)).status === 404);
    for (const node of cluster.nodes) {
      const again = await post(node, 'publish', body, 'to-one');
      assert.deepEqual([again.status, again.json, again.headers[REPLAYED]], [200, first.json, 'true'], node.name);
    }
    assert.equal((await post(b, 'publish', body, 'to-one-anew')).status, 404);
  });

  /** `vedfolnir publish` at these nodes. */
  const publish = (nodes, ...args) => run(['publish', ...nodes.flatMap((node) => ['--api', node.apiUrl]), ...args]);

  test('the command publishes to whom it is told, and prints the offset', async () => {
    const [a] = cluster.nodes;
    const [first, second, third] = clients;
    await Promise.all([first.join('left'), second.join('right'), third.join('left')]);
    const send = async (id, ...args) => {
      const { code, stdout, stderr } = await publish([a], ...args, 'm', JSON.stringify({ id }));
      assert.deepEqual([code, stderr], [0, ''], id);
      return stdout.trim();
    };
    const published = [];
    const note = async (id, ...args) => published.push([id, await send(id, ...args)]);
    await note('to all');
    await note('to rooms', '--room', 'left', '--room', 'right');
    const some = { left: await send('to left', '--room', 'left'), session: await send('to a session', '--session', second.id) };
    const except = await send('but left', '--except', 'left');
    assert.equal(await send('maybe', '--volatile'), '');
    assertOnce(await everythingArrived(), published);
    const got = (id) => clients.map((client) => client.messages.filter(({ message }) => message.id === id).map(({ offset }) => offset));
    assert.deepEqual(got('to left'), [[some.left], [], [some.left]]);
    assert.deepEqual(got('to a session'), [[], [some.session], []]);
    assert.deepEqual(got('but left'), [[], [except], []]);
    const { stdout } = await publish([a], 'm', '{"id":"three"}', '-7', '"text"');
    await until('it came', () => first.seen.includes('three'));
    const { offset, extra } = first.messages.find(({ message }) => message.id === 'three');
    assert.deepEqual([offset, ...extra], [-7, 'text', stdout.trim()]);
  });

  test('the command goes on at another node, under its key, when the one that it asked is dead or cut off', async () => {
    const victim = (await cluster.followers())[0];
    const others = cluster.nodes.filter((node) => node !== victim);
    const id = JSON.stringify({ id: 'by hand' });
    const first = await publish([victim], '--idempotency-key', 'by-hand', 'm', id);
    assert.equal(first.code, 0, first.stderr);
    await victim.kill('SIGKILL');
    const again = await publish([victim, ...others], '--idempotency-key', 'by-hand', 'm', id);
    assert.deepEqual([again.code, again.stdout], [0, first.stdout]);
    // All of them at once, while the leader dies: each is published, once.
    await victim.restart();
    const leader = await cluster.leader();
    const ids = Array.from({ length: 8 }, (_, number) => `at once ${number}`);
    const running = ids.map((one) => publish([leader, ...cluster.nodes.filter((node) => node !== leader)], 'm', JSON.stringify({ id: one })));
    await leader.kill('SIGKILL');
    const done = await Promise.all(running);
    for (const { code, stderr } of done) assert.equal(code, 0, stderr);
    await leader.restart();
    assertOnce(await everythingArrived(), [['by hand', first.stdout.trim()], ...done.map(({ stdout }, index) => [ids[index], stdout.trim()])]);
  });

  test('what the command cannot do it says in one line, with the field, the argument or the address', async () => {
    const [node] = cluster.nodes;
    const nowhere = { apiUrl: `http://127.0.0.1:${await freePort()}` };
    const missing = path.join(temporaryDirectory(), 'no-token');
    const other = await publish([node], '--idempotency-key', 'by-hand', 'm', '"other"');
    for (const [{ code, stdout, stderr }, expected, ...parts] of [
      [await publish([node], 'm', 'text'), 78, 'JSON_ARG 1 = "text" is refused', 'accepted: any JSON'],
      [await publish([node], '--token-file', missing, 'm'), 78, '--token-file', missing],
      [await run(['publish', '--api', 'ftp://a:1', 'm']), 78, '--api = "ftp://a:1" is refused', 'https://HOST[:PORT]'],
      [await publish([node], '--volatile', '--idempotency-key', 'k', 'm'), 78, '--volatile'],
      [await publish([node], '--idempotency-key', 'a b', 'm'), 78, '--idempotency-key'],
      [await publish([node], '--namespace', '/nowhere', 'm'), 1, `${node.apiUrl} answers 404`, '(namespace)'],
      [await publish([node], '--session', '-gone', 'm'), 1, '404', '(session)'],
      [await publish([node], 'connect'), 1, '422', '(event)'],
      [other, 1, '409', '(Idempotency-Key)'],
      [await publish([nowhere], '--timeout', '1', '--idempotency-key', 'k', 'm'), 1, 'not published within 1 s', nowhere.apiUrl, '--idempotency-key k'],
    ]) {
      assert.deepEqual([code, stdout, stderr.trim().split('\n').length], [expected, '', 1], stderr);
      for (const part of parts) assert.ok(stderr.includes(part), `${part} in ${stderr}`);
    }
  });

  test('the command shows the token that a file or the environment give', async () => {
    const token = 'planted-publish-0123456789';
    const port = await freePort();
    const node = await startSingle({ options: ['--api-addr', `127.0.0.1:${port}`], env: { WEBSOCKET_API_PUBLISH_TOKEN: token } });
    const file = path.join(temporaryDirectory(), 'token');
    writeFileSync(file, `${token}\n`);
    const api = `127.0.0.1:${port}`;
    const refused = await run(['publish', '--api', api, 'm']);
    assert.deepEqual([refused.code, /answers 401/.test(refused.stderr)], [1, true], refused.stderr);
    for (const [args, env] of [
      [['--api', api, '--token-file', file], {}],
      [[], { WEBSOCKET_API_ADDR: api, WEBSOCKET_API_PUBLISH_TOKEN: token }],
      [[], { WEBSOCKET_API_ADDR: api, WEBSOCKET_API_TOKEN_FILE: file }],
    ]) {
      const { code, stdout, stderr } = await run(['publish', ...args, 'm'], { env });
      assert.deepEqual([code, /^\S+\n$/.test(stdout)], [0, true], stderr);
    }
    // Beyond one machine: a proxy with TLS in front, which keeps the API below a path of its own.
    const authority = new Authority();
    const { certificate, key } = authority.issue('proxy', { names: 'DNS:localhost' });
    const proxy = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
      const onward = http.request({ port, method: request.method, path: request.url.replace('/push/', '/'), headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      request.pipe(onward);
    });
    await once(proxy.listen(0), 'listening');
    const behind = ['publish', '--api', `https://localhost:${proxy.address().port}/push`, '--token-file', file, '--timeout', '5', 'm'];
    const { code, stdout, stderr } = await run(behind, { env: { SSL_CERT_FILE: authority.root } });
    assert.deepEqual([code, /^\S+\n$/.test(stdout)], [0, true], stderr);
    const stranger = await run(behind, { env: { SSL_CERT_FILE: new Authority().root } });
    assert.deepEqual([stranger.code, /TLS failed/.test(stranger.stderr)], [1, true], stranger.stderr);
    proxy.close();
    await node.kill();
  });
});

test('while a node of an older release may be a member there are no keys, and it is said', async () => {
  const port = await freePort();
  const node = await startSingle({ options: ['--api-addr', `127.0.0.1:${port}`, '--format-version', '3'] });
  node.apiUrl = `http://127.0.0.1:${port}`;
  const { status, json, headers } = await post(node, 'publish', { event: 'm' }, 'a-key');
  assert.deepEqual([status, json.type, headers['retry-after']], [503, `${PROBLEM}old-format`, '1']);
  assert.match(json.detail, /a node of an older release is still a member/);
  assert.equal((await post(node, 'publish', { event: 'm' })).status, 200);
  await node.kill();
});
