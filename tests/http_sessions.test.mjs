// Sessions over HTTP, on three nodes with official clients on each: put into rooms, taken out, disconnected, listed and
// counted by a node that does not own them, also while they are away; users as targets; the history of rooms.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { after, before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, freePort } from './support/cluster.mjs';
import { ask, growth, logLines, TELLING } from './support/doors.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'planted-secret-0123456789-abcdefghij';
const TOKENS = { admin: 'planted-api-admin-0123456789', publish: 'planted-api-publish-0123456789', read: 'planted-api-read-0123456789' };
/** The format from which on sessions can be managed, and users reached. */
const MANAGED = 4;
const issuer = Key.secret(SECRET);
const pids = new Set();
const answers = [];

let cluster;
let number = 0;
/** A name that no other test uses. */
const unique = (what) => `${what} ${(number += 1)}`;
const enter = async (user, urls, options = {}) => {
  const client = await connect(`${user} at ${urls}`, urls, { auth: { token: issuer.token({ sub: user }) }, ...options });
  pids.add(client.socket._pid);
  return client;
};
const call = async (node, path, { method = 'GET', body, role = 'admin' } = {}) => {
  const headers = { Authorization: `Bearer ${TOKENS[role]}`, ...(body && { 'Content-Type': 'application/json' }) };
  const answer = await ask(node.apiUrl, `/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  answers.push(answer.text);
  return answer;
};
const post = (node, path, body, role) => call(node, path, { method: 'POST', body, role });
/** A change that must be made: how many it concerned. */
const change = async (node, what, body) => {
  const { status, json, text } = await post(node, `sessions/${what}`, body);
  assert.equal(status, 200, text);
  assert.deepEqual(Object.keys(json), ['sessions'], text);
  return json.sessions;
};
const say = async (node, target, id) => {
  const { status, json, text } = await post(node, 'publish', { ...target, event: 'm', args: [{ id }] });
  assert.equal(status, 200, text);
  return json.offset;
};
const linearizable = (path) => `${path}${path.includes('?') ? '&' : '?'}consistency=linearizable`;
const got = (client) => client.messages.map(({ message }) => message.id);
const arrived = (client, id) => until(`${client.name} has ${id}`, () => got(client).includes(id), { every: 5 });

/** Three nodes, not started. */
async function planned() {
  const nodes = await Cluster.plan(3, {
    options: TELLING,
    env: {
      WEBSOCKET_AUTH_JWT_SECRET: SECRET,
      WEBSOCKET_API_TOKEN: TOKENS.admin,
      WEBSOCKET_API_PUBLISH_TOKEN: TOKENS.publish,
      WEBSOCKET_API_READ_TOKEN: TOKENS.read,
    },
  });
  for (const node of nodes.nodes) {
    const port = await freePort();
    node.apiUrl = `http://127.0.0.1:${port}`;
    node.args.push('--api-addr', `127.0.0.1:${port}`);
  }
  return nodes;
}

before(async () => {
  cluster = await planned();
  for (const node of cluster.nodes) node.spawn();
  await cluster.ready();
  // Until the cluster writes the newest format, which it does by itself once all nodes are there.
  await until('sessions can be managed', async () =>
    (await post(cluster.nodes[0], 'sessions/leave', { room: 'nobody', leave: ['nowhere'] })).status === 200);
});
after(() => cluster.stop());

describe('rooms', () => {
  test('clients that a foreign node puts into a room get what any node publishes right after, and nobody else does', async () => {
    const [first, second, third] = cluster.nodes;
    const watchers = await Promise.all(cluster.urls.map((url, index) => enter(`w${index}`, url)));
    const [lobby, room] = [unique('lobby'), unique('room')];
    await Promise.all(watchers.slice(0, 2).map((client) => client.join(lobby)));
    for (let round = 0; round < 10; round += 1) {
      const [asked, says] = [cluster.nodes[(round + 2) % 3], cluster.nodes[(round + 1) % 3]];
      const name = `${room} ${round}`;
      assert.equal(await change(asked, 'join', { room: lobby, enter: [name, `${name} too`] }), 2);
      await say(says, { room: name }, `in ${round}`);
      assert.equal(await change(asked, 'leave', { rooms: [name], except: [watchers[1].id], leave: [name] }), 1);
      await say(says, { room: name }, `out ${round}`);
      await say(says, { rooms: watchers.map(({ id }) => id) }, `end ${round}`);
    }
    await Promise.all(watchers.map((client) => arrived(client, 'end 9')));
    const rounds = Array.from({ length: 10 }, (_, round) => round);
    assert.deepEqual(got(watchers[0]), rounds.flatMap((round) => [`in ${round}`, `end ${round}`]));
    assert.deepEqual(got(watchers[1]), rounds.flatMap((round) => [`in ${round}`, `out ${round}`, `end ${round}`]));
    assert.deepEqual(got(watchers[2]), rounds.map((round) => `end ${round}`));
    // One session alone, and not who listens in on its id.
    await watchers[0].join(watchers[2].id);
    assert.equal(await change(first, 'join', { session: watchers[2].id, enter: [room] }), 1);
    const { json } = await call(second, linearizable(`sessions?room=${encodeURIComponent(room)}`));
    assert.deepEqual(json.sessions.map(({ sid }) => sid), [watchers[2].id]);
    const relayed = await watchers[2].call('rooms');
    assert.ok(relayed.includes(room) && relayed.every((name) => !name.includes('user:')), JSON.stringify(relayed));
    const { json: one } = await call(third, `sessions/${watchers[1].id}`);
    assert.deepEqual([one.sid, one.user, one.connected, one.namespace], [watchers[1].id, 'w1', true, '/']);
    assert.ok(one.node && one.rooms.includes(lobby), JSON.stringify(one));
  });

  test('a client that is away is put into a room and gets what was said there once it is back, and only that', async () => {
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await enter('away', proxy.url);
    const room = unique('room');
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected();
    const { json } = await until('the cluster knows', async () => {
      const listed = await call(cluster.nodes[1], linearizable('sessions?user=away&connected=false'));
      return listed.json.sessions.length === 1 && listed;
    });
    assert.equal(json.sessions[0].sid, client.id ?? client.connects[0].id);
    await say(cluster.nodes[0], { room }, 'before');
    assert.equal(await change(cluster.nodes[1], 'join', { user: 'away', enter: [room] }), 1);
    await say(cluster.nodes[2], { room }, 'while away');
    await say(cluster.nodes[2], { user: 'away' }, 'for the user');
    proxy.refusing = false;
    const back = await client.reconnected();
    assert.equal(back.recovered, true);
    await say(cluster.nodes[0], { room }, 'after');
    await arrived(client, 'after');
    assert.deepEqual(got(client), ['while away', 'for the user', 'after']);
    assert.ok((await client.call('rooms')).includes(room));

    // Disconnected while it is away, it has nothing to come back to.
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected(2);
    assert.equal(await change(cluster.nodes[2], 'disconnect', { session: back.id }), 1);
    proxy.refusing = false;
    const anew = await client.connected(3);
    assert.equal(anew.recovered, false);
    assert.notEqual(anew.id, back.id);
    client.close();
    await proxy.close();
  });
});

describe('ends', () => {
  test('clients that are disconnected get what was said before, see the server as the reason, and stay away', async () => {
    const room = unique('room');
    const clients = await Promise.all(cluster.urls.map((url, index) => enter(`leaver ${index}`, url)));
    clients.push(await enter('leaver 3', cluster.urls[0], { transports: ['polling'] }));
    const stays = await enter('stays', cluster.urls[1]);
    await Promise.all([...clients, stays].map((client) => client.join(room)));
    await stays.join(`${room}: but these`);
    await say(cluster.nodes[1], { room }, 'the last word');
    assert.equal(await change(cluster.nodes[2], 'disconnect', { room, except: [`${room}: but these`] }), 4);
    for (const client of clients) {
      assert.equal((await client.disconnected()).reason, 'io server disconnect', client.name);
      assert.deepEqual(got(client), ['the last word'], client.name);
      assert.equal(client.socket.active, false, 'it does not try by itself');
    }
    await say(cluster.nodes[0], { room }, 'who is left');
    await arrived(stays, 'who is left');
    assert.ok(clients.every((client) => client.connects.length === 1 && got(client).length === 1));
    // Who wants to come back begins anew.
    clients[0].socket.connect();
    assert.equal((await clients[0].reconnected()).recovered, false);

    const { status, json } = await call(cluster.nodes[0], `sessions/${stays.id}`, { method: 'DELETE' });
    assert.deepEqual([status, json], [200, { sessions: 1 }]);
    assert.equal((await stays.disconnected()).reason, 'io server disconnect');
    for (const method of ['DELETE', 'GET']) {
      const gone = await call(cluster.nodes[1], `sessions/${stays.connects[0].id}`, { method });
      assert.deepEqual([gone.status, gone.json.type, gone.json.field], [404, 'urn:vedfolnir:problem:unknown-session', 'session']);
    }
  });

  test('clients that are disconnected the moment they are there, amid what is said to them, are told so, too', async () => {
    const room = unique('busy');
    const clients = [];
    for (let round = 0; round < 3; round += 1) {
      const batch = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
        const transports = index % 4 === 0 ? ['polling'] : ['websocket'];
        const client = await enter(`${room} ${round} ${index}`, cluster.urls[index % 3], { transports });
        const asked = cluster.nodes[(index + 1) % 3];
        const publishes = Array.from({ length: 50 }, (_, id) => ({ session: client.id, event: 'm', args: [{ id }] }));
        const [ended] = await Promise.all([
          change(asked, 'disconnect', { user: `${room} ${round} ${index}` }),
          post(cluster.nodes[index % 3], 'batch', { publishes }),
        ]);
        assert.equal(ended, 1);
        return client;
      }));
      clients.push(...batch);
    }
    for (const client of clients) {
      assert.equal((await client.disconnected()).reason, 'io server disconnect', client.name);
      assert.deepEqual([client.connects.length, client.socket.active], [1, false], client.name);
      assert.deepEqual(got(client), got(client).map((_, index) => index), 'a beginning of what was said, without a gap');
    }
  });
});

describe('users', () => {
  test('what is for a user reaches all of its clients on all nodes, and one whose node is killed once it is back', async () => {
    const user = 'ada: lovelace/ü';
    const victim = (await cluster.followers())[0];
    const others = cluster.nodes.filter((node) => node !== victim);
    const moves = await enter(user, [victim.url, ...others.map(({ url }) => url)]);
    const clients = [moves, await enter(user, others[0].url), await enter(user, others[1].url)];
    const bob = await enter('bob', others[0].url);
    await say(others[0], { user }, 'all nodes');
    await Promise.all(clients.map((client) => arrived(client, 'all nodes')));
    const killed = victim.kill();
    for (let id = 0; id < 20; id += 1) await say(others[id % 2], { user }, id);
    await killed;
    assert.equal((await moves.reconnected()).recovered, true);
    await say(others[1], { user }, 'end');
    await say(others[1], { user: 'bob' }, 'end');
    await Promise.all([...clients, bob].map((client) => arrived(client, 'end')));
    const all = ['all nodes', ...Array.from({ length: 20 }, (_, id) => id), 'end'];
    for (const client of clients) assert.deepEqual(got(client), all, client.name);
    assert.deepEqual(got(bob), ['end']);
    await victim.restart();

    // All nodes say the same of who is there.
    const view = async (node) => {
      const question = async (path) => (await call(node, linearizable(path))).json;
      return {
        all: await question('presence'),
        user: await question(`presence?user=${encodeURIComponent(user)}`),
        users: await question('presence/users?limit=1000'),
        sids: (await question('sessions?limit=1000')).sessions.map(({ sid, rooms, connected }) => [sid, rooms, connected]),
      };
    };
    // Clients of the tests before may still be on their way out: what the first node says before and after the others are asked
    // tells whether anything has changed meanwhile. If not, they must agree.
    let views;
    await until('nothing changes while all are asked', async () => {
      const [first, ...rest] = cluster.nodes;
      const before = await view(first);
      views = [before, ...await Promise.all(rest.map(view))];
      return isDeepStrictEqual(await view(first), before);
    });
    assert.deepEqual(views[1], views[0]);
    assert.deepEqual(views[2], views[0]);
    assert.deepEqual(views[0].user, { sessions: 3, users: 1 });
    assert.deepEqual(views[0].users.users.find((listed) => listed.user === user), { user, sessions: 3 });
    assert.equal(views[0].sids.length, views[0].all.sessions);
    // A page at a time it is the same.
    const paged = [];
    for (let after = ''; after !== null; ) {
      const { json } = await call(cluster.nodes[paged.length % 3], linearizable(`sessions?limit=2${after && `&after=${after}`}`));
      assert.ok(json.sessions.length <= 2);
      paged.push(...json.sessions.map(({ sid }) => sid));
      after = json.next;
    }
    assert.deepEqual(paged, views[0].sids.map(([sid]) => sid));
    assert.equal(await change(cluster.nodes[0], 'disconnect', { user }), 3);
    for (const client of clients) {
      await until(`${client.name} is out`, () => client.disconnects.at(-1)?.reason === 'io server disconnect');
    }
  });
});

describe('history', () => {
  test('what was said to a room is there on every node, in pages, by offset', async () => {
    const room = unique('room');
    const listener = await enter('listener', cluster.urls[0]);
    await listener.join(room);
    const offsets = [];
    for (let id = 0; id < 7; id += 1) offsets.push(await say(cluster.nodes[id % 3], { rooms: [room, 'elsewhere'] }, id));
    await say(cluster.nodes[0], { room: 'elsewhere' }, 'not this');
    await arrived(listener, 6);
    const read = (node, query) => call(node, `history?room=${encodeURIComponent(room)}${query}`, { role: 'read' });
    for (const node of cluster.nodes) {
      const events = [];
      for (let after = ''; after !== null; ) {
        const { json, status, text } = await read(node, `&limit=3&consistency=linearizable${after && `&after=${after}`}`);
        assert.equal(status, 200, text);
        events.push(...json.events);
        after = json.next;
      }
      assert.deepEqual(events.map(({ offset }) => offset), offsets);
      assert.deepEqual(events[4], { offset: offsets[4], event: 'm', args: [{ id: 4 }], rooms: [room, 'elsewhere'], except: [] });
    }
    assert.deepEqual(listener.messages.map(({ offset }) => offset), offsets, 'as clients have them');
    // What was answered elsewhere a moment ago is no offset that a node does not know.
    const last = await say(cluster.nodes[1], { room }, 'last');
    const { json: none } = await read(cluster.nodes[2], `&after=${last}`);
    assert.deepEqual([none.events, none.next], [[], null]);
    const { json: rest } = await read(cluster.nodes[0], `&after=${offsets[5]}`);
    assert.deepEqual(rest.events.map(({ args }) => args[0].id), [6, 'last']);
    const { json: nothing } = await read(cluster.nodes[0], `&after=${rest.reached}`);
    assert.deepEqual(nothing.events, []);
    const said = await say(cluster.nodes[1], { user: 'listener' }, 'for a user');
    const { json: users } = await call(cluster.nodes[1], 'history?user=listener');
    assert.deepEqual(users.events, [{ offset: said, event: 'm', args: [{ id: 'for a user' }], rooms: [], users: ['listener'], except: [] }]);
    const foreign = await read(cluster.nodes[0], '&after=AAAA');
    assert.deepEqual([foreign.status, foreign.json.field], [422, 'after']);
  });
});

describe('what is refused, told and counted', () => {
  test('each role does what it may, each mistake names its field, and nothing of it is done', async () => {
    const [node] = cluster.nodes;
    const { json: before } = await call(node, linearizable('presence'));
    for (const [role, path, options, expected] of [
      ['publish', 'sessions', {}, 403],
      ['publish', 'presence', {}, 403],
      ['publish', 'history', {}, 403],
      ['publish', 'sessions/disconnect', { method: 'POST', body: {} }, 403],
      ['read', 'sessions/disconnect', { method: 'POST', body: {} }, 403],
      ['read', 'sessions/someone', { method: 'DELETE' }, 403],
      ['read', 'sessions', {}, 200],
      ['read', 'presence/users', {}, 200],
    ]) {
      const { status, text } = await call(node, path, { role, ...options });
      assert.equal(status, expected, `${role} ${path}: ${text}`);
    }
    const many = Array.from({ length: 65 }, (_, index) => `${index}`);
    const wrong = async (path, options, expected) => {
      const { status, json, text } = await call(node, path, options);
      assert.deepEqual([status, json?.type?.slice('urn:vedfolnir:problem:'.length), json?.field], expected, `${path} ${text}`);
    };
    for (const [what, body, ...expected] of [
      ['join', { room: 'a' }, 422, 'invalid', 'enter'],
      ['join', { room: 'a', enter: [] }, 422, 'invalid', 'enter'],
      ['join', { room: 'a', enter: 'b' }, 422, 'invalid', 'enter'],
      ['join', { room: 'a', enter: ['b', ''] }, 422, 'invalid', 'enter[1]'],
      ['join', { room: 'a', enter: ['\0user:ada'] }, 422, 'invalid', 'enter[0]'],
      ['join', { room: 'a', enter: many }, 422, 'invalid', 'enter'],
      ['join', { room: 'a', leave: ['b'] }, 422, 'invalid', 'enter'],
      ['leave', { rooms: many, leave: ['b'] }, 422, 'invalid', 'rooms'],
      ['leave', { except: many, leave: ['b'] }, 422, 'invalid', 'except'],
      ['disconnect', { room: '' }, 422, 'invalid', 'room'],
      ['disconnect', { rooms: [] }, 422, 'invalid', 'rooms'],
      ['disconnect', { room: '\0user:ada' }, 422, 'invalid', 'room'],
      ['disconnect', { room: 'a', user: 'ada' }, 422, 'invalid', 'user'],
      ['disconnect', { session: 'nobody', except: ['a'] }, 422, 'invalid', 'except'],
      ['disconnect', { session: 'nobody' }, 404, 'unknown-session', 'session'],
      ['disconnect', { session: 'nobody', enter: ['a'] }, 422, 'invalid', 'enter'],
      ['disconnect', { namespace: '/nowhere' }, 404, 'unknown-namespace', 'namespace'],
    ]) {
      await wrong(`sessions/${what}`, { method: 'POST', body }, expected);
    }
    for (const [path, ...expected] of [
      ['sessions?limit=0', 422, 'invalid', 'limit'],
      ['sessions?limit=1001', 422, 'invalid', 'limit'],
      ['sessions?connected=maybe', 422, 'invalid', 'connected'],
      ['sessions?after=nonsense', 422, 'invalid', 'after'],
      ['sessions?rooms=a', 422, 'invalid', 'rooms'],
      ['sessions?room=a&room=b', 422, 'invalid', 'room'],
      ['sessions?room=%00user:ada', 422, 'invalid', 'room'],
      ['sessions?namespace=/nowhere', 404, 'unknown-namespace', 'namespace'],
      ['sessions?consistency=eventual', 422, 'invalid', 'consistency'],
      ['sessions/%ff', 422, 'invalid', 'session'],
      ['sessions/nobody?namespace=/nowhere', 404, 'unknown-namespace', 'namespace'],
      ['presence?room=', 422, 'invalid', 'room'],
      ['presence/users?after=', 422, 'invalid', 'after'],
      ['history?room=a&user=b', 422, 'invalid', 'user'],
      ['history?after=', 422, 'invalid', 'after'],
      ['sessions/join', 405, 'method-not-allowed', undefined],
    ]) {
      await wrong(path, {}, expected);
    }
    const { json: afterwards } = await call(node, linearizable('presence'));
    assert.deepEqual(afterwards, before);
  });

  test('requests are counted by route, changes are in the log with who asked, and no secret of a client is anywhere', async () => {
    const [node] = cluster.nodes;
    const of = (route, status) => ['vedfolnir_api_requests_total', { route, class: status }];
    const grown = await growth(node, [of('sessions', '2xx'), of('sessions_change', '4xx'), of('presence', '2xx'), of('history', '2xx')], async () => {
      await call(node, 'sessions?limit=1');
      await post(node, 'sessions/disconnect', { session: 'nobody' });
      await call(node, 'presence');
      await call(node, 'history');
    });
    assert.deepEqual(grown, [1, 1, 1, 1]);
    const told = await until('it is told', () =>
      logLines(node).find(({ event_type: type, path, status }) => type === 'api_action' && path === '/api/v1/sessions/disconnect' && status === 404));
    assert.deepEqual([told.role, told.client_ip, told.method], ['admin', '127.0.0.1', 'POST']);
    pids.delete(undefined);
    assert.ok(pids.size > 5);
    for (const pid of pids) assert.ok(!answers.some((text) => text.includes(pid)), 'a secret in an answer');
  });
});

describe('an upgrade', () => {
  test('while a node of an older release is a member it is refused by name, and then reaches clients that were there before', async () => {
    const mixed = await planned();
    atEnd(() => mixed.stop());
    const [newer, , older] = mixed.nodes;
    older.args.push('--format-version', String(MANAGED - 1));
    for (const node of mixed.nodes) node.spawn();
    await mixed.ready();
    const client = await enter('from before', newer.url);
    const target = { user: 'from before' };
    for (const [path, body] of [
      ['publish', { ...target, event: 'm' }],
      ['publish', { ...target, event: 'm', volatile: true }],
      ['sessions/disconnect', { room: client.id }],
      ['sessions/join', { session: client.id, enter: ['r'] }],
    ]) {
      const { status, json } = await post(newer, path, body);
      assert.deepEqual([status, json.type], [503, 'urn:vedfolnir:problem:old-format'], path);
    }
    assert.equal((await newer.status()).format, MANAGED - 1);
    await older.kill('SIGTERM');
    older.args.splice(older.args.indexOf('--format-version'), 2);
    await older.restart();
    // Each is committed; those from the client's entry into its user's room on come, without gaps.
    let id = 0;
    await until('the client is reached', async () => {
      const { status } = await post(older, 'publish', { ...target, event: 'm', args: [{ id }] });
      if (status === 200) id += 1;
      return client.messages.length > 0;
    });
    await say(older, target, 'last');
    await arrived(client, 'last');
    const [first] = got(client);
    assert.deepEqual(got(client), [...Array.from({ length: id - first }, (_, index) => first + index), 'last']);
    assert.equal(client.connects.length, 1, 'it never had to come back for it');
    assert.equal((await post(older, 'sessions/disconnect', target)).json.sessions, 1);
    assert.equal((await client.disconnected()).reason, 'io server disconnect');
  });
});
