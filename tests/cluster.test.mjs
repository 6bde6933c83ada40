// The life of nodes and clusters: starting, forming, joining, refusing, losing the quorum, catching up, stopping.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import dgram from 'node:dgram';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { BINARY, Cluster, Dev, freePort, isRunning, planNode, portsOfNode, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { next, pace, until } from './support/wait.mjs';

atEnd(closeClients);

/** A cluster that ends with the test. */
async function clusterFor(t, count, options) {
  const cluster = await Cluster.start(count, options);
  t.after(() => cluster.stop());
  return cluster;
}

/** The node ends by itself, not with 0, and says in one line what matches; nothing else of it runs. */
async function assertRefused(node, ...patterns) {
  if (!node.alive) node.spawn();
  await until(`${node.name} ends`, () => !node.alive);
  const output = node.output();
  assert.notEqual(node.exit.code, 0, `it ended with ${JSON.stringify(node.exit)}:\n${output}`);
  assert.notEqual(node.exit.code, null, `it was ended by ${node.exit.signal}:\n${output}`);
  assert.doesNotMatch(output, /panicked/);
  const line = output.split('\n').find((candidate) => candidate.startsWith('vedfolnir: '));
  assert.ok(line, `no line says why:\n${output}`);
  for (const pattern of patterns) assert.match(line, pattern);
  return line;
}

const clusterIds = async (nodes) => new Set((await Promise.all(nodes.map((node) => node.status()))).map((view) => view.cluster_id));

describe('one node', () => {
  test('starts alone, prints its start block, restarts from the same directory', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    await until('the start block', () => node.output().includes('node id'));
    const block = node.output();
    for (const part of [node.url, node.adminUrl, node.clusterAddr, node.dataDir, 'initialized new cluster', 'INSECURE']) {
      assert.ok(block.includes(part), `${part} is missing in\n${block}`);
    }
    const status = await node.status();
    assert.ok(block.includes(status.cluster_id) && block.includes(status.node_id));
    assert.equal(status.failure_tolerance, 0);
    assert.equal(status.nodes.length, 1);
    assert.equal(status.nodes[0].role, 'leader');
    assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null });
    await node.restart();
    await until('the start block', () => node.output().includes('node id'));
    assert.match(node.output(), /restarted/);
    const again = await node.status();
    assert.equal(again.cluster_id, status.cluster_id);
    assert.equal(again.node_id, status.node_id);
  });

  test('serves health, readiness, liveness and metrics', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    const health = await node.health();
    assert.equal(health.status, 200);
    assert.equal(health.body.status, 'healthy');
    assert.equal(typeof health.body.server_id, 'string');
    assert.equal(typeof health.body.connections, 'number');
    assert.equal((await node.health('/ready')).status, 200);
    assert.equal((await node.health('/live')).status, 200);
    const metrics = await (await fetch(`${node.url}/websocket/metrics`)).text();
    for (const family of ['websocket_connections_total', 'websocket_connections_active', 'websocket_messages_total']) {
      assert.match(metrics, new RegExp(`^${family}(\\{[^}]*\\})? 0$`, 'm'), `${family} is not there with 0`);
    }
    const client = await connect('client', node.url);
    const counted = await (await fetch(`${node.url}/websocket/metrics`)).text();
    assert.match(counted, /^websocket_connections_active(\{[^}]*\})? 1$/m);
    client.close();
  });

  test('status by --data-dir, as text and as JSON', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    const text = await run(['status', '--data-dir', node.dataDir]);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /failure tolerance: 0/);
    const json = await run(['status', '--data-dir', node.dataDir, '--json']);
    assert.equal(JSON.parse(json.stdout).node_id, (await node.status()).node_id);
    const socket = (await import('node:fs')).readdirSync(node.dataDir).filter((name) => name.endsWith('.sock'));
    assert.equal(socket.length, 1);
    assert.equal((await stat(path.join(node.dataDir, socket[0]))).mode & 0o777, 0o600);
    await node.kill();
    const dead = await run(['status', '--addr', node.adminUrl]);
    assert.notEqual(dead.code, 0);
    assert.match(dead.stderr, /^vedfolnir: .*\n$/);
  });

  test('is its own quorum: it serves for longer than an isolated node would, and its clock runs', async (t) => {
    const node = await startSingle({ options: ['--isolation-after', '1s', '--recovery-window', '1s', '--history-age', '1s'] });
    t.after(() => node.kill());
    const client = await connect('client', node.url);
    const gone = await connect('gone', node.url);
    gone.drop();
    gone.socket.io.reconnection(false);
    await until('cluster time has passed the isolation time three times', async () => (await node.status()).cluster_time_ms >= 4_000);
    assert.equal((await node.health('/ready')).status, 200);
    assert.equal(client.disconnects.length, 0);
    await client.join('room');
    await client.publish('room', { id: 1 });
    await client.received(1);
    const { sessions_connected: connected, sessions_disconnected: disconnected } = await node.status();
    assert.deepEqual({ connected, disconnected }, { connected: 1, disconnected: 0 }, 'the window does not pass');
  });

  test('its rooms, sessions and messages survive kill -9 and a restart', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    const client = await connect('client', node.url);
    await client.join('room');
    for (let id = 0; id < 20; id += 1) await client.publish('room', { id });
    await node.kill();
    await node.restart();
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    await client.publish('room', { id: 20 });
    await until('the last message', () => client.seen.includes(20));
    assert.deepEqual(client.seen, Array.from({ length: 21 }, (_, id) => id));
    client.close();
  });
});

describe('refusals', () => {
  const planSingle = async (options = {}) => {
    const directory = temporaryDirectory();
    return planNode('node-1', directory, await portsOfNode(), options);
  };

  test('a second process on the same data directory', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    const second = planNode('second', temporaryDirectory(), await portsOfNode(), { dataDir: node.dataDir });
    t.after(() => second.kill());
    await assertRefused(second, new RegExp(node.dataDir));
    assert.equal((await node.health('/ready')).status, 200);
    assert.ok(await connect('client', node.url));
  });

  for (const [what, option, protocol] of [
    ['the service port', 'service', 'tcp'],
    ['the admin port', 'admin', 'tcp'],
    ['the cluster port', 'cluster', 'udp'],
  ]) {
    test(`${what} is in use`, async (t) => {
      const ports = await portsOfNode();
      if (protocol === 'tcp') {
        const taken = net.createServer().listen(ports[option], '127.0.0.1');
        await once(taken, 'listening');
        t.after(() => taken.close());
      } else {
        const taken = dgram.createSocket('udp4').bind(ports[option], '127.0.0.1');
        await once(taken, 'listening');
        t.after(() => taken.close());
      }
      const node = planNode('node-1', temporaryDirectory(), ports);
      t.after(() => node.kill());
      await assertRefused(node, new RegExp(`:${ports[option]}`), /in use/i);
    });
  }

  test('a cluster address that is not loopback, without certificates', async (t) => {
    const node = await planSingle();
    node.args[node.args.indexOf('--cluster-addr') + 1] = `0.0.0.0:${await freePort()}`;
    t.after(() => node.kill());
    await assertRefused(node, /--cluster-addr/, /certificate/);
  });

  test('an unwritable data directory', async (t) => {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'a file');
    await writeFile(file, 'in the way');
    const node = planNode('node-1', directory, await portsOfNode(), { dataDir: path.join(file, 'data') });
    t.after(() => node.kill());
    await assertRefused(node, /a file/);
    if (process.getuid() !== 0) {
      const locked = path.join(directory, 'locked');
      await mkdir(locked);
      await chmod(locked, 0o500);
      const other = planNode('node-2', directory, await portsOfNode(), { dataDir: path.join(locked, 'data') });
      t.after(() => other.kill());
      await assertRefused(other, /locked/);
    }
  });

  for (const [what, options, ...patterns] of [
    ['a port that is no number', ['--port', 'many'], /--port/, /many/],
    ['a bootstrap list that is none', ['--bootstrap', 'here'], /--bootstrap/, /here/],
    ['--bootstrap-expect that is not more than half of the list', ['--bootstrap', '127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4', '--bootstrap-expect', '2'], /--bootstrap-expect/],
    ['a recovery window of nonsense', ['--recovery-window', 'soon'], /--recovery-window/, /soon/],
    ['an option nobody knows', ['--no-such-option'], /--no-such-option/],
    ['certificates that are not there', ['--tls-ca', '/nowhere/ca.pem', '--tls-cert', '/nowhere/c.pem', '--tls-key', '/nowhere/k.pem'], /--tls-ca/, /nowhere/],
  ]) {
    test(what, async (t) => {
      const node = await planSingle();
      const named = options[0];
      const at = node.args.indexOf(named);
      if (at >= 0) node.args.splice(at, 2);
      node.args.push(...options);
      t.after(() => node.kill());
      await assertRefused(node, ...patterns);
    });
  }

  test('the environment sets what the options set', async (t) => {
    const node = await planSingle({ env: { WEBSOCKET_RECOVERY_WINDOW: 'soon' } });
    t.after(() => node.kill());
    await assertRefused(node, /WEBSOCKET_RECOVERY_WINDOW/, /soon/);
  });

  test('a data directory of another cluster', async (t) => {
    const cluster = await clusterFor(t, 3);
    const stranger = await startSingle();
    const strangersCluster = (await stranger.status()).cluster_id;
    await stranger.kill();
    const intruder = planNode('intruder', temporaryDirectory(), await portsOfNode(), {
      dataDir: stranger.dataDir,
      options: ['--bootstrap', cluster.nodes.map(({ clusterAddr }) => clusterAddr).join(',')],
    });
    t.after(() => intruder.kill());
    await assertRefused(intruder, new RegExp(strangersCluster));
    assert.equal((await cluster.nodes[0].status()).nodes.length, 3);
  });

  test('a bootstrap address that answers with garbage is survived and named', async (t) => {
    const garbage = dgram.createSocket('udp4').bind(0, '127.0.0.1');
    await once(garbage, 'listening');
    garbage.on('message', (_, from) => garbage.send('HTTP/1.1 400 Bad Request\r\n\r\n', from.port, from.address));
    t.after(() => garbage.close());
    const address = `127.0.0.1:${garbage.address().port}`;
    const single = await startSingle();
    t.after(() => single.kill());
    const joiner = await planSingle({ options: ['--bootstrap', `${address},${single.clusterAddr}`] });
    joiner.spawn();
    t.after(() => joiner.kill());
    await joiner.ready();
    assert.equal((await joiner.status()).cluster_id, (await single.status()).cluster_id);

    const alone = await planSingle({ options: ['--bootstrap', address] });
    alone.spawn();
    t.after(() => alone.kill());
    await until('the garbage\'s sender is named', () => alone.output().includes(address));
    assert.equal(await alone.isReady(), false);
  });
});

describe('forming', () => {
  test('three nodes form one cluster; a fourth joins through any of them', async (t) => {
    const cluster = await clusterFor(t, 3);
    assert.equal((await clusterIds(cluster.nodes)).size, 1);
    const fourth = await cluster.addition();
    fourth.spawn();
    await fourth.ready();
    assert.match(fourth.output(), /joined/);
    assert.equal((await clusterIds(cluster.nodes)).size, 1);
    await until('all four are members and vote', async () => {
      const view = await cluster.nodes[0].status();
      return view.nodes.length === 4 && view.nodes.every(({ live, role }) => live && role !== 'learner');
    });
    const client = await connect('client', fourth.url);
    const publisher = await connect('publisher', cluster.nodes[0].url);
    await client.join('room');
    await publisher.publish('room', { id: 1 });
    await client.received(1);
  });

  test('--bootstrap alone never forms a cluster; the node joins once one is there', async (t) => {
    const cluster = await Cluster.plan(3);
    t.after(() => cluster.stop());
    const waiting = await cluster.addition();
    waiting.spawn();
    // It cannot be awaited that nothing happens: three times as long as forming takes in the other tests.
    await pace(3_000);
    assert.ok(waiting.alive, waiting.tail());
    assert.equal(await waiting.isReady(), false);
    for (const node of cluster.nodes.slice(0, 3)) node.spawn();
    await cluster.ready();
    assert.equal((await clusterIds(cluster.nodes)).size, 1);
  });

  test('two of three are too few; the third completes them', async (t) => {
    const cluster = await Cluster.plan(3);
    t.after(() => cluster.stop());
    cluster.nodes[0].spawn();
    cluster.nodes[1].spawn();
    await pace(3_000);
    assert.equal(await cluster.nodes[0].isReady(), false);
    assert.equal(await cluster.nodes[1].isReady(), false);
    cluster.nodes[2].spawn();
    await cluster.ready();
    assert.equal((await clusterIds(cluster.nodes)).size, 1);
  });

  test('lists that only overlap: --bootstrap-expect 3 of five nodes forms one cluster', { timeout: 180_000 }, async (t) => {
    const directory = temporaryDirectory();
    const ports = await Promise.all(Array.from({ length: 5 }, portsOfNode));
    const address = (index) => `127.0.0.1:${ports[index % 5].cluster}`;
    const nodes = ports.map((port, index) => planNode(`node-${index + 1}`, directory, port, {
      options: ['--bootstrap', [0, 1, 2, 3, 4].map((step) => address(index + step)).slice(0, 3 + (index % 3)).join(','), '--bootstrap-expect', '3'],
    }));
    const cluster = new Cluster(directory, nodes);
    t.after(() => cluster.stop());
    for (const node of nodes) node.spawn();
    await cluster.ready(120_000);
    assert.equal((await clusterIds(nodes)).size, 1);
  });

  test('kills between start and forming, then restarts: one cluster only', { timeout: 300_000 }, async (t) => {
    for (let round = 0; round < 6; round += 1) {
      const cluster = await Cluster.plan(3);
      t.after(() => cluster.stop());
      for (const node of cluster.nodes) node.spawn();
      // The moments are spread over what starting and forming takes, from "before anything" to "just formed".
      await Promise.all(cluster.nodes.map(async (node, index) => {
        if ((round + index) % 3 === 0) return;
        await pace(30 + ((round * 137 + index * 211) % 700));
        await node.kill();
        node.spawn();
      }));
      await cluster.ready(90_000);
      const formed = await clusterIds(cluster.nodes);
      assert.equal(formed.size, 1, `round ${round}: ${[...formed]}`);
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      await Promise.all(cluster.nodes.map((node) => node.restart()));
      assert.deepEqual(await clusterIds(cluster.nodes), formed);
      await cluster.stop();
    }
  });

  test('certificates of `cert init` make a cluster; a peer of another authority is not let in', { timeout: 180_000 }, async (t) => {
    const directory = temporaryDirectory();
    const ours = path.join(directory, 'ours');
    const theirs = path.join(directory, 'theirs');
    for (const [where, names] of [[ours, ['a,127.0.0.1', 'b,127.0.0.1', 'c,127.0.0.1']], [theirs, ['d,127.0.0.1']]]) {
      const made = await run(['cert', 'init', where, ...names.flatMap((name) => ['--node', name])]);
      assert.equal(made.code, 0, made.stderr);
    }
    const tls = (where, name) => ['--tls-ca', path.join(where, 'ca.pem'), '--tls-cert', path.join(where, name, 'cert.pem'), '--tls-key', path.join(where, name, 'key.pem')];
    assert.equal((await stat(path.join(ours, 'a', 'key.pem'))).mode & 0o077, 0, 'the key is readable for others');
    const cluster = await Cluster.plan(3);
    t.after(() => cluster.stop());
    cluster.nodes.forEach((node, index) => node.args.push(...tls(ours, 'abc'[index])));
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    const intruder = await cluster.addition();
    intruder.args.push(...tls(theirs, 'd'));
    intruder.spawn();
    const naked = await cluster.addition();
    naked.spawn();
    for (const node of [intruder, naked]) {
      await until(`${node.name} ends or names a peer that it cannot join`, () =>
        !node.alive || cluster.nodes.slice(0, 3).some(({ clusterAddr }) => node.output().split('\n').slice(1).join().includes(clusterAddr)));
      assert.equal(await node.isReady(), false);
    }
    assert.equal((await cluster.nodes[0].status()).nodes.length, 3);
  });
});

describe('the quorum', () => {
  test('without it: no publish is acknowledged, ready says why, live stays; with it: all resumes', { timeout: 180_000 }, async (t) => {
    const cluster = await clusterFor(t, 3);
    const [alone, ...others] = cluster.nodes;
    const client = await connect('client', alone.url);
    await client.join('room');
    await client.publish('room', { id: 'before' });
    await client.received(1);
    for (const node of others) await node.kill();
    const answer = await Promise.race([
      client.ask('publish', 'room', 'm', { id: 'in vain' }).catch((error) => [{ error: { code: 'unanswered', message: error.message } }]),
      client.disconnected().then(() => ['let go']),
    ]);
    if (answer[0] !== 'let go') assert.ok(answer[0].error, `acknowledged without a quorum: ${JSON.stringify(answer)}`);
    const ready = await until('ready turns 503', async () => {
      const health = await alone.health('/ready');
      return health.status === 503 && health;
    });
    assert.match(ready.text, /quorum|leader/i, 'the reason is missing');
    assert.equal((await alone.health('/live')).status, 200);
    // Clients of an isolated node are let go, and told nothing that would keep them away.
    await client.disconnected();
    assert.match(client.disconnects[0].reason, /^transport (close|error)$/);
    assert.equal(client.connects.length, 1);
    await others[0].restart();
    await alone.ready();
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    await client.publish('room', { id: 'after' });
    await until('the publish after', () => client.seen.includes('after'));
    const seen = client.seen.filter((id) => id !== 'in vain');
    assert.deepEqual(seen, ['before', 'after']);
    assert.ok(client.seen.length - seen.length <= 1, 'the unacknowledged message came twice');
    await others[1].restart();
    await cluster.leader();
  });

  test('an ack without a quorum is an error after a bounded wait, when the client is not let go before', { timeout: 180_000 }, async (t) => {
    const cluster = await clusterFor(t, 3, { options: ['--isolation-after', '60s'] });
    const [alone, ...others] = cluster.nodes;
    const client = await connect('client', alone.url);
    await client.join('room');
    for (const node of others) await node.kill();
    const [answer] = await client.ask('publish', 'room', 'm', { id: 'in vain' });
    assert.equal(typeof answer?.error?.code, 'string', JSON.stringify(answer));
    assert.equal(typeof answer.error.message, 'string');
    assert.equal(client.disconnects.length, 0);
  });

  test('clients of a node that lost its two peers (frozen) find the majority when it thaws', { timeout: 180_000 }, async (t) => {
    const cluster = await clusterFor(t, 3);
    const leader = await cluster.leader();
    const at = cluster.indexOf(leader);
    const client = await connect('client', [...cluster.urls.slice(at), ...cluster.urls.slice(0, at)]);
    await client.join('room');
    await client.publish('room', { id: 0 });
    await client.received(1);
    const others = cluster.nodes.filter((node) => node !== leader);
    const publisher = await connect('publisher', others[0].url);
    await leader.freeze();
    // The others elect a leader of their own and go on.
    await publisher.publish('room', { id: 1 });
    await until('the frozen node is down for the others', async () => {
      const view = await others[0].status();
      return view.leader && view.leader !== view.nodes.find(({ cluster_addr: address }) => address === leader.clusterAddr)?.id
        && view.nodes.some(({ cluster_addr: address, live }) => address === leader.clusterAddr && !live);
    });
    await publisher.publish('room', { id: 2 });
    leader.signal('SIGCONT');
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    await until('what was missed', () => client.seen.includes(2));
    assert.deepEqual(client.seen, [0, 1, 2]);
    await leader.ready();
    await publisher.publish('room', { id: 3 });
    await until('what came later', () => client.seen.includes(3));
    assert.deepEqual(client.seen, [0, 1, 2, 3]);
  });
});

describe('catching up', () => {
  const publishMany = async (publisher, room, count, filler = '') => {
    for (let done = 0; done < count; done += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => publisher.publish(room, { id: done + index, filler })));
    }
  };

  /** The node has applied what the others have, and delivers. */
  async function assertServes(cluster, node) {
    const target = (await (await cluster.leader()).status()).committed_index;
    await until(`${node.name} has applied ${target}`, async () => (await node.status()).applied_index >= target);
    const client = await connect('late client', node.url);
    const publisher = await connect('late publisher', cluster.nodes.find((other) => other !== node).url);
    await client.join('late');
    await publisher.publish('late', { id: 'served' });
    await client.received(1);
    client.close();
    publisher.close();
  }

  test('a restarted node catches up from the log and serves', async (t) => {
    const cluster = await clusterFor(t, 3);
    const victim = (await cluster.followers())[0];
    const publisher = await connect('publisher', (await cluster.leader()).url);
    await victim.kill();
    await publishMany(publisher, 'room', 300);
    await victim.restart();
    await assertServes(cluster, victim);
  });

  test('a node away for longer than the retained log catches up by a snapshot; its clients lose nothing', { timeout: 240_000 }, async (t) => {
    const cluster = await clusterFor(t, 3, { options: ['--snapshot-entries', '200'] });
    const leader = await cluster.leader();
    const victim = (await cluster.followers())[0];
    const client = await connect('client', victim.url);
    const publisher = await connect('publisher', leader.url);
    await client.join('room');
    await publisher.publish('room', { id: 'first' });
    await client.received(1);
    const before = (await victim.status()).applied_index;
    await victim.kill();
    let published = 0;
    await until('the leader\'s log begins far above what the dead node has', async () => {
      for (let index = 0; index < 100; index += 1) await publisher.publish('room', { id: (published += 1) });
      return (await leader.status()).snapshot_index > before + 400;
    }, { within: 180_000 });
    await victim.restart();
    await assertServes(cluster, victim);
    const metrics = await (await fetch(`${victim.url}/websocket/metrics`)).text();
    const installed = /^vedfolnir_snapshots_installed_total (\d+)$/m.exec(metrics)?.[1];
    assert.ok(Number(installed) >= 1, `vedfolnir_snapshots_installed_total is ${installed}`);
    // The client only knows this node's url: it resumes where its session comes from a snapshot.
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    await until('the last message', () => client.seen.includes(published));
    assert.deepEqual(client.seen, ['first', ...Array.from({ length: published }, (_, index) => index + 1)]);
    client.close();
  });

  test('all nodes restart from snapshot and log', { timeout: 180_000 }, async (t) => {
    const cluster = await clusterFor(t, 3, { options: ['--snapshot-entries', '200'] });
    const client = await connect('client', cluster.urls);
    await client.join('room');
    for (let id = 0; id < 500; id += 1) await client.publish('room', { id });
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    await client.publish('room', { id: 500 });
    await until('the last message', () => client.seen.includes(500));
    assert.deepEqual(client.seen, Array.from({ length: 501 }, (_, id) => id));
  });
});

describe('vedfolnir dev', () => {
  test('--json: one line with the nodes, exact keys, one leader; a dead node is reported and not restarted; SIGINT stops all within 5 s', { timeout: 180_000 }, async (t) => {
    const directory = temporaryDirectory();
    const dev = await Dev.start(3, ['--data-dir', path.join(directory, 'dev')]);
    t.after(() => dev.stop('SIGKILL'));
    assert.deepEqual(Object.keys(dev.ready), ['nodes']);
    assert.equal(dev.nodes.length, 3);
    for (const node of dev.nodes) {
      assert.deepEqual(Object.keys(node).sort(), ['admin_url', 'api_url', 'cluster_addr', 'data_dir', 'id', 'pid', 'role', 'url']);
      assert.match(node.url, /^http:\/\/127\.0\.0\.1:\d+$/);
      assert.ok(isRunning(node.pid));
      assert.ok((await stat(node.data_dir)).isDirectory());
      assert.equal((await fetch(`${node.url}/websocket/health/ready`)).status, 200);
      assert.equal((await fetch(`${node.api_url}/api/v1/openapi.json`)).status, 200);
    }
    assert.deepEqual(dev.nodes.map(({ role }) => role).sort(), ['leader', 'voter', 'voter']);
    assert.equal((await dev.leader()).role, 'leader');
    const client = await connect('client', dev.nodes[0].url);
    await client.join('room');
    await client.publish('room', { id: 1 });
    await client.received(1);
    client.close();

    const victim = dev.nodes.find(({ role }) => role === 'leader');
    await dev.killNode(victim);
    await until('the death is reported', () => dev.stderr.includes(String(victim.pid)));
    const left = dev.nodes.filter((node) => node !== victim);
    assert.notEqual(await dev.leader(), victim);
    // Each of them hears of the new leader in its own time.
    for (const node of left) {
      await until('those that are left serve', async () => (await fetch(`${node.url}/websocket/health/ready`)).status === 200);
    }
    assert.ok(!isRunning(victim.pid));
    assert.equal(dev.exit, undefined);
    const { code, took } = await dev.stop('SIGINT');
    assert.equal(code, 0, dev.stderr);
    assert.ok(took <= 5_000, `stopping took ${took} ms`);
    for (const { pid } of dev.nodes) assert.ok(!isRunning(pid), `${pid} is left`);
    assert.equal(dev.stdout.split('\n').length, 2, 'stdout carries more than the line');

    const again = await Dev.start(3, ['--data-dir', path.join(directory, 'dev')]);
    t.after(() => again.stop('SIGKILL'));
    assert.deepEqual(again.nodes.map(({ id }) => id).sort(), dev.nodes.map(({ id }) => id).sort());
    const stopped = await again.stop('SIGTERM');
    assert.equal(stopped.code, 0);
    assert.ok(stopped.took <= 5_000, `stopping took ${stopped.took} ms`);
    for (const { pid } of again.nodes) assert.ok(!isRunning(pid), `${pid} is left`);
  });

  test('its nodes go with it, also by kill -9', async () => {
    const dev = await Dev.start(1);
    assert.equal(dev.nodes[0].role, 'leader');
    await dev.stop('SIGKILL');
    await until('the node is gone', () => !isRunning(dev.nodes[0].pid));
  });

  test('as text: a table and what to try next', async () => {
    const dev = spawn(BINARY, ['dev', '--nodes', '3'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let stdout = '';
    dev.stdout.on('data', (chunk) => { stdout += chunk; });
    try {
      await until('the table', () => /stop all|Ctrl-C/.test(stdout));
      for (const part of [/http:\/\/127\.0\.0\.1:\d+/, /leader/, /voter/, /kill -9 \d+/, /vedfolnir status/]) assert.match(stdout, part);
    } finally {
      const gone = next(dev, 'exit');
      dev.kill('SIGINT');
      assert.equal((await gone)[0], 0);
    }
  });

  for (const count of ['0', '8', 'some']) {
    test(`--nodes ${count} is refused`, async () => {
      const { code, stdout, stderr } = await run(['dev', '--nodes', count, '--json']);
      assert.notEqual(code, 0);
      assert.equal(stdout, '');
      assert.match(stderr, /^vedfolnir: .*--nodes.*\n$/);
    });
  }
});
