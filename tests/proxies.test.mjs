// Who the client is behind proxies that tell by headers: believed of those only who are trusted.
// A client's address shows in the log, by a request that a foreign Origin makes the node refuse, and in its limits.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { run, startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import {
  ask,
  askUpgrade,
  clientSeen,
  FOREIGN,
  get,
  growth,
  metric,
  OPENING,
  originRefusals as refusals,
  TELLING,
  Wire,
} from './support/doors.mjs';
import { Nginx } from './support/nginx.mjs';
import { until } from './support/wait.mjs';

/** Those of the loopback addresses that are proxies in these tests, and one that is none. */
const PROXY = '127.0.0.1';
const STRANGER = '127.0.0.99';

async function start(env) {
  const node = await startSingle({ options: TELLING, env });
  atEnd(() => node.kill());
  return node;
}
describe('headers of trusted proxies', () => {
  let node;
  before(async () => {
    node = await start({
      WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
      WEBSOCKET_TRUSTED_PROXIES: '127.0.0.1/32,10.0.0.0/8,2001:db8:1::/48',
      WEBSOCKET_MAX_CONNECTIONS_PER_IP: '2',
    });
  });
  const by = (value, more) => clientSeen(node, { 'X-Forwarded-For': value }, more);

  test('X-Forwarded-For is walked from the right: the first that is no trusted proxy is the client', async () => {
    const table = [
      ['192.0.2.1', '192.0.2.1'],
      ['6.6.6.6, 192.0.2.9', '192.0.2.9'],
      ['6.6.6.6, 10.0.0.9', '6.6.6.6'],
      ['6.6.6.6, 192.0.2.1, 10.1.1.1, 10.2.2.2', '192.0.2.1'],
      ['10.0.0.1, 10.0.0.2', '10.0.0.1'],
      ['2001:db8::7', '2001:db8::7'],
      ['2001:DB8:0:0::7, 2001:db8:1::1', '2001:db8::7'],
      ['::ffff:192.0.2.3', '192.0.2.3'],
      ['192.0.2.4:4711', '192.0.2.4'],
      ['[2001:db8::8]:4711', '2001:db8::8'],
    ];
    for (const [header, client] of table) {
      assert.equal(await by(header), client, header);
      assert.equal(await by(header, { asking: askUpgrade }), client, `${header} by WebSocket`);
    }
  });

  test('several X-Forwarded-For lines are one list', async () => {
    const lines = ['X-Forwarded-For: 6.6.6.6', 'X-Forwarded-For: 192.0.2.5', 'X-Forwarded-For: 10.0.0.1'];
    const before = refusals(node).length;
    const wire = (await Wire.open(node.url)).send(get(OPENING, `Origin: ${FOREIGN}`, ...lines));
    await wire.saw(/^HTTP\/1\.1 403/);
    wire.socket.destroy();
    await until('the refusal is in the log', () => refusals(node).length > before);
    assert.equal(refusals(node).at(-1).client_ip, '192.0.2.5');
  });

  test('a peer that is no trusted proxy is itself, whatever it says; that is counted', async () => {
    const [ignored] = await growth(
      node,
      [['websocket_security_events_total', { type: 'proxy_header_untrusted' }]],
      async () => {
        assert.equal(await by('192.0.2.1', { from: STRANGER }), STRANGER);
        assert.equal(await clientSeen(node, { 'X-Real-IP': '192.0.2.1' }, { from: STRANGER }), STRANGER);
        assert.equal(await by('192.0.2.1, 127.0.0.1', { from: STRANGER, asking: askUpgrade }), STRANGER);
      },
    );
    assert.equal(ignored, 3);
    assert.equal(
      await metric(node, 'websocket_security_blocked_connections_total', { reason: 'blocked_origin' }),
      refusals(node).length,
    );
  });

  test('X-Real-IP counts where there is no X-Forwarded-For; Forwarded, which is not listed, never', async () => {
    assert.equal(await clientSeen(node, { 'X-Real-IP': '192.0.2.6' }), '192.0.2.6');
    assert.equal(await clientSeen(node, { 'X-Real-IP': '192.0.2.6', 'X-Forwarded-For': '192.0.2.7' }), '192.0.2.7');
    assert.equal(await clientSeen(node, { Forwarded: 'for=192.0.2.8' }), PROXY);
  });

  test('junk ends the walk at the last proxy that is known, crashes nothing and is in no log', async () => {
    const junk = [
      'unknown',
      '_hidden',
      '"; drop table',
      '999.1.1.1',
      '1.2.3',
      '',
      ',',
      'planted-junk, junk-planted',
      '192.0.2.1;planted',
      `planted${'x'.repeat(8_000)}`,
      Array.from({ length: 500 }, () => '10.0.0.1').join(','),
      '[2001:db8::1',
      '192.0.2.1:99999999',
    ];
    for (const header of junk) {
      const client = await by(header);
      assert.match(client, /^(127\.0\.0\.1|10\.0\.0\.1)$/, `${header.slice(0, 60)} was taken for ${client}`);
    }
    assert.equal(await by('6.6.6.6, unknown, 10.0.0.9'), '10.0.0.9');
    assert.ok(node.alive);
    assert.ok(!node.output().includes('planted'));
    assert.ok((await metric(node, 'websocket_security_events_total', { type: 'proxy_header_invalid' })) > 0);
  });

  test('bytes that could forge a log line or colour a terminal are in no log', async () => {
    for (const bytes of ['\x1b[31mplanted', 'planted\t\x07', 'plant\u00e9d']) {
      const wire = await Wire.open(node.url);
      wire.socket.write(Buffer.from(get(OPENING, `Origin: ${FOREIGN}`, `X-Forwarded-For: ${bytes}`), 'latin1'));
      await wire.saw(/^HTTP\/1\.1 \d{3}/);
      wire.socket.destroy();
    }
    assert.doesNotMatch(node.output(), /plant|\x1b/);
  });

  test("limits go by the client: one that is behind the proxy uses up its own connections, not its neighbour's", async () => {
    const as = (client) => ask(node.url, OPENING, { headers: { 'X-Forwarded-For': client } });
    for (const status of [200, 200, 429]) assert.equal((await as('192.0.2.50')).status, status);
    assert.equal((await as('192.0.2.51')).status, 200);
    // It cannot make itself somebody else by what it writes to the left.
    assert.equal((await as('6.6.6.6, 192.0.2.50')).status, 429);
    // IPv6: one /64 is one client.
    for (const [address, status] of [
      ['2001:db8:2::1', 200],
      ['2001:db8:2::2', 200],
      ['2001:db8:2::3', 429],
      ['2001:db8:2:1::1', 200],
    ]) {
      assert.equal((await as(address)).status, status, address);
    }
  });

  test('through a real NGINX that appends, the client is whom NGINX saw, not whom the client claims', async () => {
    const nginx = await Nginx.start([node.url], {
      location: 'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Origin $http_origin;',
    });
    atEnd(() => nginx.stop());
    assert.equal(
      await clientSeen(
        { url: nginx.url, output: () => node.output() },
        { 'X-Forwarded-For': '6.6.6.6' },
        { from: '127.0.0.42' },
      ),
      '127.0.0.42',
    );
  });
});

describe('the trust itself', () => {
  test('without it the headers mean nothing', async () => {
    const node = await start({});
    assert.equal(
      await clientSeen(node, { 'X-Forwarded-For': '192.0.2.1', 'X-Real-IP': '192.0.2.1', Forwarded: 'for=192.0.2.1' }),
      PROXY,
    );
  });

  test('Forwarded (RFC 7239) counts where it is listed, and X-Forwarded-For then does not', async () => {
    const node = await start({
      WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
      WEBSOCKET_TRUSTED_PROXIES: '127.0.0.1',
      WEBSOCKET_PROXY_HEADERS: 'Forwarded',
    });
    assert.equal(
      await clientSeen(node, { Forwarded: 'for=6.6.6.6, for="[2001:db8::9]:4711";proto=https' }),
      '2001:db8::9',
    );
    assert.equal(await clientSeen(node, { 'X-Forwarded-For': '192.0.2.1' }), PROXY);
  });

  test('what cannot be meant is refused at the start: trust without proxies in production, 10.0.0.0/33, unknown headers', async () => {
    const check = async (env) => run(['config', 'check'], { env: { WEBSOCKET_TRUST_PROXY_HEADERS: 'true', ...env } });
    const cases = [
      [{ WEBSOCKET_TRUSTED_PROXIES: '10.0.0.0/33' }, /WEBSOCKET_TRUSTED_PROXIES/],
      [{ WEBSOCKET_TRUSTED_PROXIES: '10.0.0.1', WEBSOCKET_PROXY_HEADERS: 'X-Client' }, /WEBSOCKET_PROXY_HEADERS/],
      [{ WEBSOCKET_PRODUCTION_MODE: 'true' }, /WEBSOCKET_TRUSTED_PROXIES/],
      [{ WEBSOCKET_PRODUCTION_MODE: 'true', WEBSOCKET_TRUSTED_PROXIES: '0.0.0.0/0' }, /WEBSOCKET_TRUSTED_PROXIES/],
    ];
    for (const [env, named] of cases) {
      const { code, stdout, stderr } = await check(env);
      assert.equal(code, 78, `${JSON.stringify(env)}: ${stdout}${stderr}`);
      assert.match(stdout + stderr, named);
    }
  });
});
