// The drill of docs/backups.md, typed as it stands there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { BINARY, getJson, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { commands } from './support/docs.mjs';
import { InVain, until } from './support/wait.mjs';

test('the drill verifies and restores the newest backup and serves what is in it; a bad one fails it at once', { timeout: 120_000 }, async () => {
  atEnd(closeClients);
  const directory = temporaryDirectory();
  const [location, programs, scratch, key] = ['backups', 'bin', 'tmp', 'backup.key'].map((name) => path.join(directory, name));
  writeFileSync(key, 'a key that only tests have, 32 bytes and more', { mode: 0o600 });
  mkdirSync(programs);
  mkdirSync(scratch);
  symlinkSync(BINARY, path.join(programs, 'vedfolnir'));
  const settings = { WEBSOCKET_BACKUP_LOCATION: location, WEBSOCKET_BACKUP_ENCRYPTION_KEY_FILE: key };
  const node = await startSingle({ env: settings });
  atEnd(() => node.kill());
  const client = await connect('client', node.url);
  await client.join('room');
  await client.publish('room', { id: 1 });
  await client.received(1);
  client.socket.io.reconnection(false);
  client.drop();
  await client.disconnected();
  const made = await fetch(`${node.adminUrl}/backups`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  assert.equal(made.status, 201);
  const { backup_id: id } = await made.json();
  await node.kill('SIGKILL');

  /** The block in a shell that ends with the first command that fails. */
  const drill = () => {
    const shell = spawn('sh', ['-e', '-c', commands('backups.md', 'Drill')], {
      cwd: directory, env: { ...settings, PATH: `${programs}:${process.env.PATH}`, TMPDIR: scratch }, stdio: ['ignore', 'pipe', 'pipe'], detached: true,
    });
    // With the node that it may have started: a group of its own.
    atEnd(() => { if (told.code === null) process.kill(-shell.pid, 'SIGKILL'); });
    const told = { shell, stdout: '', stderr: '', code: null };
    shell.stdout.on('data', (chunk) => { told.stdout += chunk; });
    shell.stderr.on('data', (chunk) => { told.stderr += chunk; });
    told.gone = new Promise((resolve) => shell.once('close', (code) => resolve((told.code = code))));
    return told;
  };
  const told = drill();
  /** The shell's child: the node that it has started. */
  const child = () => Number(readFileSync(`/proc/${told.shell.pid}/task/${told.shell.pid}/children`, 'utf8').trim());
  const [, url] = await until('the restored node serves', () => {
    if (told.code !== null) throw new InVain(`the drill ended with ${told.code}: ${told.stdout}${told.stderr}`);
    return /^ {2}Socket\.IO +(http:\S+)$/m.exec(told.stdout);
  });
  assert.match(told.stdout, new RegExp(`^${id}: valid: true, \\d+ bytes$`, 'm'));
  assert.match(told.stdout, new RegExp(`^status: restored\n${id} of .*: 1 sessions `, 'm'));
  assert.equal((await getJson(`${url}/websocket/health/ready`)).status, 200);
  assert.equal(readdirSync(scratch).length, 1);
  client.urls = [url];
  client.socket.io.uri = url;
  client.socket.connect();
  assert.equal((await client.reconnected()).recovered, true);
  client.close();
  // ^C, which a terminal sends to what runs in front.
  process.kill(child(), 'SIGINT');
  assert.equal(await told.gone, 0, told.stderr);
  assert.deepEqual(readdirSync(scratch), [], 'something of the drill is left');

  const file = path.join(location, `${id}.vfb`);
  const content = readFileSync(file);
  content[content.length >> 1] ^= 1;
  writeFileSync(file, content);
  const failed = drill();
  assert.equal(await failed.gone, 1);
  assert.match(failed.stderr, new RegExp(`not sound: ${id}: `));
  assert.deepEqual(readdirSync(scratch), [], 'something was restored');
});
