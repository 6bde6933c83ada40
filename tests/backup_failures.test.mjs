// Backups where something goes wrong: no room, a place that cannot be written, a node killed in the middle, nothing sound to start
// from, and a restore under a running node. Each is one clear line, and what was sound stays so.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Cluster, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { compileShim } from './support/shim.mjs';
import { SmallDisk } from './support/small_disk.mjs';
import { until } from './support/wait.mjs';
import { receiver } from './support/webhook.mjs';

/** A node alone that is planned, with its location beside its data. */
async function planned(t, env = {}) {
  const directory = temporaryDirectory();
  const location = path.join(directory, 'backups');
  const node = planNode('node', directory, await portsOfNode(), { env: { WEBSOCKET_BACKUP_LOCATION: location, ...env } });
  t.after(() => node.kill());
  return { node, location, directory };
}

/** Asks the node for a backup in its own location: status and body. */
async function make(node) {
  const response = await fetch(`${node.adminUrl}/backups`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  const text = await response.text();
  return { status: response.status, text, id: response.ok ? JSON.parse(text).backup_id : null };
}

const backup = (location, ...args) => run(['backup', ...args], { env: { WEBSOCKET_BACKUP_LOCATION: location } });

async function isSound(location, id) {
  const { code, stderr } = await backup(location, 'verify', id, '--deep');
  assert.equal(code, 0, stderr);
}

/** Refused: with one line that says why. */
function assertRefused({ code, stderr }, pattern) {
  assert.notEqual(code, 0);
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  assert.match(stderr, pattern);
}

const metric = async (node, series) => {
  const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
  return Number(page.split('\n').find((line) => line.startsWith(`${series} `))?.split(' ').at(-1));
};

/** The last word of a node that could not go on. */
const lastWord = (node) => node.output().split('\n').find((line) => line.startsWith('vedfolnir: ')) ?? '';

describe('a backup', { concurrency: true, timeout: 120_000 }, () => {
  test('without room: one line, old ones as they were, nothing half; with room again the schedule goes on', async (t) => {
    const { messages, url } = await receiver(t);
    const { node, location } = await planned(t, {
      WEBSOCKET_STATE_BACKUP: 'true',
      WEBSOCKET_BACKUP_INTERVAL: '10',
      WEBSOCKET_ALERTING_ENABLED: 'true',
      WEBSOCKET_ALERT_WEBHOOK_URL: url,
      WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
    });
    const disk = await SmallDisk.make(location, '1m');
    if (disk === null) return t.skip('this system lets no test mount a small file system');
    t.after(() => disk.close());
    node.prefix = disk.prefix;
    await node.spawn().ready();
    const listed = async () => (await disk.run('ls')).stdout.split('\n').filter(Boolean).sort();
    await until('the first backup', async () => (await metric(node, 'vedfolnir_backups_total{result="made"}')) === 1);
    await disk.run('cat /dev/zero > filler || true');
    const before = await listed();
    assert.match(before.join(' '), /^filler full_\w+\.vfb full_\w+\.vfb\.sha256$/);

    const refused = await make(node);
    assert.equal(refused.status, 500);
    const line = `Failed to create WebSocket backup: No space left on device (os error 28): ${location}`;
    assert.ok(refused.text.includes(line), refused.text);
    assert.deepEqual(await listed(), before);
    await disk.run('sha256sum -c *.sha256');
    await until('health says so', async () => (await node.health()).body.status === 'degraded');
    const { backups } = await node.status();
    assert.deepEqual([backups.last_error, backups.made], [line, 1]);
    await until('it shows that nothing is free', async () => (await node.status()).backups.free_bytes === 0);
    await until('an alert', () => messages.length === 1);
    const { alert, status, value, threshold, cluster } = messages[0].json;
    assert.deepEqual([alert, status, threshold, cluster], ['backup_failing', 'firing', 0, (await node.status()).cluster_id]);
    assert.ok(value >= 1, `${value} attempts failed`);
    await until('the schedule has tried as well', async () => (await metric(node, 'vedfolnir_backups_total{result="failed"}')) >= 2);
    assert.deepEqual(await listed(), before);
    assert.ok(node.output().includes(line));

    await disk.run('rm filler');
    await until('the next backup', async () => (await metric(node, 'vedfolnir_backups_total{result="made"}')) >= 2);
    await until('the end of the alert', () => messages.length === 2);
    assert.deepEqual([messages[1].json.alert, messages[1].json.status, messages[1].json.value], ['backup_failing', 'resolved', 0]);
    assert.equal(messages[1].json.fingerprint, messages[0].json.fingerprint);
    await until('health is well', async () => (await node.health()).body.status === 'healthy');
    await disk.run('sha256sum -c *.sha256');

    // Another reason, and the same: what the system said, and where.
    await disk.run('mount -o remount,ro .');
    const unwritable = await make(node);
    assert.equal(unwritable.status, 500);
    assert.ok(unwritable.text.includes(`Failed to create WebSocket backup: Read-only file system (os error 30): ${location}`), unwritable.text);
  });

  test('that one leader could not make the next one makes, and ends the alert about it', async (t) => {
    const { messages, url } = await receiver(t);
    const cluster = await Cluster.plan(3, {
      env: {
        WEBSOCKET_STATE_BACKUP: 'true',
        WEBSOCKET_BACKUP_INTERVAL: '10m',
        WEBSOCKET_ALERTING_ENABLED: 'true',
        WEBSOCKET_ALERT_WEBHOOK_URL: url,
        WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
        // A dead leader is another alert, after a while.
        WEBSOCKET_ALERT_NODE_DOWN_AFTER: '10m',
      },
    });
    t.after(() => cluster.stop());
    const locationOf = (node) => path.join(cluster.directory, `backups of ${node.name}`);
    for (const node of cluster.nodes) {
      node.env = { ...node.env, WEBSOCKET_BACKUP_LOCATION: locationOf(node) };
      node.spawn();
    }
    await cluster.ready();
    const leader = await cluster.leader();
    await until('the first backup', async () => (await metric(leader, 'vedfolnir_backups_total{result="made"}')) === 1);
    rmSync(locationOf(leader), { recursive: true });
    writeFileSync(locationOf(leader), 'not a directory');
    assert.equal((await make(leader)).status, 500);
    await until('an alert', () => messages.length > 0);
    const ofAlert = ({ json }) => [json.alert, json.status, json.server_id];
    const { server_id: serverId } = await leader.status();
    assert.deepEqual(ofAlert(messages[0]), ['backup_failing', 'firing', serverId]);
    for (const node of cluster.nodes) {
      await until('it is shown', async () => (await node.status()).alerts.some(({ alert }) => alert === 'backup_failing'));
    }
    await leader.kill('SIGKILL');
    await until('the end of the alert', () => messages.some(({ json }) => json.status === 'resolved'));
    const next = await cluster.leader();
    const ends = messages.filter(({ json }) => json.status === 'resolved');
    assert.deepEqual(ends.map(ofAlert), [['backup_failing', 'resolved', (await next.status()).server_id]]);
    assert.equal(ends[0].json.startsAt, messages[0].json.startsAt);
    assert.equal(await metric(next, 'vedfolnir_backups_total{result="made"}'), 1);
    await isSound(locationOf(next), 'latest');
  });

  test('by hand, into what is no directory: one line, and the node is asked for nothing', async (t) => {
    const { node, location, directory } = await planned(t);
    await node.spawn().ready();
    const file = path.join(directory, 'file');
    writeFileSync(file, 'not a directory');
    const created = await run(['backup', 'create', '--data-dir', node.dataDir], { env: { WEBSOCKET_BACKUP_LOCATION: file } });
    assertRefused(created, /Failed to create WebSocket backup: .*\(os error \d+\): .*\/file$/m);
    assert.equal(readFileSync(file, 'utf8'), 'not a directory');
    assert.equal(existsSync(location), false);
  });

  test('of a node that is killed while it writes: nothing that looks like one is left, and the next one cleans up', async (t) => {
    const { node, location, directory } = await planned(t);
    const hang = path.join(directory, 'hang');
    node.env = { ...node.env, LD_PRELOAD: compileShim('hanging_fsync'), VEDFOLNIR_TEST_HANG_WHILE: hang };
    await node.spawn().ready();
    const { id } = await make(node);
    // The disk takes nothing more: the backup is on its way for as long as the node lives.
    writeFileSync(hang, '');
    const cut = make(node).then(() => 'answered', () => 'cut');
    const unfinished = () => readdirSync(location).filter((name) => name.endsWith('.tmp'));
    await until('a backup is being written', () => unfinished().length === 1);
    await node.kill('SIGKILL');
    assert.equal(await cut, 'cut');
    rmSync(hang);
    assert.equal(unfinished().length, 1);
    const listed = JSON.parse((await backup(location, 'list', '--json')).stdout);
    assert.deepEqual(listed.backups.map(({ backup_id: name }) => name), [id]);
    await isSound(location, 'latest');

    await node.restart();
    const next = await make(node);
    assert.equal(next.status, 201, next.text);
    assert.deepEqual(unfinished(), []);
    assert.match(node.output(), /an unfinished (backup|file) of a process that is gone was removed/);
    for (const each of [id, next.id]) await isSound(location, each);

    // And under a running node nothing is restored, forced or not; it does not even notice.
    for (const more of [[], ['--force'], ['--dry-run']]) {
      const restored = await backup(location, 'restore', 'latest', '--data-dir', node.dataDir, ...more);
      assertRefused(restored, /another process uses it; stop that one or choose another directory/);
    }
    assert.deepEqual(readdirSync(node.dataDir).filter((name) => name.startsWith('before-restore')), []);
    const { cluster_id: before } = await node.status();
    assert.equal((await make(node)).status, 201);
    await node.kill('SIGTERM');
    // Nor over what is there, by itself: the newest backup is for nodes that have nothing.
    node.env = { ...node.env, WEBSOCKET_AUTO_RECOVERY: 'true' };
    await node.restart();
    assert.equal((await node.status()).cluster_id, before);
    assert.doesNotMatch(node.output(), /starts from a backup/);
  });

  test('that is the only kind there is, all of them bad: production ends and names each, development starts empty', async (t) => {
    const { node, location } = await planned(t);
    await node.spawn().ready();
    const ids = [];
    for (let number = 0; number < 4; number += 1) ids.unshift((await make(node)).id);
    await node.kill('SIGKILL');
    const whole = path.join(location, `${ids[3]}.vfb`);
    const content = readFileSync(whole);
    const put = (index, bytes) => writeFileSync(path.join(location, `${ids[index]}.vfb`), bytes);
    const flipped = Buffer.from(content);
    flipped[flipped.length >> 1] ^= 1;
    put(0, flipped);
    put(1, content.subarray(0, -100));
    put(2, '');
    rmSync(node.dataDir, { recursive: true });

    node.env = { ...node.env, WEBSOCKET_AUTO_RECOVERY: 'true', WEBSOCKET_PRODUCTION_MODE: 'true', WEBSOCKET_RECOVERY_RETRIES: '3' };
    for (const life of ['first', 'second']) {
      node.spawn();
      await until(`the ${life} start ends`, () => !node.alive);
      assert.ok(node.exit.code > 0, JSON.stringify(node.exit));
      const word = lastWord(node);
      assert.match(word, new RegExp(`no backup in ${location} can be restored: `), node.tail());
      assert.match(word, new RegExp(`${ids[0]}: it is damaged`));
      assert.match(word, new RegExp(`${ids[1]}: it is truncated`));
      assert.match(word, new RegExp(`${ids[2]}: it is empty`));
      assert.match(word, /WEBSOCKET_AUTO_RECOVERY=false/);
      assert.doesNotMatch(word, new RegExp(`${ids[3]}:`), 'three were to be tried');
    }

    // With one more attempt there is a sound one.
    node.env.WEBSOCKET_RECOVERY_RETRIES = '4';
    await node.restart();
    assert.match(node.output(), /the new cluster starts from a backup/);
    await node.kill('SIGKILL');
    rmSync(node.dataDir, { recursive: true });

    delete node.env.WEBSOCKET_PRODUCTION_MODE;
    node.env.WEBSOCKET_RECOVERY_RETRIES = '3';
    await node.restart();
    assert.match(node.output(), /ERROR.*the new cluster starts empty: no backup in .*it is damaged.*it is truncated.*it is empty/);
  });
});
