// The backend proxy: a backend in another language decides who connects and what events do; good answers, bad ones, none.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { serveBackend } from './support/backend.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { Cluster, run } from './support/cluster.mjs';
import { ask, growth, logLines, TELLING } from './support/doors.mjs';
import { until, within } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'planted-backend-0123456789abcdef';
const JSON_TYPE = { 'Content-Type': 'application/json' };

/** What the backend says of a client that connects, by its auth. */
const decide = ({ auth }) => {
  if (auth?.banned) return { refuse: { message: 'not you', data: { code: 'banned', until: 7 } } };
  return { user: auth?.name ?? null, rooms: auth?.rooms ?? [], data: { level: auth?.level ?? 0 } };
};

/** What events do. */
const handlers = {
  whoami: ({ user, data, sid, namespace, args }) => ({ ack: [user, data, sid, namespace, ...args] }),
  nothing: () => ({}),
  quiet: () => [204],
  enter: ({ args: [room] }) => ({ join: [room], ack: ['in'] }),
  exit: ({ args: [room] }) => ({ leave: [room], ack: ['out'] }),
  say: ({ args: [room, id], sid }) => ({
    emit: [{ room, event: 'm', args: [{ id }] }, { session: sid, event: 'm', args: [{ id: `${id} to you` }] }],
    ack: ['said'],
  }),
  bye: () => ({ ack: ['bye'], disconnect: true }),
  picture: ({ args, attachments }) => ({ ack: [args[0]._placeholder, Buffer.from(attachments[0], 'base64').toString()] }),
  'no json': () => [200, JSON_TYPE, 'garbage'],
  'no content type': () => [200, {}, '{}'],
  'no object': () => [200, JSON_TYPE, '[1]'],
  'unknown field': () => ({ acknowledge: [] }),
  'bad emit': () => ({ join: ['never'], emit: [{ room: 'all', event: 'm', args: [{ id: 'never' }] }, { event: 'connect' }] }),
  'bad ack': () => ({ ack: 'no list' }),
  oversize: () => [200, JSON_TYPE, `{"ack":["${'x'.repeat(1 << 20)}"]}`],
  'bad gateway': () => [502, {}, 'no upstream'],
  'server error': () => [500, {}, 'a traceback'],
};

describe('a backend that answers', () => {
  let backend;
  let cluster;
  let node;
  let held;
  before(async () => {
    backend = await serveBackend(SECRET, ({ path, json }, response) => {
      if (path.startsWith('/connect')) return decide(json);
      if (json.event === 'never') return undefined;
      if (json.event === 'reset') return void response.socket.destroy();
      if (json.event === 'held') return new Promise((resolve) => held.push({ args: json.args, answer: () => resolve({ ack: json.args }) }));
      return handlers[json.event](json);
    });
    cluster = await Cluster.plan(1, {
      options: [...TELLING, '--backend-event-timeout', '1500ms', '--backend-namespaces', '/,/chat'],
      env: {
        WEBSOCKET_BACKEND_CONNECT_URL: backend.url('/connect?key=c4n4ry'),
        WEBSOCKET_BACKEND_EVENT_URL: backend.url('/event'),
        WEBSOCKET_BACKEND_ALLOW_PRIVATE: 'true',
        WEBSOCKET_BACKEND_SECRET: SECRET,
      },
    });
    [node] = cluster.nodes;
    node.spawn();
    await cluster.ready();
  });
  after(async () => {
    await cluster.stop();
    await backend.close();
  });

  test('it says who a client is, which rooms it is in and what its session holds, or refuses it with data', async () => {
    const auth = { name: 'ada', rooms: ['all', 'staff'], level: 3, token: 't' };
    const ada = await connect('ada', node.url, { auth, extraHeaders: { cookie: 'session=abc' } });
    const { json, headers, signed } = backend.requests[0];
    assert.equal(signed, true);
    assert.equal(headers['vedfolnir-event-id'], json.id);
    const { version, type, namespace, address, resuming, query } = json;
    assert.deepEqual([version, type, namespace, address, resuming], [1, 'connect', '/', '127.0.0.1', false]);
    assert.deepEqual([json.auth, json.headers.cookie, query.includes('EIO=4')], [auth, 'session=abc', true]);
    assert.deepEqual(await ada.ask('whoami', 1, [2]), ['ada', { level: 3 }, ada.id, '/', 1, [2]]);
    // Its rooms were its own before it heard of its session.
    assert.deepEqual(await ada.ask('say', 'staff', 'first'), ['said']);
    assert.deepEqual((await ada.received(2)).map(({ message }) => message.id).sort(), ['first', 'first to you']);

    const banned = new Client('banned', node.url, { auth: { banned: true } });
    await until('the client is refused', () => banned.errors.length > 0);
    assert.deepEqual([banned.errors[0].message, banned.errors[0].data], ['not you', { code: 'banned', until: 7 }]);
    assert.equal(banned.socket.active, false, 'for good');
    ada.close();
  });

  test('a client that resumes is asked about again, without its secret, and keeps its rooms and data', async () => {
    const bob = await connect('bob', node.url, { auth: { name: 'bob', rooms: ['bobs'], level: 1 } });
    await bob.ask('say', 'bobs', 'before');
    await bob.received(2);
    const asked = backend.requests.length;
    bob.drop();
    const { recovered } = await bob.reconnected();
    assert.equal(recovered, true);
    const { json } = backend.requests.slice(asked).find(({ path }) => path.startsWith('/connect'));
    assert.deepEqual([json.resuming, Object.keys(json.auth).sort()], [true, ['level', 'name', 'rooms']]);
    assert.deepEqual((await bob.ask('whoami')).slice(0, 2), ['bob', { level: 1 }]);
    await bob.ask('say', 'bobs', 'after');
    await bob.received(4);
    bob.close();
  });

  test('its answers join, leave, emit, acknowledge and disconnect; namespaces are told apart, binary data is passed on', async () => {
    const [one, two] = await Promise.all(['one', 'two'].map((name) => connect(name, node.url, { auth: { name } })));
    assert.deepEqual(await one.ask('enter', 'hall'), ['in']);
    assert.deepEqual(await two.ask('enter', 'hall'), ['in']);
    assert.deepEqual(await one.ask('say', 'hall', 'x'), ['said']);
    await Promise.all([one.received(2), two.received(1)]);
    assert.deepEqual(await two.ask('exit', 'hall'), ['out']);
    await one.ask('say', 'hall', 'y');
    await one.received(4);
    assert.deepEqual(two.seen, ['x']);
    assert.deepEqual(await one.ask('nothing'), []);
    assert.deepEqual(await one.ask('quiet'), []);
    assert.deepEqual(await one.ask('picture', Buffer.from('pixels')), [true, 'pixels']);
    assert.deepEqual(await two.ask('bye'), ['bye']);
    assert.equal((await two.disconnected()).reason, 'io server disconnect');
    const chat = await connect('chat', `${node.url}/chat`, { auth: { name: 'eve' } });
    assert.equal((await chat.ask('whoami'))[3], '/chat');
    const nowhere = new Client('nowhere', `${node.url}/nowhere`);
    await until('there is no such namespace', () => nowhere.errors[0]?.message === 'Invalid namespace');
    for (const client of [one, two, chat, nowhere]) client.close();
  });

  test('two hundred events of a client come in their order, one at a time, also if it is gone by then', async () => {
    held = [];
    const client = await connect('orderly', node.url);
    const answers = Array.from({ length: 200 }, (_, index) => client.ask('held', index));
    for (let index = 0; index < 200; index += 1) {
      await until(`event ${index} is there`, () => held.length > index, { every: 1 });
      assert.deepEqual([held.length, held[index].args], [index + 1, [index]], 'no event overtakes, none is sent before its turn');
      held[index].answer();
    }
    assert.deepEqual(await Promise.all(answers), Array.from({ length: 200 }, (_, index) => [index]));
    held = [];
    for (let index = 0; index < 10; index += 1) client.socket.emit('held', `last ${index}`);
    await until('the first of the last is there', () => held.length === 1, { every: 5 });
    client.drop();
    for (let index = 0; index < 10; index += 1) {
      await until(`last event ${index} is there`, () => held.length > index, { every: 1 });
      held[index].answer();
    }
    assert.deepEqual(held.map(({ args }) => args[0]), Array.from({ length: 10 }, (_, index) => `last ${index}`));
    client.close();
  });

  test('garbage, nothing, too much: the ack says which, nothing of it is done, the log and metrics know', async () => {
    const client = await connect('unlucky', node.url, { auth: { rooms: ['all'] } });
    const bad = ['no json', 'no content type', 'no object', 'unknown field', 'bad emit', 'bad ack', 'oversize', 'server error'];
    const outcomes = ['bad_response', 'unavailable', 'timeout', 'ok'];
    const samples = outcomes.map((outcome) => ['vedfolnir_backend_requests_total', { hook: 'event', outcome }]);
    const counted = await growth(node, samples, async () => {
      for (const event of bad) {
        const [{ error }] = await client.ask(event);
        assert.equal(error.code, 'backend_bad_response', event);
        assert.doesNotMatch(error.message, /127\.0\.0\.1|http/);
      }
      for (const event of ['bad gateway', 'reset']) {
        assert.equal((await client.ask(event))[0].error.code, 'backend_unavailable', event);
      }
      // What comes behind one that is never answered is handled all the same.
      const [never, next] = await Promise.all([client.ask('never'), client.ask('whoami')]);
      assert.deepEqual([never[0].error.code, next[2]], ['backend_timeout', client.id]);
    });
    assert.deepEqual(counted, [bad.length, 2, 1, 1]);
    assert.deepEqual(client.seen, [], 'of an answer that is not valid nothing is done');
    const told = logLines(node).filter(({ event_type: type }) => type === 'backend_failed');
    assert.equal(told.length, 1, 'one line for all of them');
    assert.equal(told[0].error_code, 'backend_bad_response');
    assert.equal(backend.requests.filter(({ json }) => json.event === 'reset').length, 1, 'what may have been taken is not sent again');
    assert.doesNotMatch(node.output(), /c4n4ry|planted-backend/, 'secrets are not logged');
    client.close();
  });

  test('while it is down events fail at once and clients come back by themselves; it restarts, and all goes on', async () => {
    const client = await connect('patient', node.url, { auth: { name: 'pat' } });
    await backend.close();
    assert.equal((await client.ask('whoami'))[0].error.code, 'backend_unavailable');
    const newcomer = new Client('newcomer', node.url);
    await until('the newcomer tries again', () => newcomer.connects.length === 0 && logLines(node).some(({ hook }) => hook === 'connect'));
    assert.equal(newcomer.errors.length, 0, 'it is not refused');
    await backend.open();
    await newcomer.connected();
    assert.equal((await client.ask('whoami'))[0], 'pat');
    const ids = backend.requests.map(({ json }) => json.id);
    assert.equal(new Set(ids).size, ids.length, 'nothing was asked twice');
    for (const each of [client, newcomer]) each.close();
  });
});

describe('policies', () => {
  const start = async (env, options = []) => {
    const cluster = await Cluster.plan(1, { options: [...TELLING, ...options], env: { WEBSOCKET_BACKEND_SECRET: SECRET, ...env } });
    cluster.nodes[0].spawn();
    await cluster.ready();
    return cluster;
  };

  test('a client that the backend does not decide about is refused with a code, or let in as nobody, as configured', async (t) => {
    const answers = {
      nobody: () => ({ user: '' }),
      'no room': () => ({ rooms: ['a', ''] }),
      'too much': () => ({ data: 'x'.repeat(40_000) }),
      both: () => ({ refuse: { message: 'no' }, user: 'ada' }),
      never: () => undefined,
    };
    const backend = await serveBackend(SECRET, ({ json }) => answers[json.auth.as]());
    const env = { WEBSOCKET_BACKEND_CONNECT_URL: backend.url('/'), WEBSOCKET_BACKEND_ALLOW_PRIVATE: 'true' };
    const [strict, lax] = await Promise.all([
      start(env, ['--backend-connect-failure', 'refuse', '--backend-connect-timeout', '500ms']),
      start(env, ['--backend-connect-failure', 'allow']),
    ]);
    t.after(() => Promise.all([strict.stop(), lax.stop()]));
    const code = async (as) => {
      const client = new Client(as, strict.urls, { auth: { as } });
      await until(`${as}: the client is refused`, () => client.errors.length > 0);
      client.close();
      return client.errors[0].data.code;
    };
    for (const as of ['nobody', 'no room', 'too much', 'both']) assert.equal(await code(as), 'backend_bad_response', as);
    assert.equal(await code('never'), 'backend_timeout');
    await backend.close();
    assert.equal(await code('nobody'), 'backend_unavailable');
    // Nobody is asked about events: the relay has them.
    const client = await connect('let in', lax.urls);
    await client.join('room');
    client.close();
  });

  test('a name that resolves to a private address is not asked, and an address that is one is refused at the start', async (t) => {
    const backend = await serveBackend(SECRET, () => ({}));
    t.after(() => backend.close());
    // By name and over TLS nothing is known before the name is resolved.
    const cluster = await start({
      WEBSOCKET_BACKEND_EVENT_URL: `https://localhost:${backend.port}/`,
    });
    t.after(() => cluster.stop());
    const client = await connect('curious', cluster.urls);
    assert.equal((await client.ask('anything'))[0].error.code, 'backend_unavailable');
    const [line] = await until('the log says why', () => {
      const told = logLines(cluster.nodes[0]).filter(({ event_type: type }) => type === 'backend_failed');
      return told.length > 0 && told;
    });
    assert.match(JSON.stringify(line), /private address.*WEBSOCKET_BACKEND_ALLOW_PRIVATE=true/);
    assert.equal(backend.requests.length, 0);
    client.close();
    for (const [url, words] of [['http://127.0.0.1:1/', 'private address'], ['http://a.example/', 'read on the way']]) {
      const { code, stdout } = await run(['config', 'check'], { env: { WEBSOCKET_BACKEND_EVENT_URL: url, WEBSOCKET_BACKEND_SECRET: SECRET } });
      assert.notEqual(code, 0);
      assert.match(stdout, new RegExp(words));
    }
    const { code, stdout } = await run(['config', 'check'], {
      env: { WEBSOCKET_BACKEND_EVENT_URL: 'https://a.example/', WEBSOCKET_PRODUCTION_MODE: 'true' },
    });
    assert.notEqual(code, 0);
    assert.match(stdout, /not signed/);
  });

  test('requests that are under way are bounded, and who comes on top is told so', async (t) => {
    const held = [];
    const backend = await serveBackend(SECRET, () => new Promise((resolve) => held.push(resolve)));
    t.after(() => backend.close());
    const cluster = await start(
      { WEBSOCKET_BACKEND_EVENT_URL: backend.url('/'), WEBSOCKET_BACKEND_ALLOW_PRIVATE: 'true' },
      ['--backend-requests-max', '1'],
    );
    t.after(() => cluster.stop());
    const clients = await Promise.all(Array.from({ length: 10 }, (_, index) => connect(`client ${index}`, cluster.urls)));
    const answers = clients.map((client) => client.ask('ask'));
    const first = await within('one is told that there are too many', Promise.race(answers), 10_000);
    assert.equal(first[0].error.code, 'backend_overloaded');
    await until('one is under way', () => held.length > 0, { every: 2 });
    assert.equal(held.length, 1, 'one is under way, eight wait');
    for (let index = 0; index < 9; index += 1) {
      await until('the next one comes', () => held.length > index, { every: 2 });
      held[index]({ ack: [index] });
    }
    const codes = (await Promise.all(answers)).map(([answer]) => answer.error?.code ?? 'answered');
    assert.equal(codes.filter((code) => code === 'answered').length, 9);
    for (const client of clients) client.close();
  });

  test('a new secret is in force after a SIGHUP', async (t) => {
    const backend = await serveBackend('another-secret-0123456789abcdef', ({ signed }) => ({ ack: [signed] }));
    t.after(() => backend.close());
    const { writeFile } = await import('node:fs/promises');
    const cluster = await Cluster.plan(1, { options: TELLING });
    const [node] = cluster.nodes;
    const file = `${cluster.directory}/backend-secret`;
    await writeFile(file, SECRET);
    node.env = { WEBSOCKET_BACKEND_EVENT_URL: backend.url('/'), WEBSOCKET_BACKEND_ALLOW_PRIVATE: 'true', WEBSOCKET_BACKEND_SECRET_FILE: file };
    node.spawn();
    t.after(() => cluster.stop());
    await cluster.ready();
    const client = await connect('signed', node.url);
    assert.deepEqual(await client.ask('x'), [false]);
    await writeFile(file, 'another-secret-0123456789abcdef');
    process.kill(node.pid, 'SIGHUP');
    await until('the new secret signs', async () => (await client.ask('x'))[0] === true);
    client.close();
  });
});
