// Who is in the cluster: joining with a token, leaving, being removed, being replaced, and what is refused.

import assert from 'node:assert/strict';
import { cp, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Cluster, getJson, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { assertClean, audit, Ledger } from './support/oracle.mjs';
import { Publisher } from './support/publisher.mjs';
import { command } from './support/tls.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

/** The node ends by itself with this code, and says why in one line. */
async function assertRefused(node, pattern, code = 1) {
  if (!node.alive) node.spawn();
  await until(`${node.name} ends`, () => !node.alive);
  const output = node.output();
  assert.deepEqual(node.exit, { code, signal: null }, output);
  const lines = output.split('\n').filter((line) => line.startsWith('vedfolnir: '));
  assert.equal(lines.length, 1, `not one line says why:\n${output}`);
  assert.match(lines[0], pattern);
  assert.doesNotMatch(output, /panicked/);
}

/** A subcommand that must not do what it is asked. */
async function assertSays(args, pattern, code = 1) {
  const result = await run(args);
  assert.equal(result.code, code, JSON.stringify(result));
  const lines = result.stderr.trim().split('\n');
  assert.equal(lines.length, 1, result.stderr);
  assert.match(lines[0], pattern);
}

async function does(args) {
  const { code, stdout, stderr } = await run(args);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

const idOf = async (node) => (await node.status()).node_id;

async function membersAt(node) {
  const { members } = JSON.parse(await does(['members', '--json', '--addr', node.adminUrl]));
  return members;
}

const voters = (members) => members.filter(({ role }) => role !== 'learner').map(({ id }) => id);

const membersAre = (node, what, check) => until(what, async () => check(await membersAt(node)), { every: 100 });

/** Certificates of one authority for nodes of these names. */
async function certificates(...names) {
  const directory = path.join(temporaryDirectory(), 'certificates');
  await does(['cert', 'init', directory, ...names.flatMap((name) => ['--node', `${name},127.0.0.1`])]);
  const options = (name) => [
    '--tls-ca', path.join(directory, 'ca.pem'),
    '--tls-cert', path.join(directory, name, 'cert.pem'),
    '--tls-key', path.join(directory, name, 'key.pem'),
  ];
  return { directory, options, signing: ['--tls-ca-key', path.join(directory, 'ca-key.pem')] };
}

test('a node that knows one seed by its name appears in the status of all nodes, and in none once it has left', { timeout: 180_000 }, async (t) => {
  const cluster = await Cluster.start(3);
  t.after(() => cluster.stop());
  const seed = cluster.nodes[1].clusterAddr.replace('127.0.0.1', 'localhost');
  const added = planNode('added', cluster.directory, await portsOfNode(), { options: ['--bootstrap', seed] });
  t.after(() => added.kill());
  added.spawn();
  await added.ready();
  const id = await idOf(added);
  const everywhere = (what, check) => until(what, async () => {
    const views = await Promise.all(cluster.nodes.map((node) => node.status()));
    return views.every(({ nodes }) => check(nodes.find((node) => node.id === id)));
  });
  await everywhere('all nodes show it', (node) => node?.live && node.standing === 'serving' && node.url === added.url);
  await does(['leave', '--addr', added.adminUrl]);
  assert.deepEqual(await added.gone, { code: 0, signal: null });
  await everywhere('no node shows it', (node) => node === undefined);
});

test('a seed\'s name is looked up again at every attempt', { timeout: 180_000 }, async (t) => {
  const hosts = path.join(temporaryDirectory(), 'hosts');
  // The node sees this file as /etc/hosts, and nobody else does.
  const prefix = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-ec', 'mount --bind "$0" /etc/hosts; exec "$@"', hosts];
  const seedIs = (address) => writeFile(hosts, `127.0.0.1 localhost\n${address} seed.vedfolnir.test\n`);
  await seedIs('127.0.0.2');
  if ((await command(prefix[0], [...prefix.slice(1), 'true'])).code !== 0) return t.skip('this system lets no test have a file system of its own');
  const cluster = await Cluster.start(1);
  t.after(() => cluster.stop());
  const port = cluster.nodes[0].clusterAddr.split(':')[1];
  const added = planNode('added', cluster.directory, await portsOfNode(), { options: ['--bootstrap', `seed.vedfolnir.test:${port}`] });
  t.after(() => added.kill());
  added.prefix = prefix;
  added.spawn();
  await until('nobody answers there', () => /seed\.vedfolnir\.test:\d+.*no valid answer/.test(added.output()), { within: 60_000 });
  assert.equal(await added.isReady(), false);
  await seedIs('127.0.0.1');
  await added.ready();
  assert.deepEqual((await membersAt(cluster.nodes[0])).map(({ id }) => id).sort(), [await idOf(added), await idOf(cluster.nodes[0])].sort());
});

describe('join tokens', () => {
  test('let one node in, once, and only into their own cluster', { timeout: 300_000 }, async (t) => {
    const ours = await certificates('a', 'b', 'c');
    const theirs = await certificates('d');
    const cluster = await Cluster.plan(3);
    t.after(() => cluster.stop());
    cluster.nodes.forEach((node, index) => node.args.push(...ours.options('abc'[index])));
    // Only the first node can sign; the new ones do not know it.
    cluster.nodes[0].args.push(...ours.signing);
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    const [signer, second, third] = cluster.nodes;
    const bootstrap = [second, third].map(({ clusterAddr }) => clusterAddr.replace('127.0.0.1', 'localhost')).join(',');
    const newNode = async (name, options) => {
      const node = planNode(name, cluster.directory, await portsOfNode(), { options: ['--bootstrap', bootstrap, ...options] });
      t.after(() => node.kill());
      return node;
    };

    const token = await does(['token', 'create', '--join', '--data-dir', third.dataDir]);
    assert.match(token, /^vfjoin1_[\w-]+$/);
    const joined = await newNode('joined', ['--join-token', token]);
    joined.spawn();
    await joined.ready();
    assert.match(joined.output(), /joined/);
    const issued = path.join(joined.dataDir, 'tls');
    assert.deepEqual((await readdir(issued)).sort(), ['ca.pem', 'cert.pem', 'key.pem']);
    for (const file of await readdir(issued)) assert.equal((await stat(path.join(issued, file))).mode & 0o777, 0o600, file);
    const client = await connect('client', joined.url);
    await client.join('room');
    await (await connect('publisher', signer.url)).publish('room', { id: 1 });
    await client.received(1);
    // The same command line is a restart.
    await joined.kill();
    await joined.restart();
    assert.match(joined.output(), /restarted/);

    // Used, cut off, no token at all, of another cluster, expired.
    await assertRefused(await newNode('second-user', ['--join-token', token]), /used by another node/);
    await assertRefused(await newNode('cut', ['--join-token', token.slice(0, -1)]), /--join-token .*cut off or mistyped/, 78);
    const file = path.join(temporaryDirectory(), 'token');
    await writeFile(file, 'garbage\n');
    await assertRefused(await newNode('garbage', ['--join-token-file', file]), /--join-token .* in file .*no join token/, 78);
    const stranger = planNode('stranger', temporaryDirectory(), await portsOfNode(), { options: [...theirs.options('d'), ...theirs.signing] });
    t.after(() => stranger.kill());
    stranger.spawn();
    await stranger.ready();
    const foreign = await does(['token', 'create', '--join', '--addr', stranger.adminUrl]);
    await assertRefused(await newNode('foreign', ['--join-token', foreign]), /not of the cluster that the join token is for/);
    const short = await does(['token', 'create', '--join', '--ttl', '1s', '--addr', second.adminUrl]);
    const since = (await second.status()).cluster_time_ms;
    await until('cluster time passes', async () => (await second.status()).cluster_time_ms > since + 1_000);
    await assertRefused(await newNode('late', ['--join-token', short]), /has expired/);
    await assertSays(['token', 'create', '--join', '--ttl', '31d', '--addr', second.adminUrl], /30 days/);

    // Without the node that signs, nobody gets in, but no token is wasted.
    const kept = await does(['token', 'create', '--join', '--addr', second.adminUrl]);
    await signer.kill();
    const patient = await newNode('patient', ['--join-token', kept]);
    patient.spawn();
    await until('the new node says what it waits for', () => /issues a certificate yet/.test(patient.output()));
    await signer.restart();
    await patient.ready();

    assert.equal((await membersAt(second)).length, 5);
    for (const node of [...cluster.nodes, joined, patient]) {
      const log = await readFile(node.log, 'utf8');
      for (const secret of [token, foreign, short, kept]) assert.ok(!log.includes(secret), `a token is in the log of ${node.name}`);
    }
  });

  test('are not made in a cluster without certificates', async (t) => {
    const cluster = await Cluster.start(1);
    t.after(() => cluster.stop());
    await assertSays(['token', 'create', '--join', '--addr', cluster.nodes[0].adminUrl], /no certificates/);
  });
});

describe('removing', () => {
  test('what would hurt is refused; what was removed does not come back', { timeout: 300_000 }, async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    const leader = await cluster.leader();
    const [first, second] = await cluster.followers();
    const [firstId, secondId] = [await idOf(first), await idOf(second)];
    const at = ['--addr', leader.adminUrl];

    await assertSays(['remove', 'no-such-node', ...at], /no member is called/);
    await assertSays(['remove', firstId, ...at], /is alive.*vedfolnir leave/);
    await assertSays(['transfer-leadership', 'ffffffffffffffff', ...at], /is no voter/);
    await assertSays(['remove', firstId, '--addr', '127.0.0.1:1'], /no node answers/);
    const page = await fetch(`${leader.adminUrl}/leave`, { method: 'POST', headers: { origin: 'http://evil.example', 'content-type': 'application/json' }, body: '{}' });
    assert.equal(page.status, 403, 'a web page made the node leave');

    // The leadership goes where it is told to.
    await does(['transfer-leadership', secondId, ...at]);
    assert.equal(await cluster.leader(), second);
    await does(['transfer-leadership', leader.clusterAddr, '--addr', first.adminUrl]);
    assert.equal(await cluster.leader(), leader);

    // One of three is dead: no other may go, not by force, not by itself.
    await first.kill();
    await until('the leader has seen the death', async () => (await membersAt(leader)).find(({ id }) => id === firstId).last_contact_ms > 2_500);
    await assertSays(['remove', secondId, '--force', ...at], /only 1 of 2 voters would be healthy/);
    await assertSays(['leave', '--addr', second.adminUrl], /only 1 of 2 voters would be healthy/);
    assert.equal(await second.isReady(), true, 'the refusal disturbed the node');
    assert.equal((await membersAt(leader)).length, 3);

    // The dead one may, by a prefix of its id; and it stays removed.
    await until('it may be removed', async () => (await run(['remove', firstId.slice(0, 12), ...at])).code === 0);
    await membersAre(leader, 'two members remain', (members) => members.length === 2);
    await does(['remove', firstId, ...at]);
    await assertRefused(first, new RegExp(`node ${firstId} left or was removed`));
    await assertRefused(first, /start it with an empty data directory/);
    assert.equal((await membersAt(leader)).length, 2);

    // By force: the node is alive, is told, and ends; the last one cannot go.
    await does(['remove', secondId, '--force', ...at]);
    await until('the removed node ends', () => !second.alive);
    assert.equal(second.exit.code, 1, second.tail());
    assert.match(second.output(), new RegExp(`node ${secondId} left or was removed`));
    await assertSays(['leave', ...at], /only voter/);
    const client = await connect('client', leader.url);
    await client.join('room');
    await client.publish('room', { id: 1 });
  });

  test('a copy of a data directory is refused, the original goes on', { timeout: 180_000 }, async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    const original = (await cluster.followers())[0];
    const id = await idOf(original);
    await original.kill();
    const directory = temporaryDirectory();
    for (const name of ['copy', 'second copy']) {
      await cp(original.dataDir, path.join(directory, name), { recursive: true, filter: (source) => !source.endsWith('.sock') });
    }
    await original.restart();
    const copied = async (name) => {
      const node = planNode(name, directory, await portsOfNode(), {
        options: ['--bootstrap', cluster.nodes.map(({ clusterAddr }) => clusterAddr).join(',')],
      });
      t.after(() => node.kill());
      return node;
    };
    await assertRefused(await copied('copy'), new RegExp(`${id}.*copy`));
    assert.equal(await original.isReady(), true);

    // While the original is frozen nobody answers at its address; its life is its own all the same.
    await original.freeze();
    await assertRefused(await copied('second copy'), /has seen life .* is a copy/);
    original.signal('SIGCONT');
    await original.ready();
    assert.doesNotMatch(original.output(), /declared down/);
    assert.equal((await membersAt(original)).find((member) => member.id === id).cluster_addr, original.clusterAddr);
  });

  test('a node that comes back at another address is found there, under the same leader', { timeout: 180_000 }, async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    const [node, other] = await cluster.followers();
    const { term, node_id: id } = await node.status();
    await node.kill();
    const addr = `127.0.0.1:${(await portsOfNode()).cluster}`;
    node.args[node.args.indexOf('--cluster-addr') + 1] = addr;
    await node.restart();
    const { members } = JSON.parse(await does(['members', '--json', '--addr', other.adminUrl]));
    assert.equal(members.find((member) => member.id === id).cluster_addr, addr);
    const client = await connect('client', node.url);
    await client.join('room');
    await (await connect('publisher', other.url)).publish('room', { id: 1 });
    await client.received(1);
    assert.equal((await node.status()).term, term, 'it took an election to find it');
  });

  test('a wiped node joins under a new id and never forms', { timeout: 180_000 }, async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    const node = (await cluster.followers())[0];
    const before = await node.status();
    await node.kill();
    node.args[node.args.indexOf('--data-dir') + 1] = path.join(cluster.directory, 'wiped');
    await node.restart();
    const after = await node.status();
    assert.equal(after.cluster_id, before.cluster_id);
    assert.notEqual(after.node_id, before.node_id);
    assert.match(node.output(), /joined/);
  });
});

describe('changes under load', () => {
  test('adding, leaving, removing and replacing nodes loses nothing', { timeout: 600_000 }, async (t) => {
    const options = ['--voters-max', '3', '--replace-after', '6s'];
    const cluster = await Cluster.start(3, { options });
    t.after(() => cluster.stop());
    const added = [await cluster.addition({ options }), await cluster.addition({ options }), await cluster.addition({ options })];
    const rooms = Array.from({ length: 5 }, (_, index) => `room ${index}`);
    const urls = (start) => [...cluster.urls.slice(start), ...cluster.urls.slice(0, start)];
    const clients = await Promise.all(Array.from({ length: 30 }, (_, index) => connect(`client ${index}`, urls(index % 3))));
    await Promise.all(clients.map((client, index) => client.join(rooms[index % rooms.length])));
    const ledger = new Ledger();
    const publishers = await Promise.all([0, 1].map(async (index) => new Publisher(await connect(`p${index}`, urls(index)), ledger, rooms).start(20)));
    const everyone = () => [...clients, ...publishers.map(({ client }) => client)];
    const settled = async (what) => {
      const goal = ledger.acknowledged.length + 40;
      await until(() => `traffic goes on after ${what}`, () => ledger.acknowledged.length >= goal, { within: 120_000 });
      await until(
        () => `all are connected after ${what}; not: ${everyone().filter(({ socket }) => !socket.connected).map(({ name }) => name)}`,
        () => everyone().every(({ socket }) => socket.connected), { within: 120_000 });
      t.diagnostic(`${what}: ${ledger.acknowledged.length} acknowledged`);
    };
    await settled('the start');

    for (const node of added.slice(0, 2)) {
      node.spawn();
      await node.ready();
    }
    const stays = added[0];
    await membersAre(stays, 'five members, three of them voters', (members) => members.length === 5 && voters(members).length === 3);
    // A learner serves clients all the same.
    publishers.push(new Publisher(await connect('p2', urls(3)), ledger, rooms).start(20));
    assert.equal(publishers[2].client.last.url, stays.url);
    await settled('two nodes were added');

    const follower = (await cluster.followers()).find((node) => cluster.nodes.indexOf(node) < 3);
    await does(['leave', '--data-dir', follower.dataDir]);
    assert.deepEqual(await follower.gone, { code: 0, signal: null }, follower.tail());
    await membersAre(stays, 'a learner votes for the one that left', (members) => members.length === 4 && voters(members).length === 3);
    await settled('a follower left');
    await assertRefused(follower, /left or was removed/);

    const leader = await cluster.leader();
    const leaderId = await idOf(leader);
    const remaining = cluster.alive.find((node) => node !== leader);
    // On a busy machine one of them may just have been silent for a moment, and its removal would be refused for it.
    await membersAre(remaining, 'the other voters are heard of', (members) => members
      .filter(({ id, role }) => role !== 'learner' && id !== leaderId)
      .every(({ last_contact_ms: ms }) => ms !== null && ms < 1000));
    await does(['remove', leaderId, '--force', '--addr', remaining.adminUrl]);
    await until('the removed leader ends', () => !leader.alive);
    assert.equal(leader.exit.code, 1);
    await membersAre(remaining, 'three members, all voters', (members) => members.length === 3 && voters(members).length === 3);
    await settled('the leader was removed');

    added[2].spawn();
    await added[2].ready();
    const spare = await idOf(added[2]);
    await membersAre(added[2], 'the new node is a learner', (members) => members.length === 4 && !voters(members).includes(spare));
    const victim = (await cluster.followers()).find((node) => node !== added[2]);
    const victimId = await idOf(victim);
    await victim.kill();
    await membersAre(added[2], 'the learner votes in the place of the dead one', (members) =>
      members.length === 4 && voters(members).length === 3 && voters(members).includes(spare) && !voters(members).includes(victimId));
    await settled('a voter died and was replaced');
    await victim.restart();
    await membersAre(added[2], 'the one that came back is a learner', (members) => {
      const back = members.find(({ id }) => id === victimId);
      return back.live && back.role === 'learner' && voters(members).length === 3;
    });
    await settled('the dead one came back');

    await Promise.all(publishers.map((publisher) => publisher.stop()));
    for (const publisher of publishers) await publisher.fence();
    await until('every client has seen every acknowledged message', () => audit(ledger, clients).lost.length === 0, { every: 250 }).catch(() => {});
    t.diagnostic(`${ledger.acknowledged.length} messages acknowledged, ${ledger.unknown.length} unknown`);
    assertClean(audit(ledger, clients));
    // A learner that is removed while it lives is told so as well.
    await does(['remove', victimId, '--force', '--addr', added[2].adminUrl]);
    await until('the removed learner ends', () => !victim.alive);
    assert.equal(victim.exit.code, 1, victim.tail());
    const { body } = await getJson(`${added[2].adminUrl}/members`);
    for (const member of body.members) assert.ok(member.version && (member.role === 'leader' || member.last_contact_ms !== null), JSON.stringify(member));
  });
});
