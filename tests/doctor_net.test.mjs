// `vedfolnir doctor net`: what stands between clients and a node, and between nodes, is named; what is well is said to be so.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Cluster, freePort, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { compileShim } from './support/shim.mjs';
import { startSecure } from './support/tls.mjs';

/** { code, checks, of(part of a check's name): those checks, failed } */
async function doctor(args, { env } = {}) {
  const { code, stdout, stderr } = await run(['doctor', 'net', '--json', ...args], { env });
  assert.ok(stdout, stderr);
  const { checks, failed } = JSON.parse(stdout);
  assert.equal(checks.filter(({ verdict }) => verdict === 'fail').length, failed);
  assert.equal(code, failed === 0 ? 0 : 78, stderr);
  return { code, checks, failed, stderr, of: (part) => checks.filter(({ what }) => what.includes(part)) };
}
/** The settings that a node was started with. */
const settings = (node) => node.args.slice(1);
const verdicts = (checks) => checks.map(({ verdict }) => verdict);

describe('three nodes', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
  });

  test('that are well: every port, handshake and clock is ok, and the exit code is 0', async () => {
    const [node] = cluster.nodes;
    const { code, of, checks } = await doctor(settings(node));
    assert.equal(code, 0, JSON.stringify(checks, null, 1));
    const { cluster_id: id } = await node.status();
    const ports = of('cluster port');
    assert.deepEqual(verdicts(ports), ['ok', 'ok', 'ok']);
    for (const [index, { clusterAddr }] of cluster.nodes.entries()) {
      const [port] = of(`cluster port ${clusterAddr} (UDP`);
      assert.match(port.why, new RegExp(`node [0-9a-f]{16} answers: cluster ${id}, led by 127`), String(index));
    }
    assert.deepEqual(verdicts(of('clock of')), ['ok', 'ok', 'ok']);
    assert.deepEqual(verdicts(of(`port ${new URL(node.url).host}`)), ['ok', 'ok', 'ok']);
    const { stdout } = await run(['doctor', 'net', ...settings(node)]);
    assert.match(stdout, /^ok {4}port 127\.0\.0\.1:\d+, WebSocket from http:\/\/127\.0\.0\.1:\d+: a client comes in$/m);
  });

  test('and a page of a foreign origin: its handshake is refused, with the setting that lets it in', async () => {
    const [node] = cluster.nodes;
    const { of, failed } = await doctor([...settings(node), '--origin', 'https://evil.example']);
    assert.equal(failed, 1);
    const [refused] = of('WebSocket from https://evil.example');
    assert.equal(refused.verdict, 'fail');
    assert.match(`${refused.why} ${refused.fix}`, /403 Forbidden.*WEBSOCKET_CORS_ALLOWED_ORIGINS/);
  });

  test('of which one is down: its port refuses, those of the others are ok; seen from itself, the public one refuses too', async () => {
    const [other] = cluster.nodes;
    const [down] = (await cluster.followers()).filter((node) => node !== other);
    await down.kill();
    const seen = await doctor(settings(other));
    assert.equal(seen.failed, 1, JSON.stringify(seen.checks));
    const [port] = seen.of(`cluster port ${down.clusterAddr} (UDP)`);
    assert.match(`${port.why}; ${port.fix}`, /refuses: .*nothing listens on that UDP port; start the node/);
    const own = await doctor(settings(down));
    assert.equal(own.failed, 2, JSON.stringify(own.checks));
    assert.match(own.of(`port ${new URL(down.url).host}`)[0].why, /refuses: .*nothing listens on that port/);
    assert.match(own.of(`${down.clusterAddr} (UDP, this node)`)[0].why, /refuses/);
  });

  test('and a name that does not resolve, a port that is silent, and one that belongs to another cluster', async (t) => {
    const silent = dgram.createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => silent.close());
    const foreign = await Cluster.start(1);
    t.after(() => foreign.stop());
    const [node] = cluster.nodes;
    const silentAddr = `127.0.0.1:${silent.address().port}`;
    const bootstrap = ['no-such-node.invalid:5001', silentAddr, foreign.nodes[0].clusterAddr].join(',');
    const args = settings(node);
    args[args.indexOf('--bootstrap') + 1] = bootstrap;
    args.splice(args.indexOf('--bootstrap-expect'), 2);
    const { of, checks } = await doctor(args);
    const [unresolved] = of('no-such-node.invalid:5001');
    assert.match(`${unresolved.verdict} ${unresolved.why} ${unresolved.fix}`, /^fail .*does not resolve.*WEBSOCKET_CLUSTER_BOOTSTRAP/);
    const [dropped] = of(silentAddr);
    assert.match(`${dropped.verdict} ${dropped.why} ${dropped.fix}`, /^fail .*is silent: .*firewall/);
    const mixed = checks.find(({ what }) => what === 'cluster');
    assert.match(mixed.why, new RegExp(`${node.clusterAddr} is of cluster [0-9a-f]{32}, ${foreign.nodes[0].clusterAddr} of cluster`));
    assert.equal(mixed.verdict, 'fail');
  });
});

test('a node whose clock is ahead: by how much is said, and it is doubtful', async (t) => {
  const cluster = await Cluster.plan(1);
  t.after(() => cluster.stop());
  const [node] = cluster.nodes;
  const offset = path.join(cluster.directory, 'offset');
  writeFileSync(offset, '100\n');
  node.env = { LD_PRELOAD: compileShim('jumping_clock'), VEDFOLNIR_TEST_CLOCK_OFFSET: offset };
  node.spawn();
  await node.ready();
  const { failed, of } = await doctor(settings(node));
  const [clock] = of('clock of');
  assert.deepEqual([failed, clock.verdict], [0, 'warn']);
  const [, ahead] = clock.why.match(/^(\d+) ms ahead of this machine's/);
  assert.ok(Math.abs(Number(ahead) - 100_000) < 50_000, clock.why);
});

describe('certificates between nodes', () => {
  test('of another authority, and none at all: each is named with its fix; the right ones are ok', async (t) => {
    const directory = temporaryDirectory();
    const files = async (name) => {
      const at = path.join(directory, name);
      assert.equal((await run(['cert', 'init', at, '--node', 'node-1,127.0.0.1'])).code, 0);
      return [['--tls-ca', 'ca.pem'], ['--tls-cert', 'node-1/cert.pem'], ['--tls-key', 'node-1/key.pem']]
        .flatMap(([option, file]) => [option, path.join(at, file)]);
    };
    const [right, wrong] = [await files('right'), await files('wrong')];
    const node = planNode('node', directory, await portsOfNode(), { options: right });
    t.after(() => node.kill());
    node.spawn();
    await node.ready();
    const without = settings(node).slice(0, -right.length);
    const port = async (tls) => (await doctor([...without, ...tls])).of('cluster port')[0];
    assert.equal((await port(right)).verdict, 'ok');
    const foreign = await port(wrong);
    assert.equal(foreign.verdict, 'fail');
    assert.match(foreign.why, /TLS with peer .*another authority.*give all nodes the same --tls-ca/);
    const bare = await port([]);
    assert.equal(bare.verdict, 'fail');
    assert.match(bare.why, /one of the two nodes runs with certificates, the other without/);
  });
});

describe('the public ports', () => {
  test('with TLS: trusted by --trust, doubtful without; a public URL whose name does not resolve', async () => {
    const authority = new Authority();
    const node = await startSecure(authority.issue('server'), { WEBSOCKET_TLS_PORT: String(await freePort()) });
    atEnd(() => node.kill());
    const args = settings(node);
    const { env } = node;
    const seen = await doctor([...args, '--trust', authority.root], { env });
    assert.equal(seen.failed, 0, JSON.stringify(seen.checks));
    assert.deepEqual(verdicts(seen.of('TLS port')), ['ok', 'ok', 'ok', 'ok']);
    const untrusted = await doctor(args, { env });
    assert.deepEqual(verdicts(untrusted.of('TLS port')), ['ok', 'warn']);
    assert.match(untrusted.of(', TLS')[0].why, /UnknownIssuer|certificate/);
    const elsewhere = await doctor([...args, '--public-url', 'https://no-such-host.invalid'], { env });
    const [unresolved] = elsewhere.of('public URL');
    assert.match(`${unresolved.verdict} ${unresolved.why} ${unresolved.fix}`, /^fail .*does not resolve.*WEBSOCKET_PUBLIC_URL/);
  });

  test('where another program listens: it is said to speak no HTTP', async (t) => {
    const server = net.createServer((socket) => socket.on('error', () => {}).end('220 ready\r\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { of } = await doctor([
      '--data-dir', temporaryDirectory(), '--port', String(server.address().port), '--cluster-addr', `127.0.0.1:${await freePort()}`,
    ]);
    assert.match(of('port 127.0.0.1')[1].why, /speaks no HTTP/);
  });

  test('settings that would not start a node are refused as by a start', async () => {
    const { code, stdout, stderr } = await run(['doctor', 'net', '--port', 'abc']);
    assert.deepEqual([code, stdout], [78, '']);
    assert.match(stderr, /WEBSOCKET_PORT.*"abc"/);
  });
});
