// Who the client is behind TCP balancers that tell by the PROXY protocol: real HAProxy, headers by hand, and none at all.
// A client's address shows in the log, by a request that a foreign Origin makes the node refuse.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { planNode, portsOfNode, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import {
  ask,
  askUpgrade,
  clientSeen,
  FOREIGN,
  get,
  growth,
  OPENING,
  originRefusals as refusals,
  securityLines,
  TELLING,
  Wire,
} from './support/doors.mjs';
import { HaProxy } from './support/haproxy.mjs';
import { pace, until } from './support/wait.mjs';

/** The loopback address that is a balancer in these tests, and one that is none. */
const BALANCER = '127.0.0.1';
const STRANGER = '127.0.0.99';

const settings = (mode) => ({
  options: TELLING,
  env: { WEBSOCKET_PROXY_PROTOCOL: mode, WEBSOCKET_TRUSTED_PROXIES: BALANCER, WEBSOCKET_CONNECTION_TIMEOUT: '2s' },
});

/** A node that answers nobody without a header; its health is asked at the operators' listener. */
async function startStrict(mode) {
  const strict = planNode('node-1', temporaryDirectory(), await portsOfNode(), settings(mode));
  strict.spawn();
  atEnd(() => strict.kill());
  await until(
    () => `the node is ready:\n${strict.tail()}`,
    async () => (await ask(strict.adminUrl, '/websocket/health/ready')).status === 200,
  );
  return strict;
}

let node;
before(async () => {
  node = await startSingle(settings('auto'));
  atEnd(() => node.kill());
  atEnd(closeClients);
});

/** Metrics of a node are read at its operators' listener, which knows no PROXY protocol. */
const inside = (of) => ({ url: of.adminUrl });
const V1 = 'PROXY TCP4 192.0.2.77 192.0.2.1 4711 443\r\n';
const v2 = (command, family, addresses) =>
  Buffer.concat([
    Buffer.from('0d0a0d0a000d0a515549540a', 'hex'),
    Buffer.from([0x20 | command, family, addresses.length >> 8, addresses.length & 255]),
    addresses,
  ]);
const V2 = v2(1, 0x11, Buffer.from('c000024dc0000201126701bb', 'hex'));

/** Sends a header and a request with a foreign Origin; resolves with the address in the log, `null` when it was closed. */
async function throughHeader(of, header, { from = BALANCER } = {}) {
  const before = refusals(of).length;
  const wire = await Wire.open(of.url, { from });
  wire.send(Buffer.concat([Buffer.from(header), Buffer.from(get(OPENING, `Origin: ${FOREIGN}`))]));
  await until('an answer, or the end', () => wire.over || /^HTTP\/1\.1 403/.test(wire.text), { every: 5 });
  const answered = wire.text !== '';
  wire.socket.destroy();
  if (!answered) return null;
  await until('the refusal is in the log', () => refusals(of).length > before);
  return refusals(of).at(-1).client_ip;
}

describe('auto', () => {
  for (const [option, mode] of [
    ['send-proxy', 'v1'],
    ['send-proxy-v2', 'v2'],
  ]) {
    test(`a real HAProxy with ${option} tells who the client is, over polling, WebSocket and an upgrade`, async () => {
      const haproxy = await HaProxy.start(node.url, option);
      atEnd(() => haproxy.stop());
      const behind = { url: haproxy.url, output: () => node.output() };
      assert.equal(await clientSeen(behind, {}, { from: '127.0.0.61' }), '127.0.0.61');
      assert.equal(await clientSeen(behind, {}, { from: '127.0.0.62', asking: askUpgrade }), '127.0.0.62');
      const client = await connect(`through HAProxy, ${mode}`, haproxy.url, { transports: ['polling', 'websocket'] });
      await until('it is on WebSocket', () => client.socket.io.engine.transport.name === 'websocket');
      assert.deepEqual(await client.ask('echo', 1), [1]);
      client.close();
    });
  }

  test("HAProxy's own health checks by the PROXY protocol find the node up, and are no security events", async () => {
    const [odd] = await growth(
      inside(node),
      [['websocket_security_events_total', { type: 'proxy_protocol_invalid' }]],
      async () => {
        const haproxy = await HaProxy.start(node.url, 'send-proxy-v2 check check-send-proxy inter 100ms rise 1 fall 1');
        // Five of its checks.
        await pace(500);
        const client = await connect('while checks go on', haproxy.url);
        assert.deepEqual(await client.ask('echo', 1), [1]);
        client.close();
        await haproxy.stop();
        assert.doesNotMatch(haproxy.output, /is DOWN/);
      },
    );
    assert.equal(odd, 0);
  });

  test('headers by hand: version 1 and 2, in one segment with the request; LOCAL and UNKNOWN are the peer itself', async () => {
    assert.equal(await throughHeader(node, V1), '192.0.2.77');
    assert.equal(await throughHeader(node, 'PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n'), '2001:db8::7');
    assert.equal(await throughHeader(node, V2), '192.0.2.77');
    assert.equal(await throughHeader(node, v2(0, 0, Buffer.alloc(0))), BALANCER);
    assert.equal(await throughHeader(node, 'PROXY UNKNOWN\r\n'), BALANCER);
  });

  test('auto lets a direct connection in as itself', async () => {
    assert.equal(await throughHeader(node, ''), BALANCER);
    assert.equal(await throughHeader(node, '', { from: STRANGER }), STRANGER);
  });

  test('a header of a peer that is no trusted proxy closes the connection, is counted as such and told', async () => {
    const [untrusted] = await growth(
      inside(node),
      [['websocket_security_events_total', { type: 'proxy_protocol_untrusted' }]],
      async () => {
        for (const header of [V1, V2]) assert.equal(await throughHeader(node, header, { from: STRANGER }), null);
      },
    );
    const line = securityLines(node).findLast(({ event_type: type }) => type.startsWith('proxy_protocol'));
    assert.equal(line?.client_ip, STRANGER);
    assert.equal(untrusted, 2);
  });

  test('broken headers close the connection and are counted', async () => {
    const broken = [
      'PROXY TCP4 999.0.2.77 192.0.2.1 4711 443\r\n',
      'PROXY TCP4 192.0.2.77\r\n',
      `PROXY TCP4 ${'1'.repeat(200)}\r\n`,
      'PROXY junk\r\n',
      v2(1, 0x11, Buffer.from('c000', 'hex')),
      v2(7, 0x11, Buffer.from('c000024dc0000201126701bb', 'hex')),
    ];
    const [invalid] = await growth(
      inside(node),
      [['websocket_security_events_total', { type: 'proxy_protocol_invalid' }]],
      async () => {
        for (const header of broken) assert.equal(await throughHeader(node, header), null, String(header).slice(0, 40));
      },
    );
    assert.equal(invalid, broken.length);
    assert.ok(node.alive);
  });
});

describe('where the header is required', () => {
  for (const mode of ['v1', 'v2']) {
    test(`${mode}: HAProxy comes through; a direct connection, the other version and silence are closed`, async () => {
      const strict = await startStrict(mode);
      const [right, wrong, option] = mode === 'v1' ? [V1, V2, 'send-proxy'] : [V2, V1, 'send-proxy-v2'];
      const haproxy = await HaProxy.start(strict.url, option);
      atEnd(() => haproxy.stop());
      const behind = { url: haproxy.url, output: () => strict.output() };
      assert.equal(await clientSeen(behind, {}, { from: '127.0.0.63' }), '127.0.0.63');
      assert.equal(await throughHeader(strict, right), '192.0.2.77');
      assert.equal(await throughHeader(strict, wrong), null);
      const [missing] = await growth(
        inside(strict),
        [['websocket_security_events_total', { type: 'proxy_protocol_missing' }]],
        async () => {
          assert.equal(await throughHeader(strict, ''), null);
          assert.equal(await throughHeader(strict, '', { from: STRANGER }), null);
        },
      );
      const silent = await Wire.open(strict.url);
      assert.equal(await silent.ended(15_000), '');
      assert.equal(missing, 2);
    });
  }
});
