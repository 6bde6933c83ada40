// What the conformance suites of Engine.IO v4 and Socket.IO v5 check, against examples/conformance.rs, on the wire.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { atEnd } from './support/cleanup.mjs';
import { startExamples } from './support/examples.mjs';
import { until } from './support/wait.mjs';

const SEPARATOR = '\x1e';
/** The suites' interval; their time-out of 200 ms is too short for a machine that does other things as well. */
const PING_INTERVAL_MS = 300;
const PING_TIMEOUT_MS = 3_000;
let base;
before(async () => {
  const [node] = await startExamples('conformance', 1, { args: ['--ping-interval', `${PING_INTERVAL_MS}ms`, '--ping-timeout', `${PING_TIMEOUT_MS}ms`] });
  base = node.url;
});

const open = new Set();
atEnd(() => {
  for (const socket of open) socket.terminate();
});

for (const path of ['/engine.io/', '/socket.io/']) {
  const at = (query) => `${base}${path}?${new URLSearchParams(query)}`;
  const http = async (query, init = {}) => {
    const response = await fetch(at(query), { signal: AbortSignal.timeout(30_000), ...init });
    return { status: response.status, text: await response.text() };
  };
  const webSocket = (query = {}, { pongs = true } = {}) => {
    const socket = new WebSocket(at({ EIO: 4, transport: 'websocket', ...query }).replace('http', 'ws'));
    open.add(socket);
    socket.packets = [];
    socket.on('message', (data, isBinary) => {
      const packet = isBinary ? data : String(data);
      socket.packets.push(packet);
      if (packet === '2' && pongs) socket.send('3');
    });
    socket.on('error', () => {});
    return socket;
  };
  const packet = (socket, { pings = false } = {}) => until(
    () => `a packet came: ${JSON.stringify(socket.packets)}`,
    () => {
      if (!pings) socket.packets = socket.packets.filter((one) => one !== '2');
      const next = socket.packets.shift();
      return next === undefined ? null : { data: next };
    },
    { every: 2 },
  ).then(({ data }) => data);
  const opened = async (options) => {
    const socket = webSocket({}, options);
    socket.handshake = JSON.parse((await packet(socket)).slice(1));
    return socket;
  };
  const polling = async () => {
    const { text } = await http({ EIO: 4, transport: 'polling' });
    return { EIO: 4, transport: 'polling', sid: JSON.parse(text.slice(1)).sid };
  };
  /** Polls until `count` packets other than pings have come. */
  const polled = async (query, count) => {
    const packets = [];
    while (packets.length < count) {
      const { status, text } = await http(query);
      assert.equal(status, 200, text);
      packets.push(...text.split(SEPARATOR).filter((packet) => packet !== '2'));
    }
    return packets;
  };
  const post = (query, body) => http(query, { method: 'POST', body });
  const closed = (socket) => until('the WebSocket is closed', () => socket.readyState === WebSocket.CLOSED);

  describe(`Engine.IO on ${path}`, () => {
    test('the handshake says the intervals that were asked for, over polling and over WebSocket', async () => {
      const { status, text } = await http({ EIO: 4, transport: 'polling' });
      assert.deepEqual([status, text[0]], [200, '0']);
      const expected = { pingInterval: PING_INTERVAL_MS, pingTimeout: PING_TIMEOUT_MS, maxPayload: 1_000_000 };
      const { sid, ...polled } = JSON.parse(text.slice(1));
      assert.equal(typeof sid, 'string');
      assert.deepEqual(polled, { ...expected, upgrades: ['websocket'] });
      const socket = await opened();
      const { sid: other, ...said } = socket.handshake;
      assert.notEqual(other, sid);
      assert.deepEqual(said, { ...expected, upgrades: [] });
      socket.close();
    });

    test('wrong versions, transports and methods are refused', async () => {
      for (const query of [{ transport: 'polling' }, { EIO: 'abc', transport: 'polling' }, { EIO: 4 }, { EIO: 4, transport: 'abc' }]) {
        assert.equal((await http(query)).status, 400, JSON.stringify(query));
      }
      for (const method of ['POST', 'PUT']) {
        assert.equal((await http({ EIO: 4, transport: 'polling' }, { method })).status, 400, method);
      }
      for (const query of [{ EIO: 'abc' }, { transport: 'abc' }]) await closed(webSocket(query));
    });

    test('the server pings and a client that answers stays, over both transports; one that does not is closed', async () => {
      const [session, silent, socket, mute] = await Promise.all([
        polling(), polling(), opened({ pongs: false }), opened({ pongs: false }),
      ]);
      await Promise.all([
        (async () => {
          for (let ping = 0; ping < 3; ping += 1) {
            assert.deepEqual(await http(session), { status: 200, text: '2' });
            assert.deepEqual(await post(session, '3'), { status: 200, text: 'ok' });
          }
        })(),
        (async () => {
          for (let ping = 0; ping < 3; ping += 1) {
            assert.equal(await packet(socket, { pings: true }), '2');
            socket.send('3');
          }
        })(),
        until('the silent session is gone', async () => (await post(silent, '6')).status === 400),
        closed(mute),
      ]);
      assert.equal(socket.readyState, WebSocket.OPEN);
      socket.close();
    });

    test('a client that closes ends its session, and a poll that waits returns', async () => {
      const session = await polling();
      const [poll, posted] = await Promise.all([http(session), post(session, '1')]);
      assert.deepEqual([poll, posted], [{ status: 200, text: '6' }, { status: 200, text: 'ok' }]);
      assert.equal((await http(session)).status, 400);
      const socket = await opened();
      socket.send('1');
      await closed(socket);
    });

    test('polling becomes WebSocket; after that the session takes neither polls nor a second WebSocket', async () => {
      const session = await polling();
      const socket = webSocket({ sid: session.sid });
      await once(socket, 'open');
      socket.send('2probe');
      assert.equal(await packet(socket), '3probe');
      assert.equal((await http(session)).text.split(SEPARATOR).at(-1), '6', 'the poll returns');
      socket.send('5');
      await until('it has moved', async () => (await http(session)).status === 400);
      await closed(webSocket({ sid: session.sid }));
      if (path === '/engine.io/') {
        socket.send('4hello');
        assert.equal(await packet(socket), '4hello');
      } else {
        socket.send('40');
        assert.match(await packet(socket), /^40\{"sid":"[^"]+"\}$/);
      }
      socket.close();
    });
  });

  if (path === '/engine.io/') {
    describe('Engine.IO alone', () => {
      test('messages come back over polling: one, several, binary among them', async () => {
        for (const packets of [['4hello'], ['4test1', '4test2', '4test3'], ['4hello', 'bAQIDBA==']]) {
          const session = await polling();
          assert.deepEqual(await post(session, packets.join(SEPARATOR)), { status: 200, text: 'ok' });
          assert.deepEqual(await polled(session, packets.length), packets);
        }
      });

      test('messages come back over WebSocket, also what Socket.IO would not understand', async () => {
        const socket = await opened();
        for (const text of ['4hello', '4', '42["x"]', '41', '4\u{1f600}']) {
          socket.send(text);
          assert.equal(await packet(socket), text);
        }
        socket.send(Buffer.from([1, 2, 3, 4]));
        assert.deepEqual(await packet(socket), Buffer.from([1, 2, 3, 4]));
        const large = `4${'x'.repeat(999_000)}`;
        socket.send(large);
        assert.equal(await packet(socket), large);
        socket.close();
      });

      test('more than a client reads is not taken from it, and comes back whole', async () => {
        const socket = await opened();
        socket.pause();
        const sent = Array.from({ length: 60 }, (_, index) => `4${String(index).padEnd(100_000, '.')}`);
        for (const text of sent) socket.send(text);
        socket.resume();
        for (const text of sent) assert.equal(await packet(socket), text);
        socket.close();
      });

      test('what is no packet closes the session, and so do two polls at once', async () => {
        const session = await polling();
        assert.equal((await post(session, 'abc')).status, 400);
        assert.equal((await http(session)).status, 400);
        const socket = await opened();
        socket.send('abc');
        await closed(socket);
        const twice = await polling();
        const polls = await Promise.all([http(twice), http(twice)]);
        const statuses = polls.map(({ status }) => status).sort();
        assert.deepEqual(statuses, [200, 400], JSON.stringify(polls));
        assert.equal((await http(twice)).status, 400);
      });
    });
    continue;
  }

  const joined = async (connect = '40') => {
    const socket = await opened();
    socket.send(connect);
    socket.connected = await packet(socket);
    socket.auth = await packet(socket);
    return socket;
  };

  describe('Socket.IO', () => {
    for (const [sent, prefix, auth] of [
      ['40', '40', '42["auth",{}]'],
      ['40{"token":"123"}', '40', '42["auth",{"token":"123"}]'],
      ['40/custom,', '40/custom,', '42/custom,["auth",{}]'],
      ['40/custom,{"token":"abc"}', '40/custom,', '42/custom,["auth",{"token":"abc"}]'],
    ]) {
      test(`${sent}: a sid, then what it authenticated with`, async () => {
        const socket = await joined(sent);
        assert.ok(socket.connected.startsWith(prefix));
        assert.deepEqual(Object.keys(JSON.parse(socket.connected.slice(prefix.length))), ['sid']);
        assert.equal(socket.auth, auth);
        socket.close();
      });
    }

    test('an unknown namespace is refused', async () => {
      const socket = await opened();
      socket.send('40/random');
      assert.equal(await packet(socket), '44/random,{"message":"Invalid namespace"}');
      socket.close();
    });

    test('what is no packet closes the connection, before the CONNECT and after it', async () => {
      const socket = await opened();
      socket.send('4abc');
      await closed(socket);
      for (const wrong of ['4abc', '42{}', '42abc', '42abc["message-with-ack",1]']) {
        const one = await joined();
        one.send(wrong);
        await closed(one);
      }
    });

    test('a namespace is left, and the connection goes on', async () => {
      const root = await joined();
      root.send('41');
      assert.equal(await packet(root, { pings: true }), '2');
      root.close();
      const both = await joined();
      both.send('40/custom');
      assert.match(await packet(both), /^40\/custom,/);
      assert.match(await packet(both), /^42\/custom,\["auth"/);
      both.send('41/custom');
      both.send('42["message","message to main namespace"]');
      assert.equal(await packet(both), '42["message-back","message to main namespace"]');
      both.close();
    });

    test('events and acks come back as they were, with their attachments', async () => {
      const socket = await joined();
      const bytes = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
      const placed = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
      for (const [sent, answer, attachments] of [
        ['42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]', []],
        [`452-["message",${placed}]`, `452-["message-back",${placed}]`, bytes],
        ['42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]', []],
        [`452-789["message-with-ack",${placed}]`, `462-789[${placed}]`, bytes],
      ]) {
        socket.send(sent);
        for (const one of attachments) socket.send(one);
        assert.equal(await packet(socket), answer);
        for (const one of attachments) assert.deepEqual(await packet(socket), one);
      }
      socket.close();
    });
  });
}
