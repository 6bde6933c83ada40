// What else changes at SIGHUP: HSTS, allowed hosts, limits, keys of tokens; no client that is connected notices.

import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Authority, exchange } from './support/certificates.mjs';
import { closeClients, connect, Client } from './support/client.mjs';
import { temporaryDirectory } from './support/cluster.mjs';
import { ask as askFrom, OPENING, openSocket } from './support/doors.mjs';
import { ask, startSecure } from './support/tls.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const authority = new Authority();
const OLD = Key.secret('the-old-secret-0123456789-abcdefghij');
const NEW = Key.secret('the-new-secret-0123456789-abcdefghij');
const RS256 = Key.pair('RS256');
const directory = temporaryDirectory();
const envFile = path.join(directory, 'node.env');
const keyFile = path.join(directory, 'key.pem');
/** The file's settings; `undefined` leaves one away. */
const current = {
  WEBSOCKET_HSTS_ENABLED: 'true',
  WEBSOCKET_HSTS_MAX_AGE: '86400',
  WEBSOCKET_ALLOWED_HOSTS: 'localhost,127.0.0.1',
  WEBSOCKET_AUTH_JWT_SECRET: OLD.secret,
};

let node;
let clients;
before(async () => {
  write({});
  node = await startSecure(authority.issue('server'), {}, ['--env-file', envFile]);
  atEnd(() => node.kill());
  const auth = { token: OLD.token({ sub: 'alice' }) };
  clients = [
    await connect('WebSocket over TLS', node.secureUrl, { ca: authority.pem, auth }),
    await connect('polling', node.url, { transports: ['polling'], auth }),
  ];
});

function write(changes) {
  Object.assign(current, changes);
  const set = Object.entries(current).filter(([, value]) => value !== undefined);
  exchange(envFile, set.map(([name, value]) => `${name}='${value}'\n`).join(''));
}
const said = (pattern) => node.output().match(new RegExp(pattern, 'g'))?.length ?? 0;
const IN_FORCE = 'the configuration was read again and is in force';
const REFUSED = 'the new configuration is refused; the old one stays in force';

/** Writes, signals, and waits until the log says what became of it. */
async function reload(changes, outcome = IN_FORCE) {
  const before = said(outcome);
  write(changes);
  node.signal('SIGHUP');
  await until(`the log says: ${outcome}`, () => said(outcome) > before);
}

/** No client noticed anything, and each is echoed over the connection that it has. */
async function undisturbed() {
  for (const client of clients) {
    assert.deepEqual(await client.ask('echo', client.name), [client.name]);
    assert.deepEqual([client.connects.length, client.disconnects.length, client.errors.length], [1, 0, 0], client.name);
  }
}

/** What a new connection with this token comes to: `connected`, or the refusal's code. */
async function comesIn(key) {
  const client = new Client('newcomer', node.url, { auth: { token: key.token({ sub: 'bob' }) }, reconnection: false });
  await until('an outcome', () => client.connects.length + client.errors.length > 0);
  client.close();
  return client.connects.length ? 'connected' : (client.errors[0].data?.code ?? client.errors[0].message);
}

/** What a request to a host that is not allowed is answered. */
const unlisted = 421;
const hsts = async () => (await ask(`${node.secureUrl}/websocket/health`, { ca: authority.pem })).headers['strict-transport-security'];
const named = async (host) => (await ask(`${node.url}${OPENING}`, { headers: { host } })).status;
const from = async (address, count) => {
  const answers = [];
  for (let index = 0; index < count; index += 1) answers.push((await askFrom(node.url, OPENING, { from: address })).status);
  return answers;
};

describe('takes effect at SIGHUP, and no client is lost:', () => {
  test('HSTS: another age, subdomains, off and on again', async () => {
    assert.equal(await hsts(), 'max-age=86400');
    await reload({ WEBSOCKET_HSTS_MAX_AGE: '31536000', WEBSOCKET_HSTS_INCLUDE_SUBDOMAINS: 'true' });
    assert.equal(await hsts(), 'max-age=31536000; includeSubDomains');
    await reload({ WEBSOCKET_HSTS_ENABLED: 'false' });
    assert.equal(await hsts(), undefined);
    await reload({ WEBSOCKET_HSTS_ENABLED: 'true' });
    assert.equal(await hsts(), 'max-age=31536000; includeSubDomains');
    await undisturbed();
  });

  test('allowed hosts: a name is let in, and shut out', async () => {
    assert.equal(await named('new.example'), unlisted);
    await reload({ WEBSOCKET_ALLOWED_HOSTS: 'localhost,127.0.0.1,new.example' });
    assert.equal(await named('new.example'), 200);
    await reload({ WEBSOCKET_ALLOWED_HOSTS: 'localhost,127.0.0.1' });
    assert.equal(await named('new.example'), unlisted);
    await undisturbed();
  });

  test('the rate of connects: limited, raised, lifted', async () => {
    assert.deepEqual(await from('127.0.0.31', 4), [200, 200, 200, 200]);
    await reload({
      WEBSOCKET_RATE_LIMITING: 'true', WEBSOCKET_RATE_LIMIT_CONNECTS: '1/h', WEBSOCKET_RATE_LIMIT_CONNECTS_BURST: '2',
      WEBSOCKET_RATE_LIMIT_MESSAGES: '0', WEBSOCKET_RATE_LIMIT_BYTES: '0',
    });
    assert.deepEqual(await from('127.0.0.32', 3), [200, 200, 429]);
    await reload({ WEBSOCKET_RATE_LIMIT_CONNECTS_BURST: '4' });
    assert.deepEqual(await from('127.0.0.33', 5), [200, 200, 200, 200, 429]);
    await reload({ WEBSOCKET_RATE_LIMITING: 'false' });
    assert.deepEqual(await from('127.0.0.33', 3), [200, 200, 200]);
    await undisturbed();
  });

  test('connections of one address at once: a lower limit ends none that is there, and meets the next', async () => {
    const address = '127.0.0.34';
    const auth = { token: OLD.token({ sub: 'carol' }) };
    const sockets = [await openSocket(node.url, { from: address, auth }), await openSocket(node.url, { from: address, auth })];
    await reload({ WEBSOCKET_MAX_CONNECTIONS_PER_IP: '1' });
    assert.deepEqual(await from(address, 1), [429]);
    for (const socket of sockets) {
      socket.send('420["echo","undisturbed"]');
      await socket.take((packet) => packet.startsWith?.('430'), 'the echo');
    }
    await reload({ WEBSOCKET_MAX_CONNECTIONS_PER_IP: '3' });
    assert.deepEqual(await from(address, 2), [200, 429]);
    await reload({ WEBSOCKET_MAX_CONNECTIONS_PER_IP: undefined });
    for (const socket of sockets) socket.end();
    await undisturbed();
  });

  test('the keys of tokens: new ones are believed, old ones no more; a client of an old one stays until its token ends', async () => {
    assert.deepEqual([await comesIn(OLD), await comesIn(NEW)], ['connected', 'token_invalid']);
    await reload({ WEBSOCKET_AUTH_JWT_SECRET: NEW.secret });
    assert.deepEqual([await comesIn(OLD), await comesIn(NEW)], ['token_invalid', 'connected']);
    await undisturbed();
    // A file of the same name with another key in it.
    exchange(keyFile, Key.pair('RS256').pem);
    await reload({ WEBSOCKET_AUTH_JWT_KEY_FILE: keyFile });
    assert.equal(await comesIn(RS256), 'token_invalid');
    exchange(keyFile, RS256.pem);
    await reload({});
    assert.deepEqual([await comesIn(RS256), await comesIn(NEW)], ['connected', 'connected']);
    await undisturbed();
  });
});

describe('is refused at SIGHUP, with one line that names it, and what was in force stays:', () => {
  before(() => reload({
    WEBSOCKET_RATE_LIMITING: 'true', WEBSOCKET_RATE_LIMIT_CONNECTS_BURST: '40', WEBSOCKET_MAX_CONNECTIONS_PER_IP: '30',
  }));

  let addresses = 0;
  /** Why connect number `count` of an address that was never here is refused. */
  async function refusal(count) {
    const address = `127.0.1.${(addresses += 1)}`;
    await from(address, count - 1);
    return (await askFrom(node.url, OPENING, { from: address })).json?.error;
  }
  const missing = path.join(directory, 'missing.pem');
  const bad = [
    ['WEBSOCKET_HSTS_MAX_AGE', 'abc', async () => assert.equal(await hsts(), 'max-age=31536000; includeSubDomains')],
    ['WEBSOCKET_ALLOWED_HOSTS', 'a/b', async () => assert.deepEqual([await named('localhost'), await named('new.example')], [200, unlisted])],
    ['WEBSOCKET_RATE_LIMIT_CONNECTS', 'ten', async () => assert.equal(await refusal(41), 'rate_limited')],
    ['WEBSOCKET_MAX_CONNECTIONS_PER_IP', '-1', async () => assert.equal(await refusal(31), 'connection_limit')],
    ['WEBSOCKET_AUTH_JWT_SECRET', 'short', async () => assert.deepEqual([await comesIn(NEW), await comesIn(OLD)], ['connected', 'token_invalid'])],
    ['WEBSOCKET_AUTH_JWT_KEY_FILE', missing, async () => assert.equal(await comesIn(RS256), 'connected')],
  ];
  for (const [name, value, holds] of bad) {
    test(`${name} = ${value === missing ? 'a file that is not there' : value}`, async () => {
      const good = current[name];
      await holds();
      await reload({ [name]: value }, REFUSED);
      assert.equal(said(`ERROR .*${name}\\b.*refused`), 1, node.tail());
      await holds();
      await undisturbed();
      await reload({ [name]: good });
      await holds();
    });
  }
});
