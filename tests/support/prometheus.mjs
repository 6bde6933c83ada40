// Real Prometheus and Alertmanager, promtool, a receiver of Alertmanager's webhooks, and the page that they read.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { freePort, temporaryDirectory } from './cluster.mjs';
import { ask } from './doors.mjs';
import { InVain, until } from './wait.mjs';

/** What Prometheus 2.42 says that it reads. */
export const ACCEPT =
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,' +
  'text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

/** Runs a program of Prometheus to its end: { code, output }. */
export async function tool(program, args, input = '') {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, output };
}

/** A program that serves HTTP until it is stopped. */
class Served {
  #child;

  async start(program, args, directory, port) {
    this.url = `http://127.0.0.1:${port}`;
    this.#child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (chunk) => { output += chunk; });
    this.#child.once('error', (error) => { output += error.message; });
    this.gone = once(this.#child, 'close');
    process.once('exit', () => this.#child.kill('SIGKILL'));
    await until(() => `${program} is ready:\n${output}`, async () => {
      if (this.#child.exitCode !== null) throw new InVain(`${program} ended with ${this.#child.exitCode}:\n${output}`);
      return (await fetch(`${this.url}/-/ready`)).status === 200;
    });
    return this;
  }

  async stop() {
    this.#child.kill('SIGKILL');
    await this.gone;
  }
}

export class Prometheus extends Served {
  /**
   * Scrapes each second. `jobs`: what stands under `scrape_configs`, as objects; `rules`: the text of a file of rules;
   * `alertmanager`: its URL. YAML takes JSON as it is.
   */
  static async start({ jobs, rules, alertmanager }) {
    const directory = temporaryDirectory();
    const port = await freePort();
    writeFileSync(path.join(directory, 'rules.yml'), rules);
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ['rules.yml'],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager).host] }] }] },
      scrape_configs: jobs,
    };
    writeFileSync(path.join(directory, 'prometheus.yml'), JSON.stringify(config));
    const data = path.join(directory, 'data');
    const args = ['--config.file=prometheus.yml', `--storage.tsdb.path=${data}`, `--web.listen-address=127.0.0.1:${port}`];
    return new Prometheus().start('prometheus', args, directory, port);
  }

  async api(what, query = {}) {
    const response = await fetch(`${this.url}/api/v1/${what}?${new URLSearchParams(query)}`);
    const { status, data, error } = await response.json();
    if (status !== 'success') throw new Error(`${what} ${JSON.stringify(query)}: ${error}`);
    return data;
  }

  /** Series of an instant query: [{ metric, value }]. */
  async query(query) {
    const { result, resultType } = await this.api('query', { query });
    if (resultType === 'scalar') return [{ metric: {}, value: Number(result[1]) }];
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** The value of a query with one series; `undefined` while there is none. */
  async value(query) {
    return (await this.query(query))[0]?.value;
  }

  /** Waits until the value is as wanted. */
  async sees(query, wanted) {
    let value;
    await until(() => `${query} is as wanted (it is ${value}; ${wanted})`, async () => {
      value = await this.value(query);
      return value !== undefined && wanted(value);
    }, { every: 100, within: 30_000 });
    return value;
  }
}

export class Alertmanager extends Served {
  /** Sends what fires, and what no longer does, to the webhook, within a second. */
  static async start(webhook) {
    const directory = temporaryDirectory();
    const port = await freePort();
    const config = {
      route: {
        receiver: 'test',
        group_by: ['alertname', 'instance'],
        group_wait: '0s',
        group_interval: '1s',
        repeat_interval: '1h',
      },
      receivers: [{ name: 'test', webhook_configs: [{ url: webhook, send_resolved: true }] }],
    };
    writeFileSync(path.join(directory, 'alertmanager.yml'), JSON.stringify(config));
    const args = [
      '--config.file=alertmanager.yml', `--storage.path=${path.join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`, '--cluster.listen-address=',
    ];
    return new Alertmanager().start('prometheus-alertmanager', args, directory, port);
  }
}

/** Takes Alertmanager's webhooks: `alerts` are all that came, in order. */
export class Receiver {
  alerts = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = http.createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      receiver.alerts.push(...JSON.parse(body).alerts);
      response.end();
    });
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}/`;
    return receiver;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** A node's page: { text, type, samples: Map of `name{labels}` to value, families: Map of name to type }. */
export async function page(node, headers = {}) {
  const { status, text, headers: answered } = await ask(node.url, '/websocket/metrics', { headers });
  if (status !== 200) throw new Error(`the metrics were answered ${status}: ${text.slice(0, 500)}`);
  const samples = new Map();
  const families = new Map();
  for (const line of text.split('\n')) {
    const [, family, kind] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (family) families.set(family, kind);
    const [, sample, value] = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (!sample) continue;
    if (samples.has(sample)) throw new Error(`${sample} is there twice`);
    samples.set(sample, Number(value));
  }
  return { text, type: answered['content-type'], samples, families };
}

/** Does something and resolves with what grew by it, of one family: { 'name{labels}': by how much }. */
export async function grown(node, family, work, headers) {
  const before = (await page(node, headers)).samples;
  await work();
  return since(node, family, before, headers);
}

/** What of a family grew since then. */
export async function since(node, family, before, headers) {
  const { samples } = await page(node, headers);
  const of = [...samples].filter(([sample]) => sample.split('{')[0] === family);
  const differences = of.map(([sample, value]) => [sample, value - (before.get(sample) ?? 0)]);
  return Object.fromEntries(differences.filter(([, difference]) => difference !== 0));
}
