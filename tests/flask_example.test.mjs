// examples/flask: an application on Flask-SocketIO and its port, driven by the same official clients, which must see the same.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { atEnd } from './support/cleanup.mjs';
import { Cluster, freePort, run } from './support/cluster.mjs';
import { ask } from './support/doors.mjs';
import { InVain, until } from './support/wait.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const EXAMPLE = path.join(HERE, '../examples/flask');
const SECRET = 'planted-backend-0123456789abcdef';
const TOKEN = 'planted-api-admin-0123456789';
const PYTHON = {
  ...process.env,
  SECRET_KEY: 'planted-flask-0123456789abcdef',
  PYTHONPATH: `${path.join(HERE, '../deploy/clients/python/src')}:${process.env.VEDFOLNIR_PYTHONPATH}`,
  PYTHONDONTWRITEBYTECODE: '1',
};

/** One of the two programs, serving. */
async function serve(file, port, env = {}) {
  const child = spawn('python3', [file, String(port)], { cwd: EXAMPLE, env: { ...PYTHON, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = () => child.kill('SIGKILL');
  atEnd(end);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  let code;
  const exit = once(child, 'exit').then(([exited, signal]) => (code = exited ?? signal));
  const url = `http://127.0.0.1:${port}`;
  await until(`${file} serves`, async () => {
    if (code !== undefined) throw new InVain(`${file} ended with ${code}: ${output}`);
    return (await fetch(`${url}/login`)).status === 405;
  });
  if (code !== undefined) throw new Error(`something else serves at ${url}: ${output}`);
  return { url, output: () => output, end: () => (end(), exit) };
}

/** What clients see: `program` runs a script. */
async function story(program, site, sockets) {
  const script = path.join(HERE, 'support', program === 'node' ? 'flask_story.mjs' : 'flask_story.py');
  const { stdout } = await promisify(execFile)(program, [script, site, sockets], { env: PYTHON, timeout: 100_000 });
  return JSON.parse(stdout);
}

async function stories(site, sockets) {
  const [javascript, python] = await Promise.all(['node', 'python3'].map((program) => story(program, site, sockets)));
  return { javascript, python };
}

/** Resolves once nobody is there any more and the application has been told of everybody who left. */
async function allHaveLeft() {
  const [api] = environment.VEDFOLNIR_URLS.split(',');
  for (const namespace of ['/user', '/admin']) {
    await until(`nobody is connected in ${namespace}`, async () => {
      const query = `namespace=${namespace}&connected=true&consistency=linearizable`;
      const { json } = await ask(api, `/api/v1/sessions?${query}`, { headers: { Authorization: `Bearer ${TOKEN}` } });
      return json.sessions.length === 0;
    });
  }
  await until('all webhooks are delivered', async () => {
    const told = await Promise.all(cluster.nodes.map(({ adminUrl }) => run(['webhooks', 'status', '--json', '--addr', adminUrl])));
    const states = told.map(({ stdout }) => JSON.parse(stdout));
    return states.every(({ events_behind: behind, pending }) => behind === 0 && pending === 0);
  });
}

let original;
let cluster;
let site;
let environment;
before(async () => {
  site = await freePort();
  const hook = `http://127.0.0.1:${site}/vedfolnir`;
  cluster = await Cluster.plan(3, {
    options: ['--backend-namespaces', '/user,/admin'],
    env: {
      WEBSOCKET_API_TOKEN: TOKEN,
      WEBSOCKET_BACKEND_CONNECT_URL: hook,
      WEBSOCKET_BACKEND_EVENT_URL: hook,
      WEBSOCKET_BACKEND_SECRET: SECRET,
      WEBSOCKET_BACKEND_ALLOW_PRIVATE: 'true',
      WEBSOCKET_WEBHOOK_URL: hook,
      WEBSOCKET_WEBHOOK_SECRET: SECRET,
      WEBSOCKET_WEBHOOK_ALLOW_PRIVATE: 'true',
    },
  });
  atEnd(() => cluster.stop());
  const urls = [];
  for (const node of cluster.nodes) {
    const api = await freePort();
    urls.push(`http://127.0.0.1:${api}`);
    node.args.push('--api-addr', `127.0.0.1:${api}`);
    node.spawn();
  }
  environment = { VEDFOLNIR_URLS: urls.join(','), VEDFOLNIR_TOKEN: TOKEN, VEDFOLNIR_SECRET: SECRET };
  const { url } = await serve('original.py', await freePort());
  [original] = await Promise.all([stories(url, url), cluster.ready()]);
});

test('what the clients of the original see is what it is meant to do', () => {
  for (const [language, told] of Object.entries(original)) {
    const seen = JSON.stringify(told['bob in /user']);
    for (const part of ['"watching","the task"', '"announcement","tea"', '"said",9']) assert.ok(seen.includes(part), `${language}: ${seen}`);
    assert.deepEqual(told['ada in /user'].filter(([event]) => event === 'progress').map(([, { percent }]) => percent), [25, 50, 75, 100]);
    assert.deepEqual(told['root in /admin'].filter(([event]) => event === 'left'), [['left', 'bob']]);
  }
});

test('the port on three nodes shows them the same, whichever node they come to', { timeout: 120_000 }, async (t) => {
  const app = await serve('app.py', site, environment);
  t.after(() => app.end());
  const [javascript, python] = await Promise.all([story('node', app.url, cluster.nodes[0].url), story('python3', app.url, cluster.nodes[1].url)]);
  assert.deepEqual({ javascript, python }, original);
  // What the next application is told is of its own clients.
  await allHaveLeft();
  assert.doesNotMatch(app.output(), /Traceback/);
});

test('and the same again with its own sessions in the store of the cluster', { timeout: 120_000 }, async () => {
  const app = await serve('app.py', site, { ...environment, SESSIONS: 'vedfolnir' });
  assert.deepEqual(await story('node', app.url, cluster.nodes[2].url), original.javascript);
  assert.doesNotMatch(app.output(), /Traceback/);
});
