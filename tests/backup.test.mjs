// Backups: everything is lost and comes back, for the clients too; what is not sound is refused; the schedule goes on. And the
// archived log between them: up to any point, and to the last of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const KEY = 'a key that only tests have, 32 bytes and more';
/** Uid 0 without any capability: permissions hold for it as for everybody. */
const NO_CAPABILITIES = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all'];
const ROOM = 'backed-up';
const ids = (from, to) => Array.from({ length: to - from }, (_, index) => from + index);

async function publish(client, from, to) {
  for (const id of ids(from, to)) await client.publish(ROOM, { id, secret: 'planted-in-a-message' });
}

/** `vedfolnir backup …` with a location. */
const backup = (location, args, { key = KEY, env = {} } = {}) =>
  run(['backup', ...args], { env: { WEBSOCKET_BACKUP_LOCATION: location, ...(key ? { WEBSOCKET_BACKUP_ENCRYPTION_KEY: key } : {}), ...env } });

async function json(...call) {
  const { code, stdout, stderr } = await backup(...call);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** One line says why. */
function assertRefused({ code, stderr }, pattern, expected = 1) {
  assert.equal(code, expected, stderr);
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  assert.match(stderr, pattern);
}

const files = (location) => readdirSync(location).filter((name) => name.endsWith('.vfb')).sort();

async function killAll(cluster) {
  await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));
}

function wipe(cluster) {
  for (const node of cluster.nodes) rmSync(node.dataDir, { recursive: true });
}

/** Without its transport, and not coming back by itself; it keeps its session and its offset. */
async function goAway(client) {
  client.socket.io.reconnection(false);
  client.drop();
  await client.disconnected();
}

describe('a cluster whose every disk is lost', { timeout: 120_000 }, () => {
  const location = path.join(temporaryDirectory(), 'backups');
  let cluster;
  let created;
  before(async () => {
    cluster = await Cluster.start(3, { env: { WEBSOCKET_BACKUP_ENCRYPTION_KEY: KEY, WEBSOCKET_RECOVERY_WINDOW: '10m' } });
    atEnd(() => cluster.stop());
  });

  test('goes on from a backup, and so do its clients: from what both have, and from nothing else', async () => {
    const publisher = await connect('publisher', cluster.urls[0]);
    const missing = await connect('one that misses some', cluster.urls);
    const later = await connect('one that saw more than the backup', cluster.urls);
    for (const client of [missing, later]) await client.join(ROOM);
    await publish(publisher, 0, 5);
    await missing.received(5);
    await goAway(missing);
    await publish(publisher, 5, 10);

    // From any node of the cluster, into the caller's own location.
    const { dataDir, args } = cluster.nodes[1];
    created = await json(location, ['create', '--json', '--data-dir', dataDir]);
    assert.match(created.backup_id, /^full_\d{8}_\d{6}$/);
    assert.equal(created.verified, true);
    const status = await cluster.nodes[0].status();
    assert.equal(created.cluster_id, status.cluster_id);
    assert.ok(created.counts.messages >= 10 && created.counts.sessions === 3, JSON.stringify(created.counts));
    assert.ok(Math.abs(Date.parse(created.timestamp) - Date.now()) < 60_000, created.timestamp);

    await publish(publisher, 10, 12);
    await later.received(12);
    const [old] = later.connects;
    publisher.close();
    await killAll(cluster);
    assertRefused(await backup(location, ['restore', 'latest', '--data-dir', dataDir]), /holds a node's state.*--force/);
    wipe(cluster);
    const dry = await json(location, ['restore', 'latest', '--dry-run', '--json', '--data-dir', dataDir]);
    assert.deepEqual([dry.status, dry.sessions, dry.recovered_connections], ['verified', 3, 2]);
    const restored = await json(location, ['restore', created.backup_id, '--json', '--data-dir', dataDir]);
    assert.equal(restored.status, 'restored');
    assert.notEqual(restored.cluster_id, created.cluster_id);
    assert.ok(args.includes('--bootstrap-expect'), 'they would form a cluster of three');
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    for (const node of cluster.nodes) assert.equal((await node.status()).cluster_id, restored.cluster_id);

    // The new cluster says other things under the numbers that the old one had used.
    const again = await connect('publisher again', cluster.urls[2]);
    await publish(again, 20, 25);
    missing.socket.io.reconnection(true);
    missing.socket.connect();
    const recovered = await missing.reconnected();
    assert.equal(recovered.recovered, true, JSON.stringify(missing.connects));
    assert.equal(recovered.id, missing.connects[0].id);
    await missing.received(15);
    assert.deepEqual(missing.seen, [...ids(0, 10), ...ids(20, 25)]);

    const fresh = await later.reconnected();
    assert.equal(fresh.recovered, false, 'it has seen what the new cluster never had');
    assert.notEqual(fresh.id, old.id);
    assert.deepEqual(later.seen, ids(0, 12), 'nothing is taken for what it is not');
  });

  test('is listed, verified and protected, and every damage to it is found', async () => {
    const listed = await json(location, ['list', '--json']);
    assert.deepEqual(listed.backups.map(({ backup_id, verified, encrypted, about }) => [backup_id, verified, encrypted, about.raft_index]),
      [[created.backup_id, true, true, created.raft_index]]);
    const verified = await json(location, ['verify', 'latest', '--deep', '--json']);
    assert.deepEqual([verified.valid, verified.deep, verified.checksum], [true, true, created.checksum]);
    execFileSync('sha256sum', ['-c', `${created.backup_id}.vfb.sha256`], { cwd: location });

    const [name] = files(location);
    const good = readFileSync(path.join(location, name));
    assert.equal(good.includes('planted-in-a-message'), false);
    assertRefused(await backup(location, ['verify', '--all'], { key: `${KEY}!` }), /is not the key that it was encrypted with/);
    assertRefused(await backup(location, ['verify', '--all'], { key: null }), /it is encrypted, and no key is given/);
    assertRefused(await backup(location, ['verify', '../../etc/passwd']), /is no backup's id/, 78);
    assertRefused(await backup(location, ['verify', 'full_20200101_000000']), /there is no backup full_20200101_000000/);

    const damaged = temporaryDirectory();
    const put = (number, content) => writeFileSync(path.join(damaged, `full_20250101_${String(number).padStart(6, '0')}.vfb`), content);
    for (let number = 0; number < 100; number += 1) {
      const changed = Buffer.from(good);
      changed[Math.floor(Math.random() * changed.length)] ^= 1 << number % 8;
      put(10_000 + Math.floor(number / 60) * 100 + (number % 60), changed);
    }
    put(30_000, good.subarray(0, -1));
    put(30_001, Buffer.alloc(0));
    put(30_002, Buffer.concat([good, Buffer.from('x')]));
    const { code, stdout } = await backup(damaged, ['verify', '--all', '--json']);
    const { backups } = JSON.parse(stdout);
    assert.equal(code, 1);
    assert.equal(backups.length, 103);
    assert.deepEqual(backups.filter(({ valid }) => valid), []);
    const reasons = Object.fromEntries(backups.map(({ backup_id, error }) => [backup_id, error]));
    assert.match(reasons.full_20250101_030000, /truncated/);
    assert.match(reasons.full_20250101_030001, /empty/);
    const target = path.join(damaged, 'data');
    assertRefused(await backup(damaged, ['restore', 'latest', '--data-dir', target]), /full_20250101_030002: it is damaged/);
    assert.deepEqual(readdirSync(damaged).filter((entry) => entry === 'data'), [], 'nothing was begun');
  });
});

/** Where the archived log leads from the newest backup, once that is at or behind a node's position. */
async function archivedUpTo(location, node, options) {
  const { applied_index: applied } = await node.status();
  return until(`the log is archived up to ${applied}`, async () => {
    const end = (await json(location, ['list', '--json'], options)).backups[0]?.rolls_forward_to;
    return end && end.raft_index >= applied ? end : null;
  });
}

/** A client that went away comes back to other nodes. */
async function comeBack(client, urls) {
  // It may have come back before, from a node that was killed.
  const next = client.connects.length + 1;
  client.urls = [urls].flat();
  client.socket.io.uri = client.url;
  client.socket.io.reconnection(true);
  client.socket.connect();
  return client.connected(next);
}

describe('a cluster whose log is archived', { timeout: 120_000 }, () => {
  const location = path.join(temporaryDirectory(), 'backups');
  const env = {
    WEBSOCKET_STATE_BACKUP: 'true',
    WEBSOCKET_BACKUP_INTERVAL: '3600',
    WEBSOCKET_BACKUP_LOCATION: location,
    WEBSOCKET_BACKUP_ENCRYPTION_KEY: KEY,
    WEBSOCKET_BACKUP_ARCHIVE_LOG: 'true',
    WEBSOCKET_BACKUP_ARCHIVE_INTERVAL: '1',
    WEBSOCKET_RECOVERY_WINDOW: '10m',
  };
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3, { env });
    atEnd(() => cluster.stop());
  });

  test('comes back as it was at any point, and at the last one that was archived', async () => {
    const publisher = await connect('publisher', cluster.urls);
    const [early, late, ahead] = await Promise.all(['early', 'late', 'ahead'].map((name) => connect(name, cluster.urls)));
    for (const client of [early, late, ahead]) await client.join(ROOM);
    await publish(publisher, 0, 5);
    await Promise.all([early, late, ahead].map((client) => client.received(5)));
    await goAway(early);
    const first = await until('the first backup', async () => (await json(location, ['list', '--json'])).backups[0]);
    await publish(publisher, 5, 10);
    await late.received(10);
    await goAway(late);
    const point = (await cluster.nodes[0].status()).applied_index;
    const then = await archivedUpTo(location, cluster.nodes[0]);

    // Whoever leads next goes on; the one that is gone had archived nothing of this.
    const leader = await cluster.leader();
    await leader.kill('SIGKILL');
    await cluster.leader();
    await publish(publisher, 10, 15);
    await ahead.received(15);
    const [survivor] = cluster.alive;
    const { applied_index: last } = await survivor.status();
    const end = await archivedUpTo(location, survivor);
    assert.ok(end.raft_index >= last && Date.parse(end.timestamp) > Date.parse(then.timestamp));
    const page = await (await fetch(`${(await cluster.leader()).url}/websocket/metrics`)).text();
    assert.match(page, /^vedfolnir_backup_archive_segments_total\{result="made"\} [1-9]/m);
    assert.match(page, /^vedfolnir_backup_archive_timestamp_seconds 1\d{9}/m);
    const { backups } = await (await cluster.leader()).status();
    assert.ok(backups.archive.raft_index >= last && backups.archive.error === null, JSON.stringify(backups));
    const text = (await run(['status', '--addr', (await cluster.leader()).adminUrl])).stdout;
    assert.match(text, /^backups +every 3600 s, into \/.*; newest /m);
    assert.match(text, /^archived log +every 1 s, up to \d+, applied at 20\d\d-\S+Z$/m);
    await goAway(ahead);
    publisher.close();
    await killAll(cluster);
    wipe(cluster);

    const { dataDir } = cluster.nodes[0];
    const restore = (id, to, more = []) => backup(location, ['restore', id, '--to', String(to), '--json', '--data-dir', dataDir, ...more]);
    assertRefused(await restore('latest', first.about.raft_index - 1), /is before the oldest backup.*full_/);
    assertRefused(await restore('latest', '2020-01-01T00:00:00Z'), /2020-01-01T00:00:00.000Z is before the oldest/);
    assertRefused(await restore(first.backup_id, 99_999_999), /log index 99999999 is behind the end of the archived log: .* to log index \d+, 20/);
    assertRefused(await restore('latest', 'yesterday'), /--to "yesterday" is none; accepted/, 78);
    const dry = async (to) => JSON.parse((await restore('latest', to, ['--dry-run'])).stdout);
    assert.equal((await dry(then.timestamp)).raft_index, then.raft_index, 'a time is what had been applied by then');
    const whole = await dry('end');
    assert.deepEqual([whole.status, whole.messages], ['verified', 15]);
    assert.ok(whole.raft_index >= last && whole.log_entries > 0 && whole.duration_ms >= 0, JSON.stringify(whole));
    assert.deepEqual(readdirSync(cluster.directory).filter((name) => name === path.basename(dataDir)), [], 'nothing was written');

    // Up to a point: what was said by then, and nothing else.
    const single = planNode('point', cluster.directory, await portsOfNode(), { env: { ...env, WEBSOCKET_STATE_BACKUP: 'false', WEBSOCKET_BACKUP_ARCHIVE_LOG: 'false' } });
    const restored = await json(location, ['restore', 'latest', '--to', String(point), '--json', '--data-dir', single.dataDir]);
    assert.deepEqual([restored.status, restored.raft_index, restored.messages], ['restored', point, 10]);
    await single.spawn().ready();
    atEnd(() => single.kill('SIGKILL'));
    assert.equal((await comeBack(early, single.url)).recovered, true);
    await early.received(10);
    assert.equal((await comeBack(ahead, single.url)).recovered, false, 'it has seen what is not there');
    const again = await connect('publisher of the point', single.url);
    await publish(again, 100, 101);
    await early.received(11);
    assert.deepEqual(early.seen, [...ids(0, 10), 100]);

    // To the end: everything that was archived, and so everything that was acknowledged.
    const all = JSON.parse((await restore('latest', 'end')).stdout);
    assert.deepEqual([all.status, all.raft_index, all.messages], ['restored', whole.raft_index, 15]);
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    assert.equal((await comeBack(late, cluster.urls)).recovered, true, JSON.stringify(late.connects));
    await late.received(15);
    assert.deepEqual(late.seen, ids(0, 15));
    // It has a log of its own, under another cluster's name in the same place, and a backup at once.
    const next = await until('the new cluster archives', async () => {
      const { backups: listed } = await json(location, ['list', '--json']);
      return listed[0].about.cluster_id === all.cluster_id && listed[0].rolls_forward_to ? listed : null;
    });
    assert.equal(next.length, 2);
  });

  test('has pieces of the log that are verified like backups', async () => {
    await killAll(cluster);
    const verified = await json(location, ['verify', '--all', '--json']);
    assert.ok(verified.segments.length > 1 && verified.segments.every(({ valid }) => valid), JSON.stringify(verified));
    const name = readdirSync(location).filter((file) => file.endsWith('.vfl')).sort()[0];
    const file = path.join(location, name);
    const content = readFileSync(file);
    assert.equal(content.includes('planted-in-a-message'), false);
    content[content.length >> 1] ^= 1;
    writeFileSync(file, content);
    assertRefused(await backup(location, ['verify', '--all']), new RegExp(`not sound: ${path.parse(name).name}: it is damaged`));
    assertRefused(await backup(location, ['verify', '--all'], { key: `${KEY}!` }), /is not the key that it was encrypted with/);
  });
});

describe('a schedule', { timeout: 120_000 }, () => {
  const location = path.join(temporaryDirectory(), 'backups');
  const env = {
    WEBSOCKET_STATE_BACKUP: 'true',
    WEBSOCKET_BACKUP_INTERVAL: '10',
    WEBSOCKET_BACKUP_LOCATION: location,
    WEBSOCKET_MAX_BACKUP_FILES: '2',
    WEBSOCKET_AUTO_RECOVERY: 'true',
    WEBSOCKET_COMPRESS_BACKUPS: 'false',
    WEBSOCKET_BACKUP_ARCHIVE_LOG: 'true',
    WEBSOCKET_BACKUP_ARCHIVE_INTERVAL: '1',
    WEBSOCKET_RECOVERY_WINDOW: '10m',
  };
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3, { env });
    atEnd(() => cluster.stop());
  });
  const made = async () => (await json(location, ['list', '--json'], { key: null })).backups;
  const count = async (wanted) => until(`${wanted} backups`, async () => (await made()).length >= wanted);

  test('is kept by the leader alone, also by the next one; then a new cluster starts from the newest sound one', async () => {
    const client = await connect('client', cluster.urls);
    await client.join(ROOM);
    await publish(client, 0, 3);
    await client.received(3);
    await goAway(client);
    const leader = await cluster.leader();
    await count(1);
    const first = (await made()).at(-1);
    assert.equal(first.about.server_id, (await leader.status()).server_id);
    // By hand there is one at a time as well; it is no duty of the leader's.
    const [follower] = await cluster.followers();
    const post = () => fetch(`${follower.adminUrl}/backups`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    const answers = await Promise.all(Array.from({ length: 5 }, post));
    const codes = answers.map(({ status }) => status).sort();
    assert.equal(codes[0], 201);
    assert.ok(codes.slice(1).every((code) => code === 201 || code === 409), String(codes));
    const page = await (await fetch(`${leader.url}/websocket/metrics`)).text();
    assert.match(page, /^vedfolnir_backups_total\{result="made"\} [1-9]/m);
    assert.match(page, /^vedfolnir_backup_last_success_timestamp_seconds 1\d{9}$/m);

    await leader.kill('SIGKILL');
    await until('the next leader makes one', async () => {
      const newest = (await made())[0];
      return newest.about.raft_index > first.about.raft_index && newest.about.server_id !== first.about.server_id
        && Date.parse(newest.about.timestamp) >= Date.parse(first.about.timestamp) + 10_000;
    }, { within: 60_000 });
    await until('two are kept', async () => (await made()).length === 2);
    const publisher = await connect('publisher', cluster.alive[0].url);
    await publish(publisher, 3, 4);
    publisher.close();
    await archivedUpTo(location, cluster.alive[0], { key: null });

    await killAll(cluster);
    wipe(cluster);
    const [newest, older] = await made();
    const file = path.join(location, `${newest.backup_id}.vfb`);
    const content = readFileSync(file);
    content[content.length >> 1] ^= 1;
    writeFileSync(file, content);
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    const outputs = cluster.nodes.map((node) => node.output());
    assert.equal(outputs.filter((output) => output.includes('the new cluster starts from a backup')).length, 1);
    const output = outputs.find((text) => text.includes('the new cluster starts from a backup'));
    assert.match(output, new RegExp(`${newest.backup_id}: it is damaged`));
    assert.match(output, new RegExp(older.backup_id));
    client.socket.io.reconnection(true);
    client.socket.connect();
    assert.equal((await client.reconnected()).recovered, true);
    await client.received(4);
    await publish(client, 4, 5);
    await client.received(5);
    assert.deepEqual(client.seen, ids(0, 5), 'the log leads on from an older backup to what came after the damaged one');
  });

  test('that cannot write says so in one line, to everybody who looks', async () => {
    const directory = temporaryDirectory();
    const locked = path.join(directory, 'backups');
    mkdirSync(locked, { mode: 0o700 });
    const node = planNode('node', directory, await portsOfNode(), { env: { ...env, WEBSOCKET_BACKUP_LOCATION: locked } });
    node.prefix = NO_CAPABILITIES;
    await node.spawn().ready();
    atEnd(() => node.kill('SIGKILL'));
    // Its name is there before its checksum is: the node says when it is done with it.
    await until('a backup', async () => /^vedfolnir_backups_total\{result="made"\} 1$/m.test(
      await (await fetch(`${node.url}/websocket/metrics`)).text()));
    chmodSync(locked, 0o500);
    const line = `Failed to create WebSocket backup: Permission denied (os error 13): ${locked}`;
    await until('it is logged', () => node.output().includes(line), { within: 60_000 });
    const health = await until('health says so', async () => {
      const { body } = await node.health();
      return body.status === 'degraded' ? body : null;
    });
    assert.equal(health.status, 'degraded');
    const detailed = await (await fetch(`${node.adminUrl}/websocket/health`)).json();
    if (detailed.checks) assert.equal(detailed.checks.backup.message, line);
    const text = (await run(['status', '--addr', node.adminUrl])).stdout;
    assert.match(text, /^backups +every 10 s, into \/.*; newest 20\S+Z; the last one failed: .*Permission denied/m);
    const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
    assert.match(page, /^vedfolnir_backups_total\{result="failed"\} [1-9]/m);
    assert.equal(files(locked).length, 1, 'the old one is there, and nothing else');
    chmodSync(locked, 0o700);
    await until('it is well again', async () => (await node.health()).body.status === 'healthy', { within: 60_000 });
    await node.kill('SIGKILL');
    // What a kill leaves in the middle of one is gone with the next.
    writeFileSync(path.join(locked, 'full_20250101_000000.vfb.tmp'), 'half');
    copyFileSync(path.join(locked, files(locked)[0]), path.join(locked, 'notes'));
    await node.restart();
    await until('the remains are removed', () => !readdirSync(locked).some((name) => name.endsWith('.vfb.tmp')), { within: 60_000 });
    assert.ok(readdirSync(locked).includes('notes'), 'what is foreign stays');
  });

  test('with a place that is none is refused before anything starts', async () => {
    const check = (more) => run(['config', 'check'], { env: { WEBSOCKET_STATE_BACKUP: 'true', ...more } });
    const missing = await check({});
    assert.equal(missing.code, 78);
    assert.match(missing.stdout + missing.stderr, /WEBSOCKET_STATE_BACKUP.*there is no place for backups/);
    const short = await check({ WEBSOCKET_BACKUP_LOCATION: location, WEBSOCKET_BACKUP_ENCRYPTION_KEY: 'hunter2' });
    assert.equal(short.code, 78);
    assert.match(short.stdout + short.stderr, /WEBSOCKET_BACKUP_ENCRYPTION_KEY.*too few for a key/);
    assert.doesNotMatch(short.stdout + short.stderr, /hunter2/);
  });
});
