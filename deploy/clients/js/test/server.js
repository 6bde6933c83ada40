// A node for tests: answers as it is told, and writes down what it was asked.

import http from 'node:http';
import https from 'node:https';

/** `answers` are given one after the other, the last one again and again; null: the process dies, 'silence': no answer. */
export const node = (t, ...answers) => serve(t, http.createServer, answers);

/** The same with TLS: `{ key, cert }`. */
export const secureNode = (t, options, ...answers) => serve(t, (handler) => https.createServer(options, handler), answers);

async function serve(t, create, answers) {
  const seen = { asked: [], connections: 0 };
  const server = create(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    seen.asked.push({ method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(parts) });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === 'silence') return;
    if (answer === null) {
      request.socket.destroy();
      return;
    }
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  server.on('connection', () => {
    seen.connections += 1;
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const scheme = server instanceof https.Server ? 'https' : 'http';
  return Object.assign(seen, { url: `${scheme}://127.0.0.1:${server.address().port}` });
}

/** An answer of JSON. */
export const ok = (value, headers = {}, status = 200) => ({ status, headers, body: value === undefined ? '' : JSON.stringify(value) });

/** An answer that is a problem. */
export const problem = (status, kind, headers = {}) =>
  ok({ type: `urn:vedfolnir:problem:${kind}`, title: 'a title', status, detail: 'a detail' }, { 'Content-Type': 'application/problem+json', ...headers }, status);

/** The address of nobody. */
export async function refusing() {
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}
