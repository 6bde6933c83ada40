// How long a client may keep a connection waiting (slowloris and its kin), and that waiting itself is not meant.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Authority } from './support/certificates.mjs';
import { freePort, startSingle } from './support/cluster.mjs';
import { ask, get, openSocket, OPENING, TELLING, Wire } from './support/doors.mjs';
import { Polling, Socket } from './support/raw.mjs';

/** Far more than the second that is configured, far less than the default. */
const CEILING_MS = 15_000;

let node;
let secure;
before(async () => {
  const { certificate, key } = new Authority().issue('server');
  const port = await freePort();
  node = await startSingle({
    options: TELLING,
    env: {
      WEBSOCKET_CONNECTION_TIMEOUT: '1s',
      WEBSOCKET_CONNECT_TIMEOUT: '1s',
      // An idle client hears nothing for three times as long as a handshake may take.
      WEBSOCKET_PING_INTERVAL: '3s',
      WEBSOCKET_SSL_CERT_FILE: certificate,
      WEBSOCKET_SSL_KEY_FILE: key,
      WEBSOCKET_TLS_PORT: String(port),
    },
  });
  secure = `https://127.0.0.1:${port}`;
  atEnd(() => node.kill());
});

/** Sends a byte now and then, as long as the connection lives. */
function trickle(wire, bytes) {
  let sent = 0;
  const timer = setInterval(() => {
    if (wire.over || sent === bytes.length) clearInterval(timer);
    else wire.send(bytes[sent]);
    sent += 1;
  }, 100);
  return wire;
}

async function session() {
  return (await Polling.open(node.url)).sid;
}
const postHead = (sid, length) =>
  `POST ${OPENING}&sid=${sid} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n`;

describe('a connection is closed', () => {
  const cases = [
    ['that sends nothing at all', () => node.url, (wire) => wire],
    ['that sends nothing at all to the TLS port', () => secure, (wire) => wire],
    ['that sends half a TLS hello', () => secure, (wire) => wire.send(Buffer.from('160301020001', 'hex'))],
    [
      'that sends a TLS hello byte by byte',
      () => secure,
      (wire) =>
        trickle(
          wire,
          Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(400)]).toString('latin1'),
        ),
    ],
    ['that sends half a request', () => node.url, (wire) => wire.send('GET /socket.io/?EIO=4')],
    ['that sends everything of a request but its last line', () => node.url, (wire) => wire.send(get().slice(0, -2))],
    [
      'that sends a header line now and then',
      () => node.url,
      (wire) => trickle(wire.send(get().slice(0, -2)), 'X-Slow: yes\r\n'.repeat(20)),
    ],
    ['that stays silent after an answer', () => node.url, (wire) => wire.send(get('/websocket/health/live'))],
  ];
  for (const [what, url, send] of cases) {
    test(what, async () => {
      const wire = send(await Wire.open(url()));
      await wire.ended(CEILING_MS);
      assert.ok(wire.over);
    });
  }

  test('that sends half a body, and one that sends it byte by byte; both sessions survive', async () => {
    const ways = [(wire) => wire.send('42["half'), (wire) => trickle(wire, 'x'.repeat(200))];
    await Promise.all(
      ways.map(async (send) => {
        const sid = await session();
        const wire = send((await Wire.open(node.url)).send(postHead(sid, 200)));
        const text = await wire.ended(CEILING_MS);
        assert.match(text, /^HTTP\/1\.1 408 /);
        const { status } = await ask(node.url, `${OPENING}&sid=${sid}`, { method: 'POST', body: '42["on"]' });
        assert.equal(status, 200);
      }),
    );
  });

  test('whose client opens Engine.IO and joins no namespace', async () => {
    const socket = await Socket.open(node.url, { connect: false });
    const polling = await Polling.open(node.url, { connect: false });
    assert.ok(await socket.close());
    // The HTTP connection between two requests was idle for as long, and may just be closing.
    assert.ok(await polling.isClosed().catch(() => polling.isClosed()));
  });
});

describe('a client is not closed', () => {
  test('that is idle and answers pings, on either transport', async () => {
    const socket = await openSocket(node.url);
    const polling = await Polling.open(node.url);
    // Two pings each, and nothing else in six seconds.
    for (let ping = 0; ping < 2; ping += 1) {
      assert.deepEqual(await polling.poll(), ['2']);
      await polling.send('3');
    }
    socket.send('420["echo","here"]');
    await socket.take((packet) => packet === '430["here"]');
    await polling.send('420["echo","here"]');
    assert.deepEqual(await polling.packets(1), ['430["here"]']);
    assert.equal(socket.received.filter((packet) => packet === '2').length >= 2, true);
    socket.end();
  });

  test('that is slow within the time: a request in three parts is answered', async () => {
    const wire = await Wire.open(node.url);
    const request = get('/websocket/health/live');
    for (const part of [request.slice(0, 10), request.slice(10, -2), request.slice(-2)]) {
      wire.send(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await wire.saw(/^HTTP\/1\.1 200 /);
    wire.socket.destroy();
  });
});
