// The container image of deploy/docker, built by buildah on a base of Debian packages, and what is in it. No image is pulled: the
// program is the one under test. `make image-test`; skipped, loudly, where buildah or mmdebstrap is missing.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { atEnd } from '../support/cleanup.mjs';
import { BINARY, freePort, getJson, portsOfNode, temporaryDirectory } from '../support/cluster.mjs';
import { until } from '../support/wait.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const BASE = 'localhost/vedfolnir-test-base';
const IMAGE = 'localhost/vedfolnir-test';
/** What the node links against, and nothing else. */
const PACKAGES = 'libc6,libgcc-s1,libstdc++6';
const BYTES_MAX = 60_000_000;

const missing = ['buildah', 'mmdebstrap', 'unshare'].filter((program) => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return false;
  } catch {
    return true;
  }
});
const skip = missing.length > 0 ? `SKIPPED, NOT TESTED: ${missing.join(', ')} missing` : process.getuid() !== 0 ? 'SKIPPED, NOT TESTED: not root' : false;

describe('the image', { skip }, () => {
  let config;
  let root;
  let store;
  const buildah = (...args) =>
    execFileSync('buildah', ['--root', path.join(store, 'root'), '--runroot', path.join(store, 'run'), '--storage-driver', 'vfs', ...args], {
      env: { ...process.env, BUILDAH_ISOLATION: 'chroot' }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();

  before(() => {
    store = temporaryDirectory();
    const base = path.join(store, 'base.tar');
    execFileSync('mmdebstrap', ['--quiet', '--variant=extract', `--include=${PACKAGES}`, '--dpkgopt=path-exclude=/usr/share/*', 'bookworm', base], { stdio: 'inherit' });
    const empty = buildah('from', 'scratch');
    buildah('add', empty, base, '/');
    buildah('commit', '--quiet', empty, BASE);
    buildah('rm', empty);
    // The context as the repository's is, with a program that was built before.
    const context = path.join(store, 'context');
    mkdirSync(path.join(context, 'deploy'), { recursive: true });
    cpSync(path.join(ROOT, 'deploy/docker'), path.join(context, 'deploy/docker'), { recursive: true });
    cpSync(path.join(ROOT, '.dockerignore'), path.join(context, '.dockerignore'));
    execFileSync('strip', ['--strip-debug', '-o', path.join(context, 'deploy/docker/vedfolnir'), BINARY]);
    buildah('build', '--quiet', '--format=docker', '--pull-never', '--build-arg', 'PROGRAM=prebuilt', '--build-arg', `RUNTIME_IMAGE=${BASE}`,
      '--build-arg', `BUILD_IMAGE=${BASE}`, '-f', path.join(context, 'deploy/docker/Dockerfile'), '-t', IMAGE, context);
    const container = buildah('from', '--pull-never', IMAGE);
    config = JSON.parse(buildah('inspect', '--type', 'image', IMAGE)).Docker.config;
    root = buildah('mount', container);
    atEnd(() => buildah('umount', container));
  });

  test('says what it is: who runs it, its environment, ports, check and end', () => {
    assert.equal(config.User, '65532:65532');
    const environment = Object.fromEntries(config.Env.map((line) => line.split(/=(.*)/s)));
    assert.equal(environment.WEBSOCKET_PRODUCTION_MODE, 'true');
    assert.equal(environment.WEBSOCKET_LOG_FILE, '/var/log/vedfolnir/websocket.log');
    assert.equal(environment.WEBSOCKET_BACKUP_LOCATION, '/var/backups/vedfolnir/websocket');
    assert.deepEqual(Object.keys(config.ExposedPorts), ['5000/tcp']);
    const seconds = (nanoseconds) => nanoseconds / 1e9;
    const { Test: check, Interval: interval, Timeout: timeout, StartPeriod: start, Retries: retries } = config.Healthcheck;
    assert.deepEqual([check, seconds(interval), seconds(timeout), seconds(start), retries], [['CMD', '/vedfolnir', 'healthcheck'], 30, 5, 30, 3]);
    assert.deepEqual([config.Entrypoint, config.Cmd, config.StopSignal], [['/vedfolnir'], ['start'], 'SIGTERM']);
  });

  test('has neither shell nor curl, directories of its user, and a bounded size', () => {
    const list = execFileSync('find', [root, '-xdev', '-type', 'f', '-printf', '%s %P\n'], { encoding: 'utf8' }).trim().split('\n');
    const names = list.map((line) => line.slice(line.indexOf(' ') + 1));
    assert.deepEqual(names.filter((name) => /(^|\/)(sh|bash|dash|curl|apt)$/.test(name)), []);
    const bytes = list.reduce((sum, line) => sum + Number(line.split(' ')[0]), 0);
    // A debug build has its checks and no optimisation: the bound is for what users get.
    if (/release/.test(BINARY) || process.env.VEDFOLNIR_RELEASE) assert.ok(bytes < BYTES_MAX, `${bytes} bytes`);
    for (const directory of ['var/lib/vedfolnir', 'var/log/vedfolnir', 'var/backups/vedfolnir/websocket']) {
      const { uid, gid } = statSync(path.join(root, directory));
      assert.deepEqual([uid, gid], [65532, 65532], directory);
    }
    assert.equal(statSync(path.join(root, 'vedfolnir')).uid, 0);
  });

  test('runs as its user on a root that cannot be written to, is found healthy by its own check, is backed up into its volume, and ends when it is told to', async () => {
    const ports = { ...(await portsOfNode()), tls: await freePort() };
    // What a container's runtime does: a root of its own, read-only, its volumes on top; then the image's user and environment.
    const volumes = ['var/lib/vedfolnir', 'var/log/vedfolnir', 'var/backups/vedfolnir'];
    const script = [
      'set -e',
      `mount --bind ${root} ${root}`,
      ...volumes.map((directory) => `mount -t tmpfs -o uid=65532,gid=65532,mode=0700 tmpfs ${root}/${directory}`),
      `mkdir -p ${root}/proc && mount -t proc proc ${root}/proc`,
      `mount -o remount,bind,ro ${root}`,
      `exec chroot --userspec=65532:65532 ${root} /vedfolnir start`,
    ];
    const environment = [
      ...config.Env.filter((line) => !line.startsWith('PATH=')),
      `WEBSOCKET_PORT=${ports.service}`, `WEBSOCKET_CLUSTER_ADDR=127.0.0.1:${ports.cluster}`, `WEBSOCKET_ADMIN_BIND=127.0.0.1:${ports.admin}`, 'WEBSOCKET_LOG_FILE=-',
    ];
    const node = spawn('unshare', ['--mount', 'env', '-i', `PATH=${process.env.PATH}`, ...environment, 'sh', '-c', script.join('\n')], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [node.stdout, node.stderr]) stream.on('data', (chunk) => { output += chunk; });
    const gone = new Promise((resolve) => node.once('close', (code, signal) => resolve({ code, signal })));
    atEnd(() => node.kill('SIGKILL'));
    await until(() => `the node is ready:\n${output}`, async () => (await getJson(`http://127.0.0.1:${ports.service}/websocket/health/ready`)).status === 200);
    const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
    assert.match(status, /^Uid:\s+65532\s+65532/m);
    // As in the node's own container: its root, its user, its environment.
    const inside = (...command) => execFileSync('nsenter', ['--target', String(node.pid), '--mount', `--root=/proc/${node.pid}/root`, '--setuid', '65532', '--setgid', '65532',
      ...command], { env: Object.fromEntries(environment.map((line) => line.split(/=(.*)/s))), encoding: 'utf8' });
    assert.equal(inside(...config.Healthcheck.Test.slice(1)), 'ok\n');
    const { backup_id: id, verified } = JSON.parse(inside('/vedfolnir', 'backup', 'create', '--json'));
    assert.equal(verified, true);
    assert.deepEqual(JSON.parse(inside('/vedfolnir', 'backup', 'list', '--json')).backups.map(({ backup_id: name }) => name), [id]);
    node.kill('SIGTERM');
    assert.deepEqual(await gone, { code: 0, signal: null }, output.slice(-2_000));
  });
});
