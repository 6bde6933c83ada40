// What it costs that a polling request comes to another node than its session's owner: an echo by POST and poll, at the owner
// and through another node, one session and many.
//
//   taskset -c 1 node bench/polling.mjs PROGRAM [SECONDS] [SESSIONS]      three nodes on core 0, data in a temporary directory

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const [program, seconds = '10', many = '50'] = process.argv.slice(2);
if (!program) throw new Error('node bench/polling.mjs PROGRAM [SECONDS] [SESSIONS]');
const directory = mkdtempSync(path.join(os.tmpdir(), 'vedfolnir-polling-'));
const children = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const free = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** One request on a kept connection; its body. */
const ask = (agent, port, query, body) => new Promise((resolve, reject) => {
  const request = http.request({ port, host: '127.0.0.1', agent, method: body === undefined ? 'GET' : 'POST', path: `/socket.io/?EIO=4&transport=polling${query}` }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => {
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${response.statusCode} ${text}`));
    });
  });
  request.on('error', reject).end(body);
});

async function session(owner, through, until, times) {
  const agent = new http.Agent({ keepAlive: true });
  const { sid } = JSON.parse((await ask(agent, owner, '')).slice(1));
  await ask(agent, through, `&sid=${sid}`, '40');
  await ask(agent, through, `&sid=${sid}`);
  for (let id = 0; performance.now() < until; id += 1) {
    const from = performance.now();
    await ask(agent, through, `&sid=${sid}`, `42${id}["echo",${id}]`);
    for (;;) {
      const packets = (await ask(agent, through, `&sid=${sid}`)).split('\x1e');
      if (packets.includes('2')) await ask(agent, through, `&sid=${sid}`, '3');
      if (packets.includes(`43${id}[${id}]`)) break;
    }
    times.push(performance.now() - from);
  }
  agent.destroy();
}

const nodes = await Promise.all([0, 1, 2].map(async (index) => ({ index, service: await free(), cluster: await free(), admin: await free() })));
const bootstrap = nodes.map(({ cluster }) => `127.0.0.1:${cluster}`).join(',');
for (const { index, service, cluster, admin } of nodes) {
  children.push(spawn('taskset', ['-c', '0', program, 'start', '--data-dir', path.join(directory, String(index)), '--port', String(service), '--cluster-addr', `127.0.0.1:${cluster}`,
    '--admin-addr', `127.0.0.1:${admin}`, '--bootstrap', bootstrap, '--bootstrap-expect', '3', '--log-level', 'error'], { stdio: 'ignore' }));
}
for (const { service } of nodes) {
  while (!(await fetch(`http://127.0.0.1:${service}/websocket/health/ready`).then(({ ok }) => ok, () => false))) await new Promise((resolve) => setTimeout(resolve, 50));
}
const [owner, other] = nodes.map(({ service }) => service);
console.log('| sessions | requests come to | echoes/s | p50 ms | p99 ms |\n|---|---|---|---|---|');
for (const count of [1, Number(many)]) {
  for (const [name, through] of [['the owner', owner], ['another node', other]]) {
    const times = [];
    const until = performance.now() + Number(seconds) * 1000;
    await Promise.all(Array.from({ length: count }, () => session(owner, through, until, times)));
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(2);
    console.log(`| ${count} | ${name} | ${Math.round(times.length / Number(seconds))} | ${at(0.5)} | ${at(0.99)} |`);
  }
}
process.exit(0);
