// Engine.IO v4 and Socket.IO v5 on the wire, byte by byte: what a naive server gets wrong.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Polling, request, Socket } from './support/raw.mjs';
import { until } from './support/wait.mjs';

let node;
let url;
before(async () => {
  node = await startSingle();
  url = node.url;
  atEnd(() => node.kill());
  atEnd(closeClients);
});

const isAck = (id) => (packet) => packet.startsWith?.(`43${id}[`);

describe('HTTP', () => {
  const refusals = [
    ['unknown transport', { EIO: 4, transport: 'carrier-pigeon' }, {}, 0, 'Transport unknown'],
    ['no transport', { EIO: 4 }, {}, 0, 'Transport unknown'],
    ['unknown sid', { EIO: 4, transport: 'polling', sid: 'nobody' }, {}, 1, 'Session ID unknown'],
    ['unknown sid, POST', { EIO: 4, transport: 'polling', sid: 'nobody' }, { method: 'POST', body: '40' }, 1, 'Session ID unknown'],
    ['POST without a sid', { EIO: 4, transport: 'polling' }, { method: 'POST', body: '40' }, 2, 'Bad handshake method'],
    ['plain GET of the WebSocket transport', { EIO: 4, transport: 'websocket' }, {}, 3, 'Bad request'],
    ['protocol version 3', { EIO: 3, transport: 'polling' }, {}, 5, 'Unsupported protocol version'],
    ['no protocol version', { transport: 'polling' }, {}, 5, 'Unsupported protocol version'],
  ];
  for (const [what, query, init, code, message] of refusals) {
    test(`${what}: 400, code ${code}`, async () => {
      const { status, headers, json } = await request(url, query, init);
      assert.equal(status, 400);
      assert.match(headers.get('content-type'), /^application\/json/);
      assert.deepEqual(json, { code, message });
    });
  }

  test('a WebSocket with an unknown sid is refused with 400', async () => {
    const socket = new Socket(url, { sid: 'nobody' });
    await until('the upgrade is refused', () => socket.refused || socket.error || socket.closed !== null);
    assert.equal(socket.refused?.statusCode, 400);
    socket.refused.destroy();
  });

  test('the open packet has exactly its five keys', async () => {
    const { status, headers, text } = await request(url, { EIO: 4, transport: 'polling' });
    assert.equal(status, 200);
    assert.equal(headers.get('content-type'), 'text/plain; charset=UTF-8');
    assert.equal(text[0], '0');
    const open = JSON.parse(text.slice(1));
    assert.deepEqual(Object.keys(open).sort(), ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
    assert.deepEqual(open.upgrades, ['websocket']);
    assert.equal(open.pingInterval, 25_000);
    assert.equal(open.pingTimeout, 20_000);
    assert.equal(open.maxPayload, 1_000_000);
    const socket = await Socket.open(url, { connect: false });
    assert.deepEqual(socket.handshake.upgrades, []);
    socket.end();
  });

  test('a POST is answered "ok" as text/html, not to be stored', async () => {
    const polling = await Polling.open(url, { connect: false });
    const { status, headers, text } = await polling.post('40');
    assert.equal(status, 200);
    assert.equal(text, 'ok');
    assert.match(headers.get('content-type'), /^text\/html/);
    assert.equal(headers.get('cache-control'), 'no-store');
  });

  test('OPTIONS: 204, the configured headers allowed to the own pages, nothing to others', async () => {
    const preflight = (origin) => request(url, { EIO: 4, transport: 'polling' }, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    const own = await preflight(new URL(url).origin);
    assert.equal(own.status, 204);
    assert.match(own.headers.get('access-control-allow-headers') ?? '', /authorization/i);
    const foreign = await preflight('https://elsewhere.example');
    assert.equal(foreign.headers.get('access-control-allow-headers'), null);
    assert.equal(foreign.headers.get('access-control-allow-origin'), null);
  });

  test('a POST of octets is refused with 400', async () => {
    const polling = await Polling.open(url);
    const { status } = await polling.post(Buffer.from([1, 2, 3]), { 'content-type': 'application/octet-stream' });
    assert.equal(status, 400);
  });

  test('an oversize POST: 413, and the session survives', async () => {
    const polling = await Polling.open(url);
    const { status } = await polling.post(`42["echo","${'x'.repeat(1_000_001)}"]`);
    assert.equal(status, 413);
    await polling.send('420["echo","small"]');
    const [packet] = await polling.packets(1);
    assert.equal(packet, '430["small"]');
  });

  test('a second concurrent GET ends the session: the pending one gets 1, the new one 400', async () => {
    const polling = await Polling.open(url);
    const answers = await Promise.all([polling.get(), polling.get()]);
    answers.sort((a, b) => a.status - b.status);
    assert.equal(answers[0].status, 200);
    assert.equal(answers[0].text, '1');
    assert.equal(answers[1].status, 400);
    assert.ok(await polling.isClosed());
  });

  test('binary in a polling payload is base64 after its header, both ways', async () => {
    const polling = await Polling.open(url);
    await polling.send('451-0["echo",{"_placeholder":true,"num":0}]', `b${Buffer.from([0, 1, 254, 255]).toString('base64')}`);
    const packets = await polling.packets(2);
    assert.deepEqual(packets, ['461-0[{"_placeholder":true,"num":0}]', 'bAAH+/w==']);
  });

  test('polling packets keep their order, several in one payload', async () => {
    const polling = await Polling.open(url);
    await polling.send('420["echo",0]', '421["echo",1]', '422["echo",2]');
    assert.deepEqual(await polling.packets(3), ['430[0]', '431[1]', '432[2]']);
  });
});

describe('Engine.IO packets', () => {
  test('the server does not ping on open; a stray pong and a noop are ignored', async () => {
    const socket = await Socket.open(url);
    socket.send('3', '6', '420["echo","still here"]');
    assert.equal(await socket.take(isAck(0)), '430["still here"]');
    assert.ok(!socket.received.includes('2'), 'a ping came at once');
    socket.end();
  });

  for (const [what, packet] of [['a ping from the client', '2'], ['an unknown type', '9x'], ['an empty frame', '']]) {
    test(`${what} closes the connection, without a code`, async () => {
      const socket = await Socket.open(url);
      socket.send(packet);
      assert.equal(await socket.close(), 1005);
    });
  }

  test('an oversize WebSocket frame closes with 1009', async () => {
    const socket = await Socket.open(url);
    socket.send(`42["echo","${'x'.repeat(1_000_001)}"]`);
    assert.equal(await socket.close(), 1009);
  });

  test('a client close packet on polling ends the session', async () => {
    const polling = await Polling.open(url);
    await polling.send('1');
    assert.ok(await polling.isClosed());
  });
});

describe('the upgrade', () => {
  const probed = async (polling) => {
    const socket = new Socket(url, { sid: polling.sid });
    await until('the WebSocket is open', () => socket.ws.readyState === 1);
    const pending = polling.get();
    socket.send('2probe');
    assert.equal(await socket.take((packet) => packet === '3probe'), '3probe');
    return { socket, pending };
  };

  test('the pending poll gets a noop; a message posted during the probe is neither lost nor reordered', async () => {
    const polling = await Polling.open(url);
    const { socket, pending } = await probed(polling);
    await polling.send('420["echo","during"]');
    const before = (await pending).text.split('\x1e').filter((packet) => packet !== '6');
    socket.send('5', '421["echo","after"]');
    await socket.take(isAck(1));
    const acks = [...before, ...socket.received.filter((packet) => packet.startsWith?.('43')), socket.taken];
    assert.deepEqual(acks, ['430["during"]', '431["after"]']);
    socket.end();
  });

  test('the poll that waits during a probe is released with a noop', async () => {
    const polling = await Polling.open(url);
    const { socket, pending } = await probed(polling);
    const { status, text } = await pending;
    assert.equal(status, 200);
    assert.equal(text, '6');
    socket.send('5');
    socket.send('420["echo",1]');
    assert.equal(await socket.take(isAck(0)), '430[1]');
    for (const answer of [await polling.get(), await polling.post('421["echo",2]')]) {
      assert.equal(answer.status, 400);
      assert.equal(answer.json?.code, 3);
    }
    socket.end();
  });

  test('a second WebSocket with the same sid is closed, the first lives', async () => {
    const polling = await Polling.open(url);
    const { socket, pending } = await probed(polling);
    await pending;
    socket.send('5');
    const second = new Socket(url, { sid: polling.sid });
    await until('the second is closed or refused', () => second.closed !== null || second.refused || second.error);
    socket.send('420["echo",1]');
    assert.equal(await socket.take(isAck(0)), '430[1]');
    socket.end();
  });

  test('a first packet that is no probe closes only that WebSocket', async () => {
    const polling = await Polling.open(url);
    const socket = new Socket(url, { sid: polling.sid });
    await until('the WebSocket is open', () => socket.ws.readyState === 1);
    socket.send('4hello');
    await socket.close();
    await polling.send('420["echo","polling lives"]');
    assert.deepEqual(await polling.packets(1), ['430["polling lives"]']);
  });
});

describe('Socket.IO packets', () => {
  test('the CONNECT reply has sid and pid; neither is the Engine.IO sid; the pid has 128 bits or more', async () => {
    const socket = await Socket.open(url);
    assert.deepEqual(Object.keys(socket.session).sort(), ['pid', 'sid']);
    assert.notEqual(socket.session.sid, socket.handshake.sid);
    assert.notEqual(socket.session.pid, socket.session.sid);
    assert.ok(socket.session.pid.length >= 22, socket.session.pid);
    socket.end();
  });

  test('an unknown namespace is refused by name, the connection stays', async () => {
    const socket = await Socket.open(url, { connect: false });
    socket.send('40/nowhere,');
    assert.equal(
      await socket.take((packet) => packet.startsWith?.('44')),
      '44/nowhere,{"message":"Invalid namespace"}',
    );
    socket.send('40');
    await socket.take((packet) => packet.startsWith?.('40{'));
    socket.end();
  });

  const fatal = [
    ['an EVENT before CONNECT', ['42["echo"]'], false],
    ['an EVENT right behind CONNECT, before the reply', ['40', '42["echo"]'], false],
    ['a second CONNECT to the same namespace', ['40']],
    ['an event to a namespace not joined', ['42/other,["echo"]']],
    ['a CONNECT_ERROR from the client', ['44{"message":"no"}']],
    ['an event without a name', ['42[]']],
    ['no JSON', ['42["echo"']],
    ['an event that is no array', ['42{"a":1}']],
    ['an unknown Socket.IO packet type', ['49']],
    ['binary that nobody announced', [Buffer.from([1])]],
    ['text while attachments are due', ['451-["echo",{"_placeholder":true,"num":0}]', '42["echo"]']],
    ['a placeholder out of range', ['451-["echo",{"_placeholder":true,"num":1}]', Buffer.from([1])]],
    ['more than ten attachments', ['4511-["echo"]']],
    ...['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'].map((name) => [
      `the reserved event name ${name}`, [`42["${name}"]`],
    ]),
  ];
  for (const [what, packets, connected = true] of fatal) {
    test(`${what} closes the connection`, async () => {
      const socket = await Socket.open(url, { connect: connected });
      socket.send(...packets);
      assert.equal(await socket.close(), 1005);
    });
  }

  test('CONNECT and EVENT in one polling payload end the session', async () => {
    const polling = await Polling.open(url, { connect: false });
    await polling.post('40\x1e42["echo"]');
    assert.ok(await polling.isClosed());
  });

  test('unknown ack ids, unknown events, "error" and numeric names are harmless', async () => {
    const socket = await Socket.open(url);
    socket.send('4399[1]', '42["no_such_event",1]', '42["error",1]', '42[7,1]', '420["echo",1]');
    assert.equal(await socket.take(isAck(0)), '430[1]');
    socket.end();
  });

  test('after DISCONNECT an event closes', async () => {
    const socket = await Socket.open(url);
    socket.send('41', '42["echo"]');
    assert.equal(await socket.close(), 1005);
  });

  test('after DISCONNECT a new CONNECT works, with a new sid; the old session is over', async () => {
    const socket = await Socket.open(url);
    socket.send('41', '40');
    const again = JSON.parse((await socket.take((packet) => packet.startsWith?.('40{'))).slice(2));
    assert.notEqual(again.sid, socket.session.sid);
    socket.end();
    const late = await Socket.open(url, { auth: { pid: socket.session.pid } });
    assert.notEqual(late.session.pid, socket.session.pid);
    assert.notEqual(late.session.sid, socket.session.sid);
    late.end();
  });

  test('arguments come back as they were sent', async () => {
    const socket = await Socket.open(url);
    const values = [null, true, -1.5, 1e21, 'ünïcödé \u2028 🎉', { a: [{}, []], __proto: 1 }, '', 9007199254740993];
    const text = JSON.stringify(values).slice(1, -1);
    socket.send(`420["echo",${text}]`);
    assert.deepEqual(JSON.parse((await socket.take(isAck(0))).slice(3)), JSON.parse(`[${text}]`));
    socket.end();
  });

  test('a hundred bad connections disturb nobody', async () => {
    const bystander = await connect('bystander', url);
    await bystander.join('calm');
    await Promise.all(Array.from({ length: 100 }, async (_, index) => {
      const socket = await Socket.open(url);
      socket.send(['42[', '2', '45999999999-["x"]', '42["disconnect"]'][index % 4]);
      await socket.close();
    }));
    await bystander.publish('calm', { id: 'fine' });
    await bystander.received(1);
    assert.equal(bystander.disconnects.length, 0);
  });
});

test('bytes that are no HTTP close only their own connection', async () => {
  const { connect: dial } = await import('node:net');
  const { once } = await import('node:events');
  const { hostname, port } = new URL(url);
  for (const garbage of ['\x00\x01\x02\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET /${'a'.repeat(200_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = dial(Number(port), hostname);
    socket.on('error', () => {});
    socket.resume();
    socket.write(garbage);
    await until('the connection is closed', () => socket.destroyed || socket.readableEnded);
    socket.destroy();
    if (!socket.closed) await once(socket, 'close');
  }
  assert.equal((await node.health()).status, 200);
});
