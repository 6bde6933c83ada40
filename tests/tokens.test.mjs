// Tokens over time: they end on live connections, sessions stay their user's, and issuers change their keys.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { before, describe, test } from 'node:test';

import { startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { farewell, growth, openSocket, refusal, securityLines, TELLING } from './support/doors.mjs';
import { Authority } from './support/certificates.mjs';
import { Key, keySet, now } from './support/tokens.mjs';
import { Polling } from './support/raw.mjs';
import { until } from './support/wait.mjs';

const shared = Key.secret('planted-secret-0123456789-abcdefghij');
const first = Key.pair('ES256', 'first');
const second = Key.pair('ES256', 'second');
const by = (token) => ({ auth: { token } });

/** An issuer's HTTPS server on this machine, that counts how often its keys are fetched. */
class Issuer {
  fetches = [];
  keys = keySet(first);

  static async start() {
    const issuer = new Issuer();
    const authority = new Authority();
    issuer.ca = authority.root;
    const { certificate, key } = authority.issue('issuer');
    const pair = { key: readFileSync(key), cert: readFileSync(certificate) };
    issuer.server = https.createServer(pair, (request, response) => {
      issuer.fetches.push(request.url);
      response.setHeader('content-type', 'application/jwk-set+json').end(issuer.keys);
    });
    issuer.server.listen(0, '127.0.0.1');
    await once(issuer.server, 'listening');
    issuer.url = `https://localhost:${issuer.server.address().port}/keys.json`;
    return issuer;
  }
}

let node;
let issuer;
let keyed;
before(async () => {
  issuer = await Issuer.start();
  atEnd(() => issuer.server.close());
  // Started first, since it may fetch keys again only when half a minute has passed.
  keyed = await startSingle({
    options: TELLING,
    env: { WEBSOCKET_AUTH_JWKS_URL: issuer.url, WEBSOCKET_AUTH_JWKS_CA_FILE: issuer.ca },
  });
  atEnd(() => keyed.kill());
  node = await startSingle({
    options: TELLING,
    env: { WEBSOCKET_AUTH_JWT_SECRET: shared.secret, WEBSOCKET_AUTH_CLOCK_SKEW: '0' },
  });
  atEnd(() => node.kill());
  atEnd(closeClients);
});

describe('keys that are fetched', () => {
  test("a token of the issuer's key is accepted as soon as the node is there", async () => {
    const client = await connect('alice', keyed.url, by(first.token({ sub: 'alice' })));
    client.close();
    assert.deepEqual(issuer.fetches, ['/keys.json']);
  });

  test('unknown keys are refused, and do not make the node fetch again and again', async () => {
    issuer.keys = keySet(first, second);
    for (let index = 0; index < 10; index += 1) {
      const error = await refusal(keyed.url, by(Key.pair('ES256', `made-up-${index}`).token({ sub: 'alice' })));
      assert.equal(error.data?.code, 'token_invalid');
    }
    assert.ok(issuer.fetches.length <= 2, `the keys were fetched ${issuer.fetches.length} times`);
  });
});

describe('a token that ends', () => {
  test('a live WebSocket is closed with 1008 "token expired", and that is counted and in the log', async () => {
    const [ended] = await growth(node, [['websocket_security_events_total', { type: 'token_expired' }]], async () => {
      const socket = await openSocket(node.url, { auth: { token: shared.token({ sub: 'alice', exp: now() + 2 }) } });
      assert.deepEqual(await farewell(socket), { code: 1008, reason: 'token expired' });
      assert.ok(
        !socket.received.some((packet) => packet.startsWith?.('41')),
        'a disconnect packet would keep clients away',
      );
    });
    assert.equal(ended, 1);
    assert.ok(securityLines(node).some(({ event_type: type }) => type === 'token_expired'));
  });

  test('a live polling session is closed', async () => {
    const polling = await Polling.open(node.url, { connect: false });
    await polling.send(`40${JSON.stringify({ token: shared.token({ sub: 'alice', exp: now() + 2 }) })}`);
    assert.match((await polling.poll())[0], /^40/);
    assert.ok(await polling.isClosed());
  });

  test('an official client comes back with a new token, is recovered, and misses nothing', async () => {
    let asked = 0;
    const client = await connect('alice', node.url, {
      auth: (answer) => {
        asked += 1;
        answer({ token: shared.token({ sub: 'alice', exp: now() + (asked === 1 ? 2 : 600) }) });
      },
    });
    const publisher = await connect('bob', node.url, by(shared.token({ sub: 'bob' })));
    await client.join('room');
    await publisher.publish('room', { id: 0 });
    let id = 0;
    while (client.disconnects.length === 0) await publisher.publish('room', { id: (id += 1) });
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    assert.equal(client.last.id, client.connects[0].id);
    await publisher.publish('room', { id: (id += 1) });
    await client.received(id + 1);
    assert.deepEqual(
      client.seen,
      Array.from({ length: id + 1 }, (_, index) => index),
    );
    assert.equal(asked, 2);
    for (const one of [client, publisher]) one.close();
  });

  test('a client that has no newer token is refused with token_expired when it comes back, and stays away', async () => {
    const client = await connect('alice', node.url, by(shared.token({ sub: 'alice', exp: now() + 2 })));
    await until('the client is refused', () => client.errors.length > 0);
    assert.equal(client.errors[0].data?.code, 'token_expired');
    assert.equal(client.socket.active, false);
    client.close();
  });
});

describe('sessions and their users', () => {
  test("nobody resumes another user's session, not even with its secret; its own user still can", async () => {
    const socket = await openSocket(node.url, { auth: { token: shared.token({ sub: 'alice' }) } });
    const { pid, sid } = socket.session;
    socket.send('420["join","room of alice"]');
    await socket.take((packet) => packet.startsWith?.('430'));
    socket.end();
    const stolen = await openSocket(node.url, { auth: { token: shared.token({ sub: 'mallory' }), pid } });
    assert.notEqual(stolen.session.sid, sid);
    assert.notEqual(stolen.session.pid, pid);
    stolen.send('421["rooms"]');
    const rooms = await stolen.take((packet) => packet.startsWith?.('431'));
    assert.ok(!rooms.includes('room of alice'), rooms);
    stolen.end();
    const own = await openSocket(node.url, { auth: { token: shared.token({ sub: 'alice' }), pid } });
    assert.equal(own.session.sid, sid);
    own.end();
  });

  test('an official client that changes its user gets a new session, and the attempt is counted', async () => {
    let user = 'alice';
    const client = await connect('changing', node.url, {
      auth: (answer) => answer({ token: shared.token({ sub: user }) }),
    });
    await client.join('room');
    const [foreign] = await growth(node, [['vedfolnir_resumes_total', { outcome: 'foreign' }]], async () => {
      user = 'bob';
      client.drop();
      await client.reconnected();
    });
    assert.equal(client.last.recovered, false);
    assert.notEqual(client.last.id, client.connects[0].id);
    assert.deepEqual(
      (await client.call('rooms')).filter((room) => room !== client.id),
      [],
    );
    assert.equal(foreign, 1);
    client.close();
  });

  test('a session is not resumed without a token either', async () => {
    const socket = await openSocket(node.url, { auth: { token: shared.token({ sub: 'alice' }) } });
    socket.end();
    const error = await refusal(node.url, { auth: { pid: socket.session.pid } });
    assert.equal(error.data?.code, 'auth_required');
  });
});

describe('keys that change', () => {
  test('keys that were asked for too soon are fetched as soon as they may be, without being asked for again', async () => {
    await until('the node fetches the keys a second time', () => issuer.fetches.length >= 2, { within: 45_000 });
  });

  test('a new key is accepted at once after one more fetch, and the old one as long as the issuer publishes it', async () => {
    const one = await connect('alice', keyed.url, by(second.token({ sub: 'alice' })));
    const other = await connect('bob', keyed.url, by(first.token({ sub: 'bob' })));
    for (const client of [one, other]) client.close();
    assert.deepEqual(
      [one, other].flatMap(({ errors }) => errors),
      [],
    );
    assert.equal(issuer.fetches.length, 2);
  });
});
