// What nobody sends by mistake: broken frames, floods, bombs and heads that are none. Each ends its own connection only, with
// the code that says why, and costs the node next to nothing.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { before, describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { startSingle } from './support/cluster.mjs';
import { get, OPENING, Wire } from './support/doors.mjs';
import { Bare, BINARY, CLOSE, closing, CONTINUATION, frame, PING, PONG, TEXT } from './support/frames.mjs';
import { Polling } from './support/raw.mjs';
import { startSecure } from './support/tls.mjs';
import { within } from './support/wait.mjs';

const LIMIT = 1_000_000;
const authority = new Authority();
let node;
let bystander;
before(async () => {
  node = await startSecure(authority.issue('server'), {
    WEBSOCKET_HSTS_ENABLED: 'true',
    WEBSOCKET_HSTS_MAX_AGE: '63072000',
  });
  atEnd(() => node.kill());
  atEnd(closeClients);
  bystander = await connect('bystander', node.url);
});

/** The most memory that the node ever held, in MiB. */
const peak = (of = node) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${of.pid}/status`, 'utf8'))[1]) / 1024;
async function undisturbed() {
  assert.deepEqual(await bystander.ask('echo', 'still here'), ['still here']);
  assert.equal(bystander.disconnects.length, 0);
}
const echo = (id, text) => frame(TEXT, `42${id}["echo","${text}"]`);
const BAD_UTF8 = Buffer.from([0x34, 0x32, 0xc3, 0x28]);

describe('a WebSocket is closed with', () => {
  const violations = [
    [1002, 'an unmasked frame', frame(TEXT, '42["echo"]', { masked: false })],
    [1002, 'an unmasked ping', frame(PING, '', { masked: false })],
    ...[4, 2, 1].map((reserved) => [1002, `reserved bit ${reserved}`, frame(TEXT, '3', { reserved })]),
    [1002, 'a reserved bit on a ping', frame(PING, '', { reserved: 4 })],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [1002, `opcode ${opcode}`, frame(opcode, 'x')]),
    [1002, 'a ping of 126 bytes', frame(PING, 'x'.repeat(126))],
    [1002, 'a close frame of 126 bytes', frame(CLOSE, closing(1000, 'x'.repeat(124)))],
    [1002, 'a ping in fragments', frame(PING, 'x', { fin: false })],
    [1002, 'a continuation of nothing', frame(CONTINUATION, 'x')],
    [1002, 'a message inside another', Buffer.concat([frame(TEXT, '4', { fin: false }), frame(TEXT, '2')])],
    [1002, 'a close frame of one byte', frame(CLOSE, 'x')],
    ...[0, 999, 1004, 1005, 1006, 1015].map((code) => [1002, `a close frame with ${code}`, frame(CLOSE, closing(code))]),
    [1007, 'a text that is no UTF-8', frame(TEXT, BAD_UTF8)],
    [
      1007,
      'a text that is no UTF-8 when its fragments are put together',
      Buffer.concat([
        frame(TEXT, BAD_UTF8.subarray(0, 3), { fin: false }),
        frame(CONTINUATION, BAD_UTF8.subarray(3)),
      ]),
    ],
    [1007, 'a close frame whose reason is no UTF-8', frame(CLOSE, Buffer.concat([closing(1000), BAD_UTF8.subarray(2)]))],
    [1009, 'a frame that announces more than may be', frame(TEXT, '', { announced: LIMIT + 1 })],
    [1009, 'a frame that announces all the memory there is', frame(BINARY, '', { announced: 2n ** 63n - 1n })],
    [
      1009,
      'fragments that are more than may be together',
      Buffer.concat([
        frame(TEXT, '4'.repeat(LIMIT / 2), { fin: false }),
        frame(CONTINUATION, '4'.repeat(LIMIT / 2), { fin: false }),
        frame(CONTINUATION, '4', { fin: false }),
      ]),
    ],
  ];
  for (const [code, what, bytes] of violations) {
    test(`${code} after ${what}`, async () => {
      const bare = await Bare.open(node.url);
      // What came before it is answered, what comes behind it is not looked at.
      bare.send(echo(1, 'before'), bytes, echo(2, 'behind'));
      assert.equal(await bare.farewell(), code);
      assert.deepEqual(bare.received.filter((text) => text.startsWith('43')), ['431["before"]']);
      await undisturbed();
    });
  }

  test('1002 and its kin while it is still probed: the polling session goes on', async () => {
    for (const [code, bytes] of [
      [1002, frame(TEXT, '2probe', { masked: false })],
      [1007, frame(TEXT, BAD_UTF8)],
      [1009, frame(TEXT, '', { announced: LIMIT + 1 })],
    ]) {
      const polling = await Polling.open(node.url);
      const bare = await Bare.open(node.url, { query: `&sid=${polling.sid}`, connect: false });
      assert.equal(await bare.send(bytes).farewell(), code);
      await polling.send('420["echo","here"]');
      assert.deepEqual(await polling.packets(1), ['430["here"]']);
    }
  });

  test('what is allowed is not meant: fragments with a ping between, an empty ping, the longest ping, a pong nobody asked for', async () => {
    const bare = await Bare.open(node.url);
    bare.send(
      frame(TEXT, '420["ec', { fin: false }),
      frame(PING, 'x'.repeat(125)),
      frame(CONTINUATION, '', { fin: false }),
      frame(CONTINUATION, 'ho","in parts"]'),
      frame(PING),
      frame(PONG, 'unasked'),
      echo(1, 'x'.repeat(LIMIT - 20)),
    );
    assert.equal(await bare.saw((text) => text.startsWith('430')), '430["in parts"]');
    assert.equal((await bare.saw((text) => text.startsWith('431'))).length, LIMIT - 20 + '431[""]'.length);
    assert.equal(await bare.send(frame(CLOSE, closing(1000))).farewell(), 1000);
  });
});

describe('compression', () => {
  test('is not granted to a client that offers it', async () => {
    const offer = 'permessage-deflate; client_max_window_bits';
    const bare = await Bare.open(node.url, { headers: { 'Sec-WebSocket-Extensions': offer } });
    assert.doesNotMatch(bare.head, /sec-websocket-extensions/i);
    bare.end();
  });

  test('of a bomb is not undone: 1002, and no memory', async () => {
    const bomb = deflateRawSync(Buffer.alloc(200 * LIMIT, '4'));
    assert.ok(bomb.length < LIMIT, `${bomb.length}`);
    const before = peak();
    const bare = await Bare.open(node.url, { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
    assert.equal(await bare.send(frame(TEXT, bomb, { reserved: 4 })).farewell(), 1002);
    assert.ok(peak() - before < 32, `${before} MiB, then ${peak()} MiB`);
    await undisturbed();
  });
});

describe('a flood', () => {
  test('of frames that announce a megabyte and never send it takes no more than one message of each', async () => {
    const before = peak();
    const waiting = await Promise.all(Array.from({ length: 50 }, () => Bare.open(node.url)));
    for (const bare of waiting) bare.send(frame(TEXT, '4', { announced: LIMIT }));
    await undisturbed();
    assert.ok(peak() - before < 50 + 32, `${before} MiB, then ${peak()} MiB`);
    for (const bare of waiting) bare.end();
  });

  test('of 100,000 empty fragments is one message, and others are served meanwhile', async () => {
    const bare = await Bare.open(node.url);
    const before = peak();
    bare.send(frame(TEXT, '421["echo",', { fin: false }));
    const empty = Buffer.concat(Array.from({ length: 1000 }, () => frame(CONTINUATION, '', { fin: false })));
    let left = 100;
    const flooding = bare.flood(() => (left-- > 0 ? empty : null));
    await undisturbed();
    await flooding;
    bare.send(frame(CONTINUATION, '"whole"]'));
    assert.equal(await bare.saw((text) => text.startsWith('431')), '431["whole"]');
    assert.ok(peak() - before < 32, `${before} MiB, then ${peak()} MiB`);
    bare.end();
  });

  test('of pings is answered by as few pongs as there is room for, and others are served meanwhile', async () => {
    const bare = await Bare.open(node.url);
    const before = peak();
    const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(PING, 'x'.repeat(125))));
    let left = 100;
    const flooding = bare.flood(() => (left-- > 0 ? pings : null));
    await undisturbed();
    await flooding;
    bare.send(echo(1, 'here'));
    assert.equal(await bare.saw((text) => text.startsWith('431')), '431["here"]');
    assert.ok(peak() - before < 32, `${before} MiB, then ${peak()} MiB`);
    bare.end();
  });

  test('of pings by one that reads nothing takes no memory either', async () => {
    const before = peak();
    const bare = await Bare.open(node.url);
    bare.tcp.pause();
    const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(PING, 'x'.repeat(125))));
    let left = 300;
    await Promise.race([bare.flood(() => (left-- > 0 ? pings : null)), undisturbed()]);
    await undisturbed();
    assert.ok(peak() - before < 32, `${before} MiB, then ${peak()} MiB`);
    bare.end();
  });
});

describe('a client that keeps a frame waiting', () => {
  let brisk;
  before(async () => {
    brisk = await startSingle({ env: { WEBSOCKET_PING_INTERVAL: '1s', WEBSOCKET_PING_TIMEOUT: '1s' } });
    atEnd(() => brisk.kill());
  });
  /** Sends what `next` gives every 50 ms until the connection is over. */
  function trickle(bare, next) {
    const timer = setInterval(() => (bare.over ? clearInterval(timer) : bare.send(next())), 50);
    return bare;
  }
  const long = frame(TEXT, `42["echo","${'x'.repeat(2_000)}"]`);
  const ways = [
    ['half a head', (bare) => bare.send(long.subarray(0, 3))],
    ['half a payload', (bare) => bare.send(long.subarray(0, 1_000))],
    [
      'a frame byte by byte',
      (bare) => {
        let at = 0;
        return trickle(bare, () => long.subarray(at, (at += 1)));
      },
    ],
    [
      'fragments without an end',
      (bare) => trickle(bare.send(frame(TEXT, '42', { fin: false })), () => frame(CONTINUATION, '', { fin: false })),
    ],
    // Pings of WebSocket are no sign of life to Engine.IO, which asks with its own.
    ['nothing but pings', (bare) => trickle(bare, () => frame(PING))],
  ];
  for (const [what, begin] of ways) {
    test(`is closed when it has not answered a ping: ${what}`, async () => {
      const bare = await Bare.open(brisk.url, { mute: true });
      begin(bare);
      await bare.farewell();
      assert.ok(bare.received.includes('2'), 'it was asked');
    });
  }
});

describe('polling', () => {
  /** Posts `bytes` in all, announced or in chunks, as fast as they are taken; gives what was answered before the end. */
  async function post(sid, bytes, announced) {
    const wire = await Wire.open(node.url);
    const length = announced ? `Content-Length: ${bytes}` : 'Transfer-Encoding: chunked';
    wire.send(`POST ${OPENING}&sid=${sid} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n${length}\r\n\r\n`);
    const piece = Buffer.alloc(1 << 20, '4');
    const chunk = announced ? piece : Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
    for (let sent = 0; sent < bytes && !wire.over; sent += piece.length) {
      if (!wire.socket.write(chunk)) await Promise.race([once(wire.socket, 'drain').catch(() => {}), wire.closed]);
    }
    return wire.ended();
  }

  for (const announced of [true, false]) {
    test(`a payload of 100 MB, ${announced ? 'announced' : 'in chunks'}: refused, never held, and the session goes on`, async () => {
      const polling = await Polling.open(node.url);
      const before = peak();
      const answer = await post(polling.sid, 100 << 20, announced);
      // A client that is still sending may see the connection break instead of the answer.
      assert.match(answer, /^(HTTP\/1\.1 413 [^]*)?$/);
      assert.ok(peak() - before < 32, `${before} MiB, then ${peak()} MiB`);
      await polling.send('420["echo","here"]');
      assert.deepEqual(await polling.packets(1), ['430["here"]']);
      await undisturbed();
    });
  }

  test('more than ten attachments in a payload end the session', async () => {
    const polling = await Polling.open(node.url);
    const placeholders = Array.from({ length: 11 }, (_, num) => `{"_placeholder":true,"num":${num}}`);
    const attachments = placeholders.map(() => `b${Buffer.from('x').toString('base64')}`);
    await polling.post([`4511-["echo",${placeholders}]`, ...attachments].join('\x1e'));
    assert.ok(await polling.isClosed());
  });

  test('ten attachments do not', async () => {
    const polling = await Polling.open(node.url);
    const placeholders = Array.from({ length: 10 }, (_, num) => `{"_placeholder":true,"num":${num}}`);
    const attachments = placeholders.map((_, num) => `b${Buffer.from([num]).toString('base64')}`);
    await polling.send(`4510-0["echo",${placeholders}]`, ...attachments);
    assert.deepEqual(await polling.packets(11), [`4610-0[${placeholders}]`, ...attachments]);
  });
});

describe('a head that cannot be read', () => {
  const heads = [
    [400, 'a line that is no header', 'GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n'],
    [400, 'a method that is none', 'G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    [400, 'a version that is none', 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    [400, 'a NUL in a header', 'GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n'],
    [400, 'two different lengths', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    [431, 'a head of 20 KB', `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`],
    [431, 'two hundred headers', `GET / HTTP/1.1\r\nHost: localhost\r\n${'X-More: y\r\n'.repeat(200)}\r\n`],
  ];
  /** What every answer has. */
  function assertHeaders(answer, { https }) {
    for (const line of [
      /^x-content-type-options: nosniff$/m,
      /^x-frame-options: DENY$/m,
      /^referrer-policy: no-referrer$/m,
      /^content-security-policy: default-src 'none'/m,
    ]) {
      assert.match(answer.replaceAll('\r', ''), line);
    }
    assert.equal(/^strict-transport-security: max-age=63072000/m.test(answer), https, answer);
  }
  async function secureText(bytes) {
    const { hostname, port } = new URL(node.secureUrl);
    const socket = tls.connect({ host: hostname, port: Number(port), ca: authority.pem, servername: 'localhost' });
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    const closed = once(socket, 'close');
    socket.write(bytes);
    await within('the server to close the connection', closed, 30_000);
    return text;
  }

  for (const [status, what, head] of heads) {
    test(`is answered ${status} with the headers of every answer, over HTTPS with HSTS: ${what}`, async () => {
      const plain = await (await Wire.open(node.url)).send(head).ended();
      const secure = await secureText(head);
      for (const [answer, https] of [[plain, false], [secure, true]]) {
        assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer.slice(0, 200));
        assert.equal(answer.match(/HTTP\/1\.1 /g).length, 1);
        assert.match(answer, /\r\n\r\n$/);
        assertHeaders(answer, { https });
      }
      await undisturbed();
    });
  }

  test('behind requests that can, on one connection: each gets its own answer, with its headers', async () => {
    const good = get('/websocket/health/live');
    const [, , bad] = heads[0];
    for (const answers of [await (await Wire.open(node.url)).send(good + good + bad).ended(), await secureText(good + good + bad)]) {
      const heads = answers.split(/(?=HTTP\/1\.1 \d{3} )/);
      assert.deepEqual(heads.map((head) => head.slice(9, 12)), ['200', '200', '400']);
      for (const head of heads) assertHeaders(head, { https: /strict-transport/.test(answers) });
    }
  });

  test('plain HTTP on the TLS port is answered in plain, with the headers of every answer but HSTS', async () => {
    const wire = await Wire.open(node.secureUrl);
    const answer = await wire.send(get('/')).ended();
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assertHeaders(answer, { https: false });
  });

  test('is answered without them where they are switched off', async () => {
    const bare = await startSingle({ env: { WEBSOCKET_SECURITY_HEADERS: 'false' } });
    atEnd(() => bare.kill());
    const answer = await (await Wire.open(bare.url)).send(heads[0][2]).ended();
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.doesNotMatch(answer, /x-frame-options/);
  });

  test('random bytes close only their own connections', async () => {
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const wire = await Wire.open(node.url);
        wire.send(Buffer.concat([randomBytes(2_000), Buffer.from('\r\n\r\n')]));
        wire.socket.end();
        await wire.ended();
      }),
    );
    await undisturbed();
  });
});
