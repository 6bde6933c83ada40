// Programs of examples/ as clusters: what an application reaches over nodes, and what survives one of them.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { io } from 'socket.io-client';

import { atEnd } from './support/cleanup.mjs';
import { startExamples } from './support/examples.mjs';
import { next, until } from './support/wait.mjs';

const open = new Set();
atEnd(() => {
  for (const socket of open) socket.close();
});

/** A client, of several nodes one after the other at every reconnection; not connected yet. */
function client(urls, namespace, auth) {
  const all = [urls].flat();
  let at = 0;
  const socket = io(all[0] + namespace, { forceNew: true, transports: ['websocket'], reconnectionDelay: 20, reconnectionDelayMax: 100, auth });
  socket.io.on('reconnect_attempt', () => {
    at = (at + 1) % all.length;
    socket.io.uri = all[at];
  });
  open.add(socket);
  return socket;
}

async function connected(...args) {
  const socket = client(...args);
  await next(socket, 'connect');
  return socket;
}

const ask = (socket, ...args) => socket.timeout(20_000).emitWithAck(...args);

describe('presence, three nodes', () => {
  let nodes;
  let urls;
  before(async () => {
    nodes = await startExamples('presence', 3);
    urls = nodes.map(({ url }) => url);
  });

  test('a namespace is there for whoever knows its name, on every node, and apart from the others', async () => {
    const [ada, ben, eve] = await Promise.all([
      connected(urls[0], '/team-red', { user: 'ada' }),
      connected(urls[1], '/team-red', { user: 'ben' }),
      connected(urls[2], '/team-blue', { user: 'eve' }),
    ]);
    assert.deepEqual(await ask(ada, 'who'), { team: 'red', users: { ada: 1, ben: 1 } });
    assert.deepEqual(await ask(eve, 'who'), { team: 'blue', users: { eve: 1 } });
    const heard = [];
    eve.onAny((event) => heard.push(event));
    const said = Promise.all([ada, ben].map((socket) => next(socket, 'said')));
    assert.equal(typeof (await ask(ben, 'say', 'hello')).offset, 'string');
    for (const [user, text] of await said) assert.deepEqual([user, text], ['ben', 'hello']);
    // Behind it in the one order.
    const own = next(eve, 'said');
    await ask(eve, 'say', 'alone');
    assert.equal((await own)[1], 'alone');
    assert.deepEqual(heard, ['said']);
    for (const socket of [ada, ben, eve]) socket.close();
  });

  test('other names are refused as any that nobody has, and a refusal of its own brings data', async () => {
    for (const name of ['/team-', '/team-a/b', '/other', '/']) {
      const [error] = await next(client(urls[0], name, { user: 'ada' }), 'connect_error');
      assert.equal(error.message, 'Invalid namespace', name);
    }
    const [error] = await next(client(urls[0], '/team-red', {}), 'connect_error');
    assert.deepEqual([error.message, error.data], ['who are you?', { code: 'no_user' }]);
  });

  test('metrics count all names of the pattern together', async () => {
    const sockets = await Promise.all(['a', 'b', 'c'].map((team) => connected(urls[0], `/team-${team}`, { user: team })));
    const page = await (await fetch(`${urls[0]}/websocket/metrics`)).text();
    const of = page.split('\n').filter((line) => line.startsWith('websocket_namespace_connections{'));
    assert.equal(of.length, 1, of.join('\n'));
    assert.match(of[0], /namespace="\/team-\{team\}"\} ([3-9])$/);
    for (const socket of sockets) socket.close();
  });

  test('an event with acks is answered by clients of all nodes, with who was silent', async () => {
    const sockets = await Promise.all(urls.map((url, index) => connected(url, '/team-roll', { user: `u${index}` })));
    const mute = await connected(urls[1], '/team-roll', { user: 'mute' });
    const asked = next(mute, 'present?');
    for (const [index, socket] of sockets.entries()) socket.on('present?', (answer) => answer(`u${index}`));
    assert.deepEqual(await ask(sockets[0], 'roll_call'), { present: ['u1', 'u2'], silent: 1, silent_nodes: [] });
    assert.equal((await asked).length, 1, 'nothing stands before the callback');
    mute.close();
    await until('it has left', async () => !('mute' in (await ask(sockets[0], 'who')).users));
    assert.deepEqual(await ask(sockets[0], 'roll_call'), { present: ['u1', 'u2'], silent: 0, silent_nodes: [] });
    for (const socket of sockets) socket.close();
  });

  test('a session of a dynamic namespace is resumed on another node when its own is killed, and its end is told once', async () => {
    const [watcher, other] = await Promise.all([
      connected(urls[0], '/team-last', { user: 'ada' }),
      connected([urls[2], urls[0]], '/team-last', { user: 'ben' }),
    ]);
    const gone = [];
    watcher.on('gone', (sid) => gone.push(sid));
    const sid = other.id;
    const lost = next(other, 'disconnect');
    const heard = [];
    other.on('said', (...said) => heard.push(said.slice(0, 2)));
    other.on('present?', (answer) => answer('ben'));
    await ask(other, 'say', 'before');
    await nodes[2].kill('SIGKILL');
    await lost;
    const back = next(other, 'connect');
    await ask(watcher, 'say', 'meanwhile');
    await back;
    assert.deepEqual([other.recovered, other.id], [true, sid]);
    await until('what was missed is there', () => heard.length === 2);
    assert.deepEqual(heard, [['ben', 'before'], ['ada', 'meanwhile']]);
    const { present, silent_nodes } = await ask(watcher, 'roll_call');
    assert.deepEqual(present, ['ben'], 'it is asked where it is now');
    assert.ok(silent_nodes.length <= 1, 'the killed node is named until the cluster has declared it down');
    other.disconnect();
    await until('the team hears that it is gone', () => gone.length > 0);
    await ask(watcher, 'say', 'after');
    assert.deepEqual(gone, [sid]);
  });
});

describe('progress, three nodes', () => {
  test('a device whose node dies gets the steps that it missed, each once and in order', async () => {
    const nodes = await startExamples('progress', 3);
    const urls = nodes.map(({ url }) => url);
    const [starter, device, stranger] = await Promise.all([
      connected(urls[0], '/', { user: 'ada' }),
      connected([urls[1], urls[2]], '/', { user: 'ada' }),
      connected(urls[2], '/', { user: 'eve' }),
    ]);
    const steps = [];
    device.on('progress', (job, step) => steps.push(step));
    stranger.on('progress', () => assert.fail('this is not her job'));
    const done = next(device, 'done');
    assert.deepEqual(await ask(starter, 'start', 'export', 60, 30), {});
    await until('it is under way', () => steps.length >= 5);
    await nodes[1].kill('SIGKILL');
    await done;
    assert.ok(device.recovered);
    assert.deepEqual(steps, Array.from({ length: 60 }, (_, index) => index + 1));
    assert.equal((await ask(starter, 'start', 'export', 60_000, 0)).error.code, 'bad_request');
  });
});

describe('admin, two nodes', () => {
  const token = 'correct horse';
  let urls;
  let nodes;
  before(async () => {
    nodes = await startExamples('admin', 2, { env: { ADMIN_TOKEN: token } });
    urls = nodes.map(({ url }) => url);
  });

  test('who has no good token is told why', async () => {
    for (const [auth, code] of [[{}, 'no_token'], [{ token: 'wrong horse!' }, 'bad_token'], [{ token: 7 }, 'bad_token']]) {
      const [error] = await next(client(urls[0], '/admin', auth), 'connect_error');
      assert.equal(error.data.code, code);
    }
  });

  test('an announcement reaches everybody, and each node says what it has heard of', async () => {
    const [admin, guest] = await Promise.all([connected(urls[0], '/admin', { token }), connected(urls[1], '/')]);
    const announced = next(guest, 'announcement');
    assert.equal(typeof (await ask(admin, 'announce', 'closing at eight')).offset, 'string');
    assert.equal((await announced)[0], 'closing at eight');
    let answer;
    await until('both nodes have heard', async () => {
      answer = await ask(admin, 'nodes');
      return Object.values(answer.nodes).every(({ announcements }) => announcements === 1);
    });
    assert.equal(Object.keys(answer.nodes).length, 2);
    assert.deepEqual(answer.silent, []);
  });

  test('a node that does not answer is named, and no quorum is needed to ask', async () => {
    const admin = await connected(urls[0], '/admin', { token });
    const both = Object.keys((await ask(admin, 'nodes')).nodes);
    await nodes[1].freeze();
    const alone = await ask(admin, 'nodes');
    nodes[1].signal('SIGCONT');
    assert.equal(Object.keys(alone.nodes).length, 1);
    assert.deepEqual(alone.silent, both.filter((node) => !(node in alone.nodes)));
    await until('both answer again', async () => Object.keys((await ask(admin, 'nodes')).nodes).length === 2);
  });

  test('SIGTERM ends an embedded server in order: its clients are let go and the process is gone with code 0', async () => {
    const guest = await connected(urls[1], '/');
    const letGo = next(guest, 'disconnect');
    assert.deepEqual(await nodes[1].kill('SIGTERM'), { code: 0, signal: null });
    await letGo;
  });
});
