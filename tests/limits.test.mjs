// How much and how often: connections, messages and bytes of one address, one client, one user, one node.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';

import { Cluster, run, startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import {
  ask,
  askUpgrade,
  farewell,
  growth,
  metric,
  openSocket,
  OPENING,
  refusal,
  securityLines,
  TELLING,
} from './support/doors.mjs';
import { Polling } from './support/raw.mjs';
import { Key } from './support/tokens.mjs';
import { pace, until } from './support/wait.mjs';

async function start(env, options = []) {
  const node = await startSingle({ options: [...TELLING, ...options], env });
  atEnd(() => node.kill());
  return node;
}
before(() => atEnd(closeClients));

const assertRetryAfter = ({ headers }) => assert.match(headers['retry-after'] ?? '', /^[1-9]\d*$/);
/** Sends packets so that they arrive together. */
function sendAtOnce(socket, packets) {
  socket.ws._socket.cork();
  socket.send(...packets);
  socket.ws._socket.uncork();
}
/** Nothing about a client's address is limited for those who only look. */
const looks = async (node, from) => (await ask(node.url, '/websocket/health', { from })).status;

describe('rates, with small numbers', () => {
  let node;
  before(async () => {
    node = await start({
      WEBSOCKET_RATE_LIMITING: 'true',
      // One a minute: what the tests need of it is in the burst.
      WEBSOCKET_RATE_LIMIT_CONNECTS: '1/m',
      WEBSOCKET_RATE_LIMIT_CONNECTS_BURST: '10',
      WEBSOCKET_RATE_LIMIT_MESSAGES: '20/s',
      WEBSOCKET_RATE_LIMIT_MESSAGES_BURST: '20',
      WEBSOCKET_RATE_LIMIT_BYTES: '1000',
      WEBSOCKET_RATE_LIMIT_BYTES_BURST: '20000',
      WEBSOCKET_MAX_PAYLOAD: '20000',
    });
  });

  test('after ten connects of one address the eleventh gets 429 with Retry-After on both transports; others come in', async () => {
    const from = '127.0.0.11';
    for (let index = 0; index < 10; index += 1) {
      const asking = index % 2 ? ask(node.url, OPENING, { from }) : askUpgrade(node.url, { from });
      assert.ok([200, 101].includes((await asking).status));
    }
    const [rate, events, blocked] = await growth(
      node,
      [
        ['websocket_security_rate_limited_total', { scope: 'connects_per_ip' }],
        ['websocket_security_events_total', { type: 'rate_limited' }],
        ['websocket_security_blocked_connections_total', { reason: 'rate_limited' }],
      ],
      async () => {
        for (const answer of [await ask(node.url, OPENING, { from }), await askUpgrade(node.url, { from })]) {
          assert.equal(answer.status, 429);
          assertRetryAfter(answer);
          assert.equal(answer.json?.error, 'rate_limited');
        }
      },
    );
    assert.deepEqual([rate, events, blocked], [2, 2, 2]);
    assert.equal((await ask(node.url, OPENING, { from: '127.0.0.12' })).status, 200);
    assert.equal(await looks(node, from), 200);
    const line = securityLines(node).findLast(({ event_type: type }) => type === 'rate_limited');
    assert.deepEqual([line?.client_ip, line?.scope], [from, 'connects_per_ip']);
  });

  test('a session that is there goes on: its requests and its upgrade are no new connects', async () => {
    const from = '127.0.0.13';
    const { text } = await ask(node.url, OPENING, { from });
    const path = `${OPENING}&sid=${JSON.parse(text.slice(1)).sid}`;
    for (let index = 0; index < 9; index += 1) assert.equal((await ask(node.url, OPENING, { from })).status, 200);
    assert.equal((await ask(node.url, OPENING, { from })).status, 429);
    assert.equal((await ask(node.url, path, { from, method: 'POST', body: '40' })).status, 200);
    assert.match((await ask(node.url, path, { from })).text, /^40/);
    assert.equal((await askUpgrade(node.url, { from, query: path.slice(path.indexOf('&sid=')) })).status, 101);
  });

  const echoes = Array.from({ length: 200 }, (_, id) => `42${id}["echo",${id}]`);
  const large = Array.from({ length: 4 }, () => `42["echo","${'x'.repeat(8_000)}"]`);
  const floods = [
    ['messages', 'messages_per_session', '127.0.0.14', echoes],
    ['bytes', 'bytes_per_session', '127.0.0.15', large],
  ];
  for (const [what, , from, packets] of floods) {
    test(`a WebSocket that sends more ${what} than it may is closed with 1008 "rate limited"`, async () => {
      const socket = await openSocket(node.url, { from });
      sendAtOnce(socket, packets);
      assert.deepEqual(await farewell(socket), { code: 1008, reason: 'rate limited' });
    });
  }

  test('a flood of what is no message is one too: pings of WebSocket, pongs and noops of Engine.IO', async () => {
    const ways = [
      ['127.0.0.31', (socket) => socket.ws.ping()],
      ['127.0.0.32', (socket) => socket.send('3')],
      ['127.0.0.33', (socket) => socket.send('6')],
    ];
    for (const [from, send] of ways) {
      const socket = await openSocket(node.url, { from });
      socket.ws._socket.cork();
      for (let count = 0; count < 50; count += 1) send(socket);
      socket.ws._socket.uncork();
      assert.deepEqual(await farewell(socket), { code: 1008, reason: 'rate limited' }, from);
    }
  });

  test('what came within the limit was answered before the WebSocket is closed', async () => {
    const socket = await openSocket(node.url, { from: '127.0.0.19' });
    sendAtOnce(socket, echoes);
    await farewell(socket);
    // The CONNECT was a message, too.
    for (let id = 0; id < 19; id += 1) assert.ok(socket.received.includes(`43${id}[${id}]`), `no answer to ${id}`);
  });

  test('a polling session that sends more than it may is closed', async () => {
    const polling = await Polling.open(node.url);
    await polling.post(echoes.join('\x1e'));
    assert.ok(await polling.isClosed());
  });

  test('a client that is let go is counted once, however much more it had sent', async () => {
    const grown = [];
    for (const [what, scope, from, packets] of floods) {
      const counted = await growth(node, [['websocket_security_rate_limited_total', { scope }]], async () => {
        const socket = await openSocket(node.url, { from });
        sendAtOnce(socket, packets);
        await farewell(socket);
      });
      grown.push([what, ...counted]);
    }
    const polling = await Polling.open(node.url);
    const posted = await growth(
      node,
      [['websocket_security_rate_limited_total', { scope: 'messages_per_session' }]],
      () => polling.post(echoes.join('\x1e')),
    );
    grown.push(['messages by polling', ...posted]);
    assert.deepEqual(grown, [['messages', 1], ['bytes', 1], ['messages by polling', 1]]);
  });

  test('one client that is too fast disturbs no other, and an official one comes back and is recovered', async () => {
    const quiet = await connect('quiet', node.url, { localAddress: '127.0.0.16' });
    const fast = await connect('fast', node.url, { localAddress: '127.0.0.17' });
    await fast.join('room');
    for (let id = 0; id < 200; id += 1) fast.socket.emit('leave', 'nowhere');
    await fast.reconnected();
    assert.deepEqual(
      fast.disconnects.map(({ reason }) => reason),
      ['transport close'],
    );
    assert.equal(fast.last.recovered, true);
    await quiet.publish('room', { id: 'afterwards' });
    await fast.received(1);
    assert.deepEqual(fast.seen, ['afterwards']);
    assert.equal(quiet.disconnects.length, 0);
    for (const client of [quiet, fast]) client.close();
  });

  test('a pause fills the budget again: who stays below the rate is never closed', async () => {
    const steady = await connect('steady', node.url, { localAddress: '127.0.0.18' });
    // Twice the burst, one at a time: the budget grows by one in each pause.
    for (let id = 0; id < 40; id += 1) {
      await steady.ask('echo', id);
      if (id > 10) await pace(60);
    }
    assert.equal(steady.disconnects.length, 0);
    steady.close();
  });
});

describe('without settings', () => {
  test('nothing is limited in development: 300 connects and 3000 messages of one client', async () => {
    const node = await start({});
    for (let index = 0; index < 300; index += 1) assert.equal((await ask(node.url)).status, 200);
    const socket = await openSocket(node.url);
    socket.send(...Array.from({ length: 3000 }, (_, id) => `42${id}["echo",${id}]`));
    await socket.take((packet) => packet === '432999[2999]');
    for (const scope of ['connects_per_ip', 'messages_per_session', 'bytes_per_session']) {
      assert.equal(await metric(node, 'websocket_security_rate_limited_total', { scope }), 0);
    }
    socket.end();
  });
});

describe('connections at once', () => {
  test('of one address: the next gets 429 with Retry-After, until one is gone; another address is not meant', async () => {
    const node = await start({ WEBSOCKET_MAX_CONNECTIONS_PER_IP: '3' });
    const from = '127.0.0.21';
    const sockets = [];
    for (let index = 0; index < 3; index += 1) sockets.push(await openSocket(node.url, { from }));
    const [limited, blocked] = await growth(
      node,
      [
        ['websocket_security_events_total', { type: 'connection_limit' }],
        ['websocket_security_blocked_connections_total', { reason: 'connection_limit' }],
      ],
      async () => {
        for (const answer of [await ask(node.url, OPENING, { from }), await askUpgrade(node.url, { from })]) {
          assert.equal(answer.status, 429);
          assertRetryAfter(answer);
          assert.equal(answer.json?.error, 'connection_limit');
        }
      },
    );
    assert.deepEqual([limited, blocked], [2, 2]);
    (await openSocket(node.url, { from: '127.0.0.22' })).end();
    for (const socket of sockets) {
      socket.send('420["echo","undisturbed"]');
      await socket.take((packet) => packet.startsWith?.('430'));
    }
    sockets.pop().end();
    await until('there is room for one more', async () => (await ask(node.url, OPENING, { from })).status === 200);
    for (const socket of sockets) socket.end();
  });

  test('of one node: the next gets 503 with Retry-After, the others stay, and an official client gets in once one has gone', async () => {
    const node = await start({ WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: '5' });
    const clients = [];
    for (let index = 0; index < 5; index += 1) clients.push(await connect(`client ${index}`, node.url));
    for (const answer of [await ask(node.url), await askUpgrade(node.url)]) {
      assert.equal(answer.status, 503);
      assertRetryAfter(answer);
    }
    assert.equal(await looks(node), 200);
    const waiting = new Client('waiting', node.url, { transports: ['polling', 'websocket'] });
    await until('it is refused at first', () => waiting.errors.length > 0);
    clients.pop().close();
    await waiting.connected();
    for (const client of clients) {
      assert.deepEqual(await client.ask('echo', 'undisturbed'), ['undisturbed']);
      assert.equal(client.disconnects.length, 0);
    }
    for (const client of [...clients, waiting]) client.close();
  });

  test('a full node answers in JSON and counts the refusal as one of the limit', async () => {
    const node = await start({ WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: '1' });
    const socket = await openSocket(node.url);
    const answers = [];
    const [failed, events] = await growth(
      node,
      [
        ['websocket_connections_failed_total', { reason: 'limit' }],
        ['websocket_security_events_total', { type: 'connection_limit' }],
      ],
      async () => answers.push(await ask(node.url), await askUpgrade(node.url)),
    );
    for (const { headers, json } of answers) {
      assert.match(headers['content-type'], /^application\/json/);
      assert.equal(typeof json?.message, 'string');
    }
    assert.deepEqual([failed, events], [2, 2]);
    socket.end();
  });

  test('more than the limit of open files allows is refused before the start, with both numbers', async () => {
    const { code, stdout, stderr } = await run(['config', 'check'], {
      env: { WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: '9999999' },
    });
    assert.equal(code, 78);
    assert.match(stdout + stderr, /WEBSOCKET_MAX_CONNECTIONS_PER_SERVER[^]*9999999/);
    const limit = readFileSync('/proc/self/limits', 'utf8').match(/Max open files\s+(\d+)\s+(\d+)/);
    assert.ok(
      limit.slice(1).some((files) => (stdout + stderr).includes(files)),
      stdout + stderr,
    );
  });

  test('of one user, over two nodes of a cluster: connect_error too_many_connections, and a resume is never refused for it', async () => {
    const shared = Key.secret('planted-secret-0123456789-abcdefghij');
    const cluster = await Cluster.start(2, {
      env: { WEBSOCKET_AUTH_JWT_SECRET: shared.secret, WEBSOCKET_MAX_CONNECTIONS_PER_USER: '2' },
    });
    atEnd(() => cluster.stop());
    const as = (sub) => ({ auth: { token: shared.token({ sub }) } });
    const [one, two] = cluster.urls;
    const first = await connect('first', one, as('alice'));
    const second = await connect('second', two, as('alice'));
    // The second connect's place is committed; the first node knows of it as soon as it has applied that.
    for (const url of cluster.urls) {
      await until('the node knows of both', async () => {
        const status = await cluster.nodes[cluster.urls.indexOf(url)].status();
        return status.sessions_connected === 2;
      });
      const error = await refusal(url, as('alice'));
      assert.equal(error.data?.code, 'too_many_connections');
    }
    const bob = await connect('bob', one, as('bob'));
    second.drop();
    await second.reconnected();
    assert.equal(second.last.recovered, true);
    first.close();
    await until('alice has room again', async () => {
      const client = new Client('third', two, { reconnection: false, ...as('alice') });
      await until('an answer', () => client.connects.length + client.errors.length > 0);
      client.close();
      return client.connects.length > 0;
    });
    for (const client of [second, bob]) client.close();
  });

  test('of one user who comes to three nodes at one moment: exactly as many as may are let in, each time, and the rest hear why', async () => {
    const shared = Key.secret('planted-secret-0123456789-abcdefghij');
    const most = 3;
    const cluster = await Cluster.start(3, {
      env: { WEBSOCKET_AUTH_JWT_SECRET: shared.secret, WEBSOCKET_MAX_CONNECTIONS_PER_USER: String(most) },
    });
    atEnd(() => cluster.stop());
    for (let round = 0; round < 12; round += 1) {
      const auth = { token: shared.token({ sub: `user ${round}` }) };
      const clients = Array.from(
        { length: 24 },
        (_, index) =>
          new Client(`${index}`, cluster.urls[index % 3], { auth, autoConnect: false, reconnection: false }),
      );
      // The transports are there before: what comes at one moment is what asks for a session.
      const opened = ({ socket }) =>
        new Promise((resolve, reject) => socket.io.open((error) => (error ? reject(error) : resolve())));
      await Promise.all(clients.map(opened));
      for (const { socket } of clients) socket.connect();
      await until('each is answered', () => clients.every(({ connects, errors }) => connects.length + errors.length));
      const inside = clients.filter(({ connects }) => connects.length > 0);
      assert.equal(inside.length, most, `round ${round}`);
      const codes = new Set(clients.flatMap(({ errors }) => errors.map(({ data }) => data?.code)));
      assert.deepEqual([...codes], ['too_many_connections']);
      await until('no node counts more sessions than there are', async () => {
        const counts = await Promise.all(cluster.nodes.map((node) => node.status()));
        return counts.every(({ sessions_connected: sessions }) => sessions === most);
      });
      for (const client of inside) assert.deepEqual(await client.ask('echo', 'undisturbed'), ['undisturbed']);
      // A refusal leaves nothing behind that counts: there is room as soon as one has gone.
      inside.pop().close();
      const successor = await until('there is room again', async () => {
        const client = new Client('successor', cluster.urls[round % 3], { auth, reconnection: false });
        await until('an answer', () => client.connects.length + client.errors.length > 0);
        return client.connects.length > 0 && client;
      });
      for (const client of [...inside, successor, ...clients]) client.close();
      await until('all are gone', async () => {
        const counts = await Promise.all(cluster.nodes.map((node) => node.status()));
        return counts.every((counts) => counts.sessions_connected === 0 && counts.sessions_disconnected === 0);
      });
    }
  });
});
