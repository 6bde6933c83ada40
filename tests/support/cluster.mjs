// Real vedfolnir processes: start, wait until they serve, kill, freeze, restart with the same command line, clean up.
//
// Only processes started here are ever signalled, by pid.

import { execFile, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { InVain, until, within } from './wait.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BINARY = path.resolve(
  process.env.VEDFOLNIR_BIN ?? path.join(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/vedfolnir'),
);
const KEEP = process.env.VEDFOLNIR_TEST_KEEP;
/** A command that does not end by itself within this time hangs. */
const COMMAND_MS_MAX = 60_000;

const started = new Set();
const directories = new Set();

/** Ends everything that was started here and not ended yet; on any exit of this process. */
export function endAll() {
  for (const pid of started) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  }
  started.clear();
  for (const directory of directories) {
    if (KEEP) process.stderr.write(`kept: ${directory}\n`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
  directories.clear();
}
process.on('exit', endAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => process.exit(128 + os.constants.signals[signal]));
}

export function temporaryDirectory() {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'vedfolnir-e2e-'));
  directories.add(directory);
  return directory;
}

/** The environment of a child: nothing of ours but what a program needs to run. */
const environment = (more = {}) => {
  const kept = Object.entries(process.env).filter(
    ([name]) => ['PATH', 'HOME', 'TMPDIR', 'LANG', 'VEDFOLNIR_PLANTED_BUG'].includes(name) || name.startsWith('LD_'),
  );
  return { ...Object.fromEntries(kept), RUST_BACKTRACE: '1', ...more };
};

const handedOut = new Set();

/**
 * A port that is free for TCP and UDP now. It lies below the range from which the system takes the ports of outgoing
 * connections: a killed node's port must still be free when it restarts, whatever its clients opened in between.
 */
export async function freePort() {
  const [low] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  const first = 10_000;
  const count = Math.max(low - first, 1000);
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    const port = first + Math.floor(Math.random() * count);
    if (!handedOut.has(port) && (await isFree(port))) {
      handedOut.add(port);
      return port;
    }
  }
  throw new Error('no free port was found');
}

async function isFree(port) {
  const server = net.createServer();
  const socket = dgram.createSocket('udp4');
  try {
    server.listen(port, '127.0.0.1');
    socket.bind(port, '127.0.0.1');
    await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
    return true;
  } catch {
    return false;
  } finally {
    if (server.listening) await new Promise((resolve) => server.close(resolve));
    try {
      socket.close();
    } catch {
      // It was never bound.
    }
  }
}

/** Runs a command to its end: { code, signal, stdout, stderr }. */
export async function run(args, { env, timeout = COMMAND_MS_MAX, cwd } = {}) {
  try {
    const { stdout, stderr } = await promisify(execFile)(BINARY, args, { env: environment(env), timeout, cwd, killSignal: 'SIGKILL' });
    return { code: 0, signal: null, stdout, stderr };
  } catch (error) {
    if (error.code === 'ENOENT') throw error;
    return { code: error.code ?? null, signal: error.signal ?? null, stdout: error.stdout, stderr: error.stderr };
  }
}

export async function getJson(url, timeout = 5_000) {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeout) });
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not every answer is JSON; the caller sees the text.
  }
  return { status: response.status, body, text };
}

/** One `vedfolnir start`, or a node of `vedfolnir dev` that is taken over. Emits `exit`. */
export class Node extends EventEmitter {
  #child = null;
  pid = null;
  exit = null;

  /** `prefix`: a program that becomes the node, with its arguments; `binary`: another release. */
  constructor({ name, directory, args, url, adminUrl, clusterAddr, dataDir, env = {}, prefix = [], binary = BINARY }) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { name, args, url, adminUrl, clusterAddr, dataDir, env, prefix, binary });
    this.log = path.join(directory, `${name}.log`);
  }

  /** Starts the process; a later call is a restart with the same command line. */
  spawn() {
    if (this.alive) throw new Error(`${this.name} is running`);
    const log = openSync(this.log, 'a');
    this.logStart = readFileSync(this.log).length;
    const [program, ...args] = [...this.prefix, this.binary, ...this.args];
    const child = spawn(program, args, { env: environment(this.env), stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.exit = null;
    this.pid = child.pid;
    started.add(child.pid);
    this.gone = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        started.delete(child.pid);
        this.exit = { code, signal };
        this.emit('exit', this.exit);
        resolve(this.exit);
      });
    });
    return this;
  }

  get alive() {
    return this.#child !== null && this.exit === null;
  }

  /** What this life has written. */
  output() {
    return readFileSync(this.log, 'utf8').slice(this.logStart);
  }

  tail(lines = 25) {
    return this.output().trimEnd().split('\n').slice(-lines).join('\n');
  }

  health(part = '') {
    return getJson(`${this.url}/websocket/health${part}`);
  }

  async isReady() {
    try {
      return (await this.health('/ready')).status === 200;
    } catch {
      return false;
    }
  }

  async ready(limit = 60_000) {
    try {
      await until(
        `${this.name} is ready`,
        async () => {
          if (!this.alive) throw new InVain(`${this.name} ended: ${JSON.stringify(this.exit)}`);
          return this.isReady();
        },
        { within: limit },
      );
    } catch (error) {
      throw new Error(`${error.message}; the end of its log:\n${this.tail()}`, { cause: error });
    }
    return this;
  }

  signal(signal) {
    process.kill(this.pid, signal);
  }

  /** SIGSTOP, and resolves once every thread has stopped: until then one may still answer. */
  async freeze() {
    this.signal('SIGSTOP');
    const tasks = `/proc/${this.pid}/task`;
    const isStopped = (task) => readFileSync(`${tasks}/${task}/stat`, 'utf8').replace(/^.*\) /s, '')[0] === 'T';
    await until(`${this.name} is frozen`, () => readdirSync(tasks).every(isStopped), { every: 1 });
  }

  /** Sends a signal and resolves with { code, signal } when the process is gone. */
  async kill(signal = 'SIGKILL', limit = 30_000) {
    if (!this.alive) return this.exit;
    this.signal(signal);
    return within(`the end of ${this.name} after ${signal}`, this.gone, limit);
  }

  /** The same command line again, and ready. */
  async restart() {
    this.spawn();
    return this.ready();
  }

  /** `vedfolnir status --json`, through the admin listener. */
  async status() {
    const { code, stdout, stderr } = await run(['status', '--addr', this.adminUrl, '--json']);
    if (code !== 0) throw new Error(`status of ${this.name}: exit ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }
}

/** Several nodes of one cluster. */
export class Cluster {
  constructor(directory, nodes) {
    this.directory = directory;
    this.nodes = nodes;
  }

  /**
   * `count` processes `vedfolnir start --bootstrap … --bootstrap-expect N`, ready.
   * `options`: further arguments; `tune(node index)`: arguments of one node.
   */
  static async start(count = 3, { options = [], env = {}, expect = count, wait = true } = {}) {
    const cluster = await Cluster.plan(count, { options, env, expect });
    for (const node of cluster.nodes) node.spawn();
    if (wait) await cluster.ready();
    return cluster;
  }

  /** The same, not started. */
  static async plan(count, { options = [], env = {}, expect = count } = {}) {
    const directory = temporaryDirectory();
    const ports = await Promise.all(Array.from({ length: count }, portsOfNode));
    const bootstrap = ports.map(({ cluster }) => `127.0.0.1:${cluster}`).join(',');
    const nodes = ports.map((port, index) =>
      planNode(`node-${index + 1}`, directory, port, {
        env,
        options: [...(count > 1 ? ['--bootstrap', bootstrap, '--bootstrap-expect', String(expect)] : []), ...options],
      }),
    );
    return new Cluster(directory, nodes);
  }

  /** One more node, planned to join by any of the others. */
  async addition({ options = [], env = {} } = {}) {
    const bootstrap = this.nodes.map(({ clusterAddr }) => clusterAddr).join(',');
    const node = planNode(`node-${this.nodes.length + 1}`, this.directory, await portsOfNode(), {
      env,
      options: ['--bootstrap', bootstrap, ...options],
    });
    this.nodes.push(node);
    return node;
  }

  get urls() {
    return this.nodes.map(({ url }) => url);
  }

  get alive() {
    return this.nodes.filter(({ alive }) => alive);
  }

  async ready(limit) {
    await Promise.all(this.nodes.map((node) => node.ready(limit)));
    await this.leader();
    return this;
  }

  /** The node that leads, once the living nodes agree on one that lives. */
  leader() {
    return until('the living nodes agree on a leader', async () => {
      const views = await Promise.all(this.alive.map((node) => node.status()));
      const leader = views[0]?.leader;
      if (!leader || views.some((view) => view.leader !== leader)) return null;
      const index = views.findIndex((view) => view.node_id === leader);
      return index < 0 ? null : this.alive[index];
    }, { every: 50 });
  }

  async followers() {
    const leader = await this.leader();
    return this.alive.filter((node) => node !== leader);
  }

  indexOf(node) {
    return this.nodes.indexOf(node);
  }

  /** Ends every node and removes the directory. */
  async stop() {
    await Promise.all(this.nodes.map(async (node) => {
      if (!node.alive) return;
      node.signal('SIGCONT');
      await node.kill('SIGKILL');
    }));
    if (KEEP) return;
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    directories.delete(this.directory);
  }
}

export async function portsOfNode() {
  return { service: await freePort(), cluster: await freePort(), admin: await freePort() };
}

/** A node that is described but not started. */
export function planNode(name, directory, ports, { options = [], env = {}, dataDir = path.join(directory, name) } = {}) {
  return new Node({
    name,
    directory,
    dataDir,
    env,
    url: `http://127.0.0.1:${ports.service}`,
    adminUrl: `http://127.0.0.1:${ports.admin}`,
    clusterAddr: `127.0.0.1:${ports.cluster}`,
    args: [
      'start',
      '--data-dir', dataDir,
      '--port', String(ports.service),
      '--cluster-addr', `127.0.0.1:${ports.cluster}`,
      '--admin-addr', `127.0.0.1:${ports.admin}`,
      ...options,
    ],
  });
}

/** A node alone, started and ready. */
export async function startSingle(options = {}) {
  const directory = temporaryDirectory();
  const node = planNode('node-1', directory, await portsOfNode(), options);
  await mkdir(directory, { recursive: true });
  node.spawn();
  await node.ready();
  return node;
}

/** `vedfolnir dev --json`: the process, its line, and its nodes. */
export class Dev {
  #child;
  nodes = [];

  static async start(count = 3, args = []) {
    const dev = new Dev();
    const child = spawn(BINARY, ['dev', '--nodes', String(count), '--json', ...args], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    dev.#child = child;
    dev.pid = child.pid;
    dev.stdout = '';
    dev.stderr = '';
    started.add(child.pid);
    dev.gone = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        started.delete(child.pid);
        dev.exit = { code, signal };
        resolve(dev.exit);
      });
    });
    child.stderr.on('data', (chunk) => { dev.stderr += chunk; });
    const line = new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        dev.stdout += chunk;
        const end = dev.stdout.indexOf('\n');
        if (end >= 0) resolve(dev.stdout.slice(0, end));
      });
      dev.gone.then((exit) => reject(new Error(`vedfolnir dev ended: ${JSON.stringify(exit)}\n${dev.stderr}`)));
    });
    line.catch(() => {});
    try {
      dev.ready = JSON.parse(await within('the line of vedfolnir dev --json', line, 90_000));
    } catch (error) {
      throw new Error(`${error.message}\n${dev.stderr}`, { cause: error });
    }
    dev.nodes = dev.ready.nodes;
    for (const { pid } of dev.nodes) started.add(pid);
    return dev;
  }

  get urls() {
    return this.nodes.map(({ url }) => url);
  }

  /** kill -9 of one node. */
  async killNode(node) {
    process.kill(node.pid, 'SIGKILL');
    started.delete(node.pid);
    await until(`pid ${node.pid} is gone`, () => !isRunning(node.pid));
  }

  async leader() {
    return until('a living node knows the leader', async () => {
      for (const node of this.nodes) {
        if (!isRunning(node.pid)) continue;
        const { code, stdout } = await run(['status', '--addr', node.admin_url, '--json']);
        const leader = code === 0 ? JSON.parse(stdout).leader : null;
        const found = this.nodes.find(({ id, pid }) => id === leader && isRunning(pid));
        if (found) return found;
      }
      return null;
    });
  }

  /** Sends a signal to the dev process only; resolves with its exit and how long it took. */
  async stop(signal = 'SIGINT') {
    if (this.exit) return { ...this.exit, took: 0 };
    const from = performance.now();
    process.kill(this.pid, signal);
    const exit = await within(`the end of vedfolnir dev after ${signal}`, this.gone, 30_000);
    for (const { pid } of this.nodes) if (!isRunning(pid)) started.delete(pid);
    return { ...exit, took: performance.now() - from };
  }
}

/** Whether a process exists and is no zombie. */
export function isRunning(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The arguments of a running node of `vedfolnir dev`, as its own process: not tied to its supervisor's pipe. */
export function commandOf(pid) {
  const [, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  return args.filter((argument) => argument !== '--exit-with-stdin');
}
