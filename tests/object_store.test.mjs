// Backups in an object store: made, found, verified, pruned and restored there; what cannot be reached is one clear line.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import net from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { freePort, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { ObjectStore } from './support/object_store.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const BUCKET = 'backups';
const PREFIX = 'production/eu';
const LOCATION = `s3://${BUCKET}/${PREFIX}`;
const ROOM = 'backed-up';
/** Several parts of 8 MiB, for nothing is compressed. */
const LARGE = 'x'.repeat(250_000);
const LARGE_COUNT = 72;

describe('an object store', { timeout: 180_000 }, () => {
  let store;
  let env;
  let node;
  before(async () => {
    store = await ObjectStore.start();
    await store.createBucket(BUCKET);
    env = { ...store.env, WEBSOCKET_BACKUP_LOCATION: LOCATION, WEBSOCKET_COMPRESS_BACKUPS: 'false', WEBSOCKET_RECOVERY_WINDOW: '10m', WEBSOCKET_MAX_BACKUP_FILES: '2' };
    node = planNode('node', temporaryDirectory(), await portsOfNode(), { env });
    await node.spawn().ready();
    atEnd(() => node.kill('SIGKILL'));
  });
  const backup = (args, more = {}) => run(['backup', ...args], { env: { ...env, ...more } });
  const json = async (...call) => {
    const { code, stdout, stderr } = await backup(...call);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const refused = async (pattern, args, more, expected = 1) => {
    const { code, stderr } = await backup(args, more);
    assert.equal(code, expected, stderr);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /planted-secret|Signature/);
  };

  test('takes a backup in parts, and a new cluster and its clients go on from there', async () => {
    const client = await connect('client', node.url);
    await client.join(ROOM);
    for (let id = 0; id < LARGE_COUNT; id += 1) await client.publish(ROOM, { id, LARGE });
    await client.received(LARGE_COUNT);
    client.socket.io.reconnection(false);
    client.drop();
    await client.disconnected();

    const created = await json(['create', '--json', '--data-dir', node.dataDir]);
    assert.ok(created.bytes > 2 * (8 << 20), String(created.bytes));
    const name = `${PREFIX}/${created.backup_id}.vfb`;
    assert.deepEqual(await store.keys(BUCKET), [name, `${name}.sha256`]);
    assert.equal(await store.uploads(BUCKET), 0);
    const sha256 = createHash('sha256').update(await store.get(BUCKET, name)).digest('hex');
    assert.equal((await store.get(BUCKET, `${name}.sha256`)).toString(), `${sha256}  ${created.backup_id}.vfb\n`);
    const verified = await json(['verify', 'latest', '--deep', '--json']);
    assert.deepEqual([verified.valid, verified.checksum], [true, sha256]);

    // What was not read back yet is no backup, and foreign objects are none.
    await store.put(BUCKET, `${PREFIX}/full_20300101_000000.vfb`, 'half');
    await store.put(BUCKET, `${PREFIX}/full_20200101_000000.vfb`, 'copied');
    await store.put(BUCKET, `${PREFIX}/notes`, 'foreign');
    await store.put(BUCKET, 'full_20300101_000000.vfb', 'elsewhere');
    const listed = await json(['list', '--json']);
    assert.deepEqual(listed.backups.map(({ backup_id, bytes, verified: known }) => [backup_id, bytes, known]), [[created.backup_id, created.bytes, true]]);
    assert.equal(listed.location, LOCATION);

    await node.kill('SIGKILL');
    node = planNode('another', temporaryDirectory(), await portsOfNode(), { env: { ...env, WEBSOCKET_AUTO_RECOVERY: 'true' } });
    await node.spawn().ready();
    atEnd(() => node.kill('SIGKILL'));
    assert.match(node.output(), new RegExp(`${created.backup_id}.*the new cluster starts from a backup|the new cluster starts from a backup.*${created.backup_id}`));
    client.urls = [node.url];
    client.socket.io.reconnection(true);
    client.socket.io.uri = node.url;
    client.socket.connect();
    assert.equal((await client.reconnected()).recovered, true);
    await client.publish(ROOM, { id: LARGE_COUNT });
    await client.received(LARGE_COUNT + 1);
    assert.deepEqual(client.seen, Array.from({ length: LARGE_COUNT + 1 }, (_, id) => id));
    assert.doesNotMatch(node.output(), /planted-secret/);
  });

  test('keeps as many as it is to, and what is foreign', async () => {
    const make = async () => {
      const answer = await fetch(`${node.adminUrl}/backups`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
      const body = await answer.json();
      assert.equal(answer.status, 201, JSON.stringify(body));
      return body.backup_id;
    };
    const made = [await make(), await make(), await make()];
    const kept = made.slice(1).flatMap((id) => [`${PREFIX}/${id}.vfb`, `${PREFIX}/${id}.vfb.sha256`]);
    const foreign = ['full_20300101_000000.vfb', `${PREFIX}/full_20200101_000000.vfb`, `${PREFIX}/full_20300101_000000.vfb`, `${PREFIX}/notes`];
    assert.deepEqual(await store.keys(BUCKET), [...kept, ...foreign].sort());
    const page = await (await fetch(`${node.adminUrl}/status`)).json();
    assert.equal(page.backups?.location ?? page.backup?.location, LOCATION);
  });

  test('that cannot be reached, does not answer or refuses is one line, and what was begun is gone', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    await refused(/^.*the store 127\.0\.0\.1:\d+ cannot be reached: Connection refused/, ['list'], { WEBSOCKET_BACKUP_S3_ENDPOINT: nobody });
    const dead = net.createServer(() => {}).listen(0, '127.0.0.1');
    atEnd(() => dead.close());
    await once(dead, 'listening');
    const silent = { WEBSOCKET_BACKUP_S3_ENDPOINT: `http://127.0.0.1:${dead.address().port}`, WEBSOCKET_BACKUP_S3_TIMEOUT: '1' };
    await refused(/the store 127\.0\.0\.1:\d+ does not answer within 1 s/, ['create', '--data-dir', node.dataDir], silent);
    await refused(/404 Not Found, NoSuchBucket/, ['list'], { WEBSOCKET_BACKUP_LOCATION: 's3://another-bucket' });
    await refused(/there is no backup full_20190101_000000 in s3:\/\/backups/, ['verify', 'full_20190101_000000']);
    const data = path.join(temporaryDirectory(), 'data');
    await refused(/there is no backup in s3:\/\/backups\/empty/, ['restore', 'latest', '--data-dir', data], { WEBSOCKET_BACKUP_LOCATION: 's3://backups/empty' });
    // The node cannot write what it begins: nothing is left of it in the store.
    const before = await store.keys(BUCKET);
    await refused(/Failed to create WebSocket backup: .*is not the key|its node has no key|it is not encrypted/, ['create', '--data-dir', node.dataDir], { WEBSOCKET_BACKUP_ENCRYPTION_KEY: 'another key, that the node has not at all' });
    assert.deepEqual(await store.keys(BUCKET), before);
    assert.equal(await store.uploads(BUCKET), 0);
  });

  test('that is told of in a wrong way is refused before anything starts', async () => {
    const check = async (pattern, more) => {
      const { code, stdout, stderr } = await run(['config', 'check'], { env: { ...env, ...more } });
      assert.equal(code, 78, stdout + stderr);
      assert.match(stdout + stderr, pattern);
      assert.doesNotMatch(stdout + stderr, /planted-secret/);
    };
    await check(/WEBSOCKET_BACKUP_LOCATION.*names no bucket.*s3:\/\/BUCKET\/PREFIX/, { WEBSOCKET_BACKUP_LOCATION: 's3://' });
    await check(/WEBSOCKET_BACKUP_LOCATION.*prefix/, { WEBSOCKET_BACKUP_LOCATION: 's3://backups/a/../b' });
    await check(/WEBSOCKET_BACKUP_LOCATION.*address of another kind/, { WEBSOCKET_BACKUP_LOCATION: 'ftp://backups/a' });
    await check(/WEBSOCKET_BACKUP_S3_SECRET_KEY.*a location in an object store needs it/, { WEBSOCKET_BACKUP_S3_SECRET_KEY: '' });
    await check(/WEBSOCKET_BACKUP_S3_CA_FILE.*cannot be read/, { WEBSOCKET_BACKUP_S3_ENDPOINT: 'https://store.example', WEBSOCKET_BACKUP_S3_CA_FILE: '/nowhere' });
  });

  test('that stops answering in the middle of a backup keeps nobody from their messages, and the backup ends when it answers again', async () => {
    const told = await run(['config', 'check'], { env });
    assert.equal(told.code, 0, told.stdout + told.stderr);
    assert.match(told.stdout + told.stderr, /WEBSOCKET_BACKUP_S3_ENDPOINT.*without TLS/);
    store.child.kill('SIGSTOP');
    try {
      const order = () => fetch(`${node.adminUrl}/backups`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
      // One of the two is being made and waits for the store, whichever came first; the other is told so.
      const ordered = [order(), order()];
      const { answer, other: posted } = await Promise.race(ordered.map(async (one, index) => ({ answer: await one, other: ordered[1 - index] })));
      assert.match((await answer.json()).error, /being made already/);
      const client = await connect('client meanwhile', node.url);
      await client.join('elsewhere');
      await client.publish('elsewhere', { id: 1 });
      await client.received(1);
      // A new cluster does not wait for the store longer than it is told to; outside production it starts empty then, and says so.
      const empty = planNode('empty', temporaryDirectory(), await portsOfNode(), {
        env: { ...env, WEBSOCKET_AUTO_RECOVERY: 'true', WEBSOCKET_RECOVERY_TIMEOUT: '1' },
      });
      atEnd(() => empty.kill('SIGKILL'));
      await empty.spawn().ready();
      assert.match(empty.output(), /ERROR.*no backup in s3:\/\/backups\/production\/eu can be restored: it could not be read within 1 s \(WEBSOCKET_RECOVERY_TIMEOUT\)/);
      store.child.kill('SIGCONT');
      assert.equal((await posted).status, 201);
    } finally {
      store.child.kill('SIGCONT');
    }
  });
});

describe('an archived log in an object store', { timeout: 120_000 }, () => {
  test('leads on from a backup to the last that was archived', async () => {
    const store = await ObjectStore.start();
    await store.createBucket(BUCKET);
    const env = {
      ...store.env,
      WEBSOCKET_BACKUP_LOCATION: LOCATION,
      WEBSOCKET_STATE_BACKUP: 'true',
      WEBSOCKET_BACKUP_INTERVAL: '3600',
      WEBSOCKET_BACKUP_ARCHIVE_LOG: 'true',
      WEBSOCKET_BACKUP_ARCHIVE_INTERVAL: '1',
      WEBSOCKET_RECOVERY_WINDOW: '10m',
    };
    const node = planNode('node', temporaryDirectory(), await portsOfNode(), { env });
    await node.spawn().ready();
    atEnd(() => node.kill('SIGKILL'));
    const list = async () => {
      const { code, stdout, stderr } = await run(['backup', 'list', '--json'], { env });
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).backups;
    };
    await until('the first backup', async () => (await list()).length === 1);
    const client = await connect('client', node.url);
    await client.join(ROOM);
    for (let id = 0; id < 5; id += 1) await client.publish(ROOM, { id });
    const { applied_index: applied } = await node.status();
    await until('the log is archived', async () => (await list())[0].rolls_forward_to?.raft_index >= applied);
    assert.ok((await store.keys(BUCKET)).some((key) => /^production\/eu\/log_[0-9a-f]+_\d+_\d+\.vfl$/.test(key)));
    client.close();
    await node.kill('SIGKILL');
    const restore = (to) => run(['backup', 'restore', 'latest', ...to, '--dry-run', '--json', '--data-dir', path.join(temporaryDirectory(), 'data')], { env });
    assert.equal(JSON.parse((await restore([])).stdout).messages, 0);
    const { code, stdout, stderr } = await restore(['--to', 'end']);
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).messages, 5);
  });
});
