// A node and its configuration: started by the environment alone, refused, and read again at SIGHUP without losing a client.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { exchange } from './support/certificates.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Node, portsOfNode, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask, POLLING_PATH, UPGRADE, WEBSOCKET_PATH } from './support/tls.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

/** The addresses on which a process listens for TCP, as the kernel has them. */
function listeners(pid) {
  const fds = `/proc/${pid}/fd`;
  const links = readdirSync(fds).map((fd) => readlinkSync(path.join(fds, fd)));
  const inodes = new Set(links.map((link) => link.match(/^socket:\[(\d+)\]$/)?.[1]));
  const [, ...rows] = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').trim().split('\n');
  const lines = rows.map((row) => row.trim().split(/\s+/));
  const LISTEN = '0A';
  return lines
    .filter(([, , , state, , , , , , inode]) => state === LISTEN && inodes.has(inode))
    .map(([, local]) => {
      const [address, port] = local.split(':');
      return `${address.match(/../g).map((byte) => parseInt(byte, 16)).reverse().join('.')}:${parseInt(port, 16)}`;
    })
    .sort();
}

describe('a start by the environment alone', () => {
  test('in an empty directory: serves, listens where it says and nowhere else, leaves only its data directory', async () => {
    const ports = await portsOfNode();
    const directory = temporaryDirectory();
    const empty = path.join(temporaryDirectory(), '.');
    const node = new Node({
      name: 'by-environment',
      directory,
      // `start` without a single option, in an empty directory.
      prefix: ['env', '-C', empty],
      args: ['start'],
      url: `http://127.0.0.1:${ports.service}`,
      adminUrl: `http://127.0.0.1:${ports.admin}`,
      env: {
        WEBSOCKET_PORT: String(ports.service),
        WEBSOCKET_ADMIN_BIND: `127.0.0.1:${ports.admin}`,
        WEBSOCKET_CLUSTER_ADDR: `127.0.0.1:${ports.cluster}`,
        WEBSOCKET_SERVER_ID: 'by-environment',
        WEBSOCKET_HEALTH_CHECK_PATH: '/healthz',
        SOCKETIO_PING_TIMEOUT: '7s',
        REDIS_URL: 'redis://localhost',
        WEBSOCKET_PROT: '1',
      },
    });
    node.spawn();
    atEnd(() => node.kill());
    await node.ready();
    const client = await connect('client', node.url);
    assert.deepEqual(await client.ask('echo', 1), [1]);
    assert.equal((await ask(`${node.url}/healthz`)).status, 200);
    assert.equal((await node.health()).body.server_id, 'by-environment');
    const handshake = JSON.parse((await ask(`${node.url}${POLLING_PATH}`)).text.slice(1));
    assert.equal(handshake.pingTimeout, 7_000);
    assert.deepEqual(listeners(node.pid), [`127.0.0.1:${ports.admin}`, `127.0.0.1:${ports.service}`].sort());
    assert.deepEqual(readdirSync(empty), ['vedfolnir-data']);
    assert.match(node.output(), /INFO .*REDIS_URL.*no effect/);
    assert.match(node.output(), /WARNING .*WEBSOCKET_PROT.*WEBSOCKET_PORT/);

    // Its port is taken now: another one names it and ends.
    const second = await run(['start'], { env: { ...node.env, WEBSOCKET_DATA_DIR: path.join(directory, 'second') } });
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, new RegExp(`WEBSOCKET_PORT.*127\\.0\\.0\\.1:${ports.service}.*in use`));
    client.close();
  });

  test('forced HTTPS without TLS and without a proxy is refused with 78, before anything is made', async () => {
    const empty = temporaryDirectory();
    const { code, stdout, stderr } = await run(['start'], { env: { WEBSOCKET_FORCE_HTTPS: 'true' }, cwd: empty });
    assert.equal(code, 78);
    assert.equal(stdout, '');
    assert.match(stderr, /WEBSOCKET_FORCE_HTTPS.*"true".*neither a certificate nor a trusted proxy.*accepted/);
    assert.deepEqual(readdirSync(empty), []);
  });
});

describe('SIGHUP', () => {
  const PAGE = 'https://page.example';
  const NEW = 'https://new.example';
  const directory = temporaryDirectory();
  const envFile = path.join(directory, 'node.env');
  /** The file's settings; `undefined` leaves one away. */
  const current = {
    WEBSOCKET_LOG_LEVEL: 'WARNING',
    WEBSOCKET_CORS_ALLOWED_ORIGINS: PAGE,
    WEBSOCKET_PING_INTERVAL: '25s',
    WEBSOCKET_METRICS_TOKEN: 'the old value of WEBSOCKET_METRICS_TOKEN',
    WEBSOCKET_ADMIN_TOKEN: 'the old value of WEBSOCKET_ADMIN_TOKEN',
  };
  const write = (changes) => {
    Object.assign(current, changes);
    const set = Object.entries(current).filter(([, value]) => value !== undefined);
    exchange(envFile, set.map(([name, value]) => `${name}='${value}'\n`).join(''));
  };
  let node;
  let clients;
  before(async () => {
    write({});
    node = await startSingle({ options: ['--env-file', envFile] });
    atEnd(() => node.kill());
    clients = [
      await connect('a page', node.url, { extraHeaders: { origin: PAGE } }),
      await connect('polling, no page', node.url, { transports: ['polling'] }),
    ];
  });

  const from = (origin, where = POLLING_PATH, headers = {}) =>
    ask(`${node.url}${where}`, { headers: { origin, ...headers } });
  const isAllowed = async (origin) => {
    const { status, headers } = await from(origin);
    if (status === 200) assert.equal(headers['access-control-allow-origin'], origin);
    return status === 200;
  };
  const IN_FORCE = 'the configuration was read again and is in force';
  const said = (pattern) => node.output().match(new RegExp(pattern, 'g'))?.length ?? 0;

  /** No client noticed anything, and each is echoed over the connection that it has. */
  async function undisturbed() {
    for (const client of clients) {
      assert.deepEqual(await client.ask('echo', client.name), [client.name]);
      assert.deepEqual([client.connects.length, client.disconnects.length, client.errors.length], [1, 0, 0], client.name);
    }
  }

  test('another origin takes effect for both transports, and no client is lost', async () => {
    assert.ok(await isAllowed(PAGE));
    assert.ok(!(await isAllowed(NEW)));
    assert.equal((await from(NEW, WEBSOCKET_PATH, UPGRADE)).status, 403);
    write({ WEBSOCKET_CORS_ALLOWED_ORIGINS: NEW });
    assert.ok(!(await isAllowed(NEW)), 'it was taken without a signal');
    node.signal('SIGHUP');
    await until('the new origin is allowed', () => isAllowed(NEW));
    assert.ok(!(await isAllowed(PAGE)));
    assert.equal((await from(NEW, WEBSOCKET_PATH, UPGRADE)).status, 101);
    assert.equal((await from(PAGE, WEBSOCKET_PATH, UPGRADE)).status, 403);
    // Also the page that could not connect any more keeps the connection that it has.
    await undisturbed();
    write({ WEBSOCKET_CORS_ALLOWED_ORIGINS: `${PAGE},${NEW}` });
    node.signal('SIGHUP');
    await until('both origins are allowed', async () => (await isAllowed(PAGE)) && isAllowed(NEW));
  });

  test('another log level takes effect, up and down', async () => {
    assert.equal(said(' INFO '), 0, node.tail());
    write({ WEBSOCKET_LOG_LEVEL: 'INFO' });
    node.signal('SIGHUP');
    await until('the log has INFO', () => said(` INFO .*${IN_FORCE}`) === 1);
    assert.equal(said(' DEBUG '), 0);
    write({ WEBSOCKET_LOG_LEVEL: 'DEBUG' });
    node.signal('SIGHUP');
    await until('the configuration was read', () => said(IN_FORCE) === 2);
    await until('the log has DEBUG', async () => {
      await undisturbed();
      return said(' DEBUG ') > 0;
    });
    write({ WEBSOCKET_LOG_LEVEL: 'ERROR', WEBSOCKET_CORS_ALLOWED_ORIGINS: `${PAGE},https://quiet.example` });
    node.signal('SIGHUP');
    await until('the new origin is allowed', () => isAllowed('https://quiet.example'));
    assert.equal(said(IN_FORCE), 2, 'INFO is still logged');
    write({ WEBSOCKET_LOG_LEVEL: 'INFO' });
    node.signal('SIGHUP');
    await until('the log has INFO again', () => said(IN_FORCE) === 3);
    await undisturbed();
  });

  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  for (const [name, url] of [
    ['WEBSOCKET_METRICS_TOKEN', () => `${node.url}/websocket/metrics`],
    ['WEBSOCKET_ADMIN_TOKEN', () => `${node.adminUrl}/status`],
  ]) {
    test(`another ${name} takes effect, the old one is refused; neither is in the log`, async () => {
      const [old, token] = [current[name], `a new value of ${name}`];
      const status = async (shown) => (await ask(url(), bearer(shown))).status;
      assert.deepEqual([await status(old), await status(token)], [200, 401]);
      const before = said(IN_FORCE);
      write({ WEBSOCKET_LOG_LEVEL: 'INFO', [name]: token });
      node.signal('SIGHUP');
      // Not by asking again and again: wrong tokens are counted.
      await until('the file was read', () => said(IN_FORCE) > before);
      assert.deepEqual([await status(old), await status(token)], [401, 200]);
      assert.doesNotMatch(node.output(), /value of WEBSOCKET/);
      await undisturbed();
    });
  }

  test('what needs a restart is named, keeps its value, and does not keep the rest from taking effect', async () => {
    write({
      WEBSOCKET_LOG_LEVEL: 'INFO', WEBSOCKET_PING_INTERVAL: '26s', WEBSOCKET_MAX_PAYLOAD: '2MB',
      WEBSOCKET_CORS_ALLOWED_ORIGINS: `${PAGE},https://third.example`,
    });
    node.signal('SIGHUP');
    await until('the third origin is allowed', () => isAllowed('https://third.example'));
    for (const name of ['WEBSOCKET_PING_INTERVAL', 'WEBSOCKET_MAX_PAYLOAD']) {
      await until(`the log names ${name}`, () => said(` WARNING .*needs a restart.*${name}`) === 1);
    }
    assert.equal(said('needs a restart.*(CORS|LOG_LEVEL|METRICS_TOKEN|WEBSOCKET_PORT)'), 0);
    const handshake = JSON.parse((await ask(`${node.url}${POLLING_PATH}`)).text.slice(1));
    assert.deepEqual([handshake.pingInterval, handshake.maxPayload], [25_000, 1_000_000]);
    // As long as it differs it is said at each reload; taken back, it is not.
    write({ WEBSOCKET_PING_INTERVAL: '25s', WEBSOCKET_CORS_ALLOWED_ORIGINS: PAGE });
    node.signal('SIGHUP');
    await until('the log names what still differs', () => said('needs a restart.*WEBSOCKET_MAX_PAYLOAD') === 2);
    assert.equal(said('needs a restart.*WEBSOCKET_PING_INTERVAL'), 1);
    await undisturbed();
  });

  test('a bad file is refused as a whole, its errors are in the log, the old configuration stays in force', async () => {
    const bad = { WEBSOCKET_CONNECT_TIMEOUT: 'abc', WEBSOCKET_PING_TIMEOUT: '1y' };
    write({ ...bad, WEBSOCKET_CORS_ALLOWED_ORIGINS: 'https://fourth.example' });
    node.signal('SIGHUP');
    const REFUSED = 'ERROR .*the new configuration is refused; the old one stays in force';
    await until('the log says that it is refused', () => said(REFUSED) === 1);
    for (const name of Object.keys(bad)) assert.equal(said(`ERROR .*${name}.*${envFile}:\\d+.*refused`), 1, node.tail());
    assert.ok(!(await isAllowed('https://fourth.example')));
    assert.ok(await isAllowed(PAGE));
    await undisturbed();
    write({ WEBSOCKET_CONNECT_TIMEOUT: undefined, WEBSOCKET_PING_TIMEOUT: undefined });
    node.signal('SIGHUP');
    await until('the repaired file is in force', () => isAllowed('https://fourth.example'));
    assert.equal((await node.health()).status, 200);
  });
});
