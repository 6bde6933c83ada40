// What is shipped for deploying, judged by the programs that read it, and nodes started with it: systemd, Kubernetes, containers.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { BINARY, Cluster, freePort, planNode, portsOfNode, run, temporaryDirectory } from './support/cluster.mjs';
import { command } from './support/tls.mjs';
import { until, within } from './support/wait.mjs';

const DEPLOY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../deploy');
const at = (...names) => path.join(DEPLOY, ...names);
const PYTHON = { PYTHONPATH: process.env.VEDFOLNIR_PYTHONPATH };

/** The documents of a YAML file. */
async function yaml(file) {
  const { code, stdout, stderr } = await command('python3', ['-c', 'import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))'], {
    input: readFileSync(file, 'utf8'), env: PYTHON,
  });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('systemd', () => {
  test('has nothing to say about the unit, and finds it little exposed', async () => {
    const directory = temporaryDirectory();
    const unit = path.join(directory, 'vedfolnir.service');
    writeFileSync(unit, readFileSync(at('vedfolnir.service'), 'utf8').replace('/usr/local/bin/vedfolnir', BINARY));
    const verified = await command('systemd-analyze', ['verify', unit]);
    assert.deepEqual([verified.code, verified.text], [0, '']);
    const { code, text } = await command('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=20', unit]);
    assert.equal(code, 0, text.slice(-500));
  });

  test('makes the user, its group and directories that only they may look into', async (t) => {
    if (process.getuid() !== 0) return t.skip('only root can give files away');
    const root = temporaryDirectory();
    const place = (directory, name) => {
      mkdirSync(path.join(root, directory), { recursive: true });
      cpSync(at(name), path.join(root, directory, 'vedfolnir.conf'));
    };
    place('usr/lib/sysusers.d', 'vedfolnir.sysusers.conf');
    place('usr/lib/tmpfiles.d', 'vedfolnir.tmpfiles.conf');
    mkdirSync(path.join(root, 'etc'));
    for (const [program, ...options] of [['systemd-sysusers'], ['systemd-tmpfiles', '--create']]) {
      const { code, text } = await command(program, [`--root=${root}`, ...options]);
      assert.equal(code, 0, text);
    }
    const [, , uid, gid] = readFileSync(path.join(root, 'etc/passwd'), 'utf8').split('\n').find((line) => line.startsWith('vedfolnir:')).split(':').map(Number);
    const found = (directory) => {
      const { mode, uid: user, gid: group } = statSync(path.join(root, directory));
      return [(mode & 0o7777).toString(8), user, group];
    };
    assert.deepEqual(found('etc/vedfolnir'), ['750', 0, gid]);
    assert.deepEqual(found('etc/ssl/vedfolnir'), ['750', 0, gid]);
    assert.deepEqual(found('var/lib/vedfolnir'), ['700', uid, gid]);
    assert.deepEqual(found('var/log/vedfolnir'), ['750', uid, gid]);
    assert.deepEqual(found('var/backups/vedfolnir/websocket'), ['700', uid, gid]);
  });

  test('hears that a node serves, turns, reads its configuration again, and stops', async () => {
    const directory = temporaryDirectory();
    const socket = path.join(directory, 'notify');
    const supervisor = spawn('python3', [fileURLToPath(new URL('support/notify_socket.py', import.meta.url)), socket], { stdio: ['pipe', 'pipe', 'inherit'] });
    atEnd(() => supervisor.kill());
    const heard = [];
    let rest = '';
    supervisor.stdout.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      heard.push(...lines.map((line) => JSON.parse(line)));
    });
    const count = (line) => heard.filter((text) => text.split('\n').includes(line)).length;
    await until('the supervisor listens', () => heard.includes('bound'));
    const node = planNode('notifying', directory, await portsOfNode(), { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '600000' } });
    node.spawn();
    atEnd(() => node.kill());
    await until('READY=1', () => count('READY=1') === 1);
    assert.ok(await node.isReady(), 'it said so before it served');
    await until('WATCHDOG=1, again and again', () => count('WATCHDOG=1') >= 3);
    node.signal('SIGHUP');
    await until('RELOADING=1, and READY=1 again', () => count('RELOADING=1') === 1 && count('READY=1') === 2);
    const { code } = await node.kill('SIGTERM', 60_000);
    assert.equal(code, 0);
    await until('STOPPING=1', () => count('STOPPING=1') === 1);
    supervisor.stdin.end();
  });
});

describe('Kubernetes', () => {
  const files = readdirSync(at('kubernetes')).filter((name) => /\.yaml(\.example)?$/.test(name));
  let objects;
  let pod;
  let container;
  const object = (kind, name) => objects.find((one) => one.kind === kind && (!name || one.metadata.name === name));
  before(async () => {
    objects = (await Promise.all(files.map((name) => yaml(at('kubernetes', name))))).flat();
    pod = object('StatefulSet').spec.template;
    [container] = pod.spec.containers;
  });

  test('accepts every manifest, strictly', async () => {
    const directory = temporaryDirectory();
    const named = files.map((name) => {
      const file = path.join(directory, name.replace('.example', ''));
      cpSync(at('kubernetes', name), file);
      return file;
    });
    const { code, text } = await command('python3', ['-m', 'kubernetes_validate', '--strict', ...named], { env: PYTHON });
    assert.equal(code, 0, text);
    assert.equal(objects.length, text.match(/ passed /g).length);
  });

  test('is asked for what a node needs: identity, disks, no rights, time to recover and to drain', () => {
    const { spec } = object('StatefulSet');
    assert.deepEqual([spec.replicas, spec.podManagementPolicy], [3, 'Parallel']);
    assert.deepEqual(spec.selector.matchLabels, { app: 'vedfolnir-websocket' });
    assert.equal(pod.metadata.labels.app, 'vedfolnir-websocket');
    assert.equal(object('Service', spec.serviceName).spec.clusterIP, 'None');
    assert.equal(object('Service', spec.serviceName).spec.publishNotReadyAddresses, true);
    assert.deepEqual(object('Service', 'vedfolnir-websocket-service').spec.ports.map(({ port, targetPort }) => [port, targetPort]), [[80, 'http'], [443, 'https']]);
    assert.equal(object('PodDisruptionBudget').spec.maxUnavailable, 1);
    assert.deepEqual([pod.spec.automountServiceAccountToken, object('ServiceAccount').automountServiceAccountToken], [false, false]);
    assert.equal(pod.spec.securityContext.seccompProfile.type, 'RuntimeDefault');
    assert.equal(pod.spec.securityContext.runAsNonRoot, true);
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: { drop: ['ALL'] },
    });
    assert.deepEqual(container.resources, { requests: { memory: '256Mi', cpu: '250m' }, limits: { memory: '512Mi', cpu: '500m' } });
    assert.ok(container.startupProbe.periodSeconds * container.startupProbe.failureThreshold >= 90);
    const { WEBSOCKET_SHUTDOWN_DELAY: delay, WEBSOCKET_DRAIN_TIMEOUT: drain } = object('ConfigMap').data;
    assert.ok(pod.spec.terminationGracePeriodSeconds > parseInt(delay, 10) + parseInt(drain, 10) + 10);
    assert.deepEqual(container.lifecycle.preStop.exec.command, ['/vedfolnir', 'drain']);
    const writable = container.volumeMounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath);
    assert.deepEqual(writable.sort(), ['/tmp', '/var/backups/vedfolnir', '/var/lib/vedfolnir', '/var/log/vedfolnir']);
    assert.ok(!/:latest$/.test(container.image));
  });

  test('starts three nodes with exactly the environment of the manifests, which find each other by their names', async () => {
    const directory = temporaryDirectory();
    const names = [0, 1, 2].map((index) => `vedfolnir-websocket-${index}`);
    // As the README has it; the names of pods are all this machine's.
    const readme = readFileSync(at('kubernetes/README.md'), 'utf8');
    const [, init] = readme.match(/^vedfolnir (cert init .*?)^kubectl/ms);
    const words = init.replaceAll('\\\n', ' ').replaceAll(/,(\S+)\.vedfolnir-websocket-nodes/g, ',$1.vedfolnir-websocket-nodes,localhost').trim().split(/\s+/);
    const made = await run(words, { cwd: directory });
    assert.equal(made.code, 0, made.stderr);
    const { certificate, key } = new Authority().issue('server', { names: 'DNS:ws.example.com' });
    chmodSync(key, 0o640);
    const ports = await Promise.all(names.map(portsOfNode));
    const tls = await Promise.all(names.map(() => freePort()));
    const environment = (index) => {
      const given = { ...object('ConfigMap').data, ...Object.fromEntries(container.env.filter(({ value }) => value).map(({ name, value }) => [name, value])) };
      const here = (text) => names.reduce(
        (whole, name, other) => whole
          .replaceAll(`${name}.vedfolnir-websocket-nodes:5001`, `localhost:${ports[other].cluster}`)
          .replaceAll(`/etc/vedfolnir/cluster/${name}.`, `${directory}/certificates/${name}/`),
        text.replaceAll('$(POD_NAME)', names[index]),
      )
        .replaceAll('/etc/vedfolnir/cluster/ca.pem', `${directory}/certificates/ca.pem`)
        .replaceAll('/var/lib/vedfolnir', path.join(directory, names[index]))
        .replaceAll('/etc/ssl/vedfolnir/tls.crt', certificate)
        .replaceAll('/etc/ssl/vedfolnir/tls.key', key);
      return {
        ...Object.fromEntries(Object.entries(given).map(([name, value]) => [name, here(value)])),
        // Three pods have three addresses; three processes have three ports.
        WEBSOCKET_PORT: String(ports[index].service),
        WEBSOCKET_TLS_PORT: String(tls[index]),
        WEBSOCKET_CLUSTER_ADDR: `0.0.0.0:${ports[index].cluster}`,
        WEBSOCKET_ADMIN_BIND: `127.0.0.1:${ports[index].admin}`,
      };
    };
    const nodes = names.map((name, index) => {
      const node = planNode(name, directory, ports[index], { env: environment(index), dataDir: path.join(directory, name) });
      node.args = container.args;
      return node;
    });
    const cluster = new Cluster(directory, nodes);
    atEnd(() => cluster.stop());
    for (const node of nodes) node.spawn();
    await cluster.ready();
    const status = await nodes[0].status();
    assert.equal(status.members?.length ?? status.nodes?.length, 3, JSON.stringify(status));
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      assert.equal((await fetch(`${nodes[0].url}${probe.httpGet.path}`)).status, 200, probe.httpGet.path);
    }
    assert.equal((await fetch(`${nodes[0].url}${pod.metadata.annotations['prometheus.io/path']}`)).status, 200);
    // What preStop does, in the pod's environment: nobody is left, and nobody new comes.
    const drained = await run(container.lifecycle.preStop.exec.command.slice(1), { env: nodes[0].env });
    assert.equal(drained.code, 0, drained.stderr);
    assert.equal((await fetch(`${nodes[0].url}${container.readinessProbe.httpGet.path}`)).status, 503);
    assert.equal((await fetch(`${nodes[0].url}${container.livenessProbe.httpGet.path}`)).status, 200);
    // A request that is no probe is told to come by HTTPS.
    assert.equal((await fetch(`${nodes[0].url}/`, { redirect: 'manual', headers: { host: 'ws.example.com' } })).status >= 300, true);
  });

  test("serves all paths with nothing but the production document's three variables", async () => {
    const node = planNode('three-variables', temporaryDirectory(), await portsOfNode(), {
      env: { WEBSOCKET_PRODUCTION_MODE: 'true', WEBSOCKET_HEALTH_CHECK_PATH: '/healthz', WEBSOCKET_METRICS_ENDPOINT: '/metrics' },
    });
    node.spawn();
    atEnd(() => node.kill());
    await node.ready();
    for (const there of ['/healthz', '/metrics', '/websocket/health/live', '/websocket/health/ready']) {
      assert.equal((await fetch(`${node.url}${there}`)).status, 200, there);
    }
    // Beside it, in its environment, a probe needs no option: as in a container, or by `kubectl exec`.
    for (const env of [{ WEBSOCKET_DATA_DIR: node.dataDir }, { WEBSOCKET_ADMIN_BIND: new URL(node.adminUrl).host }]) {
      const { code, stdout, stderr } = await run(['healthcheck'], { env });
      assert.deepEqual([code, stdout], [0, 'ok\n'], stderr);
    }
  });
});

describe('containers', () => {
  test('the Dockerfile has no finding', async () => {
    const hadolint = path.join(process.env.VEDFOLNIR_PYTHONPATH, 'bin/hadolint');
    const { code, text } = await command(hadolint, [at('docker/Dockerfile')]);
    assert.deepEqual([code, text], [0, '']);
  });

  test('three nodes are composed of settings that are valid, each with a name, a disk and a port of its own', async () => {
    const [{ services, volumes }] = await yaml(at('docker/compose.yaml'));
    const directory = temporaryDirectory();
    const made = await run(['cert', 'init', path.join(directory, 'certificates'), ...Object.keys(services).flatMap((name) => ['--node', name])]);
    assert.equal(made.code, 0, made.stderr);
    for (const [name, { environment, volumes: mounts, ports }] of Object.entries(services)) {
      const here = Object.entries(environment).map(([variable, value]) => [variable, value.replace('/certificates', path.join(directory, 'certificates'))]);
      const { code, stdout } = await run(['config', 'check'], { env: { WEBSOCKET_PRODUCTION_MODE: 'true', WEBSOCKET_BIND: '0.0.0.0', ...Object.fromEntries(here) } });
      assert.equal(code, 0, `${name}: ${stdout}`);
      assert.equal(environment.WEBSOCKET_SERVER_ID, name);
      assert.ok(mounts.includes(`${name}:/var/lib/vedfolnir`) && name in volumes);
      assert.match(ports[0], /^127\.0\.0\.1:50[012]0:5000$/);
    }
    assert.equal(Object.keys(services).length, 3);
  });
});
