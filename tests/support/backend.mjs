// A backend for the proxy and a receiver of webhooks: what came, with its signature checked, and what is answered.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

/** Whether a request is signed with this secret, now: as docs/backend.md has receivers do it. */
export function isSigned(secret, headers, body) {
  const timestamp = headers['vedfolnir-timestamp'];
  if (!/^[0-9]+$/.test(timestamp ?? '') || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const expected = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest();
  return (headers['vedfolnir-signature'] ?? '').split(',').some((part) => {
    const given = Buffer.from(part.trim().replace(/^v1=/, ''), 'hex');
    return part.trim().startsWith('v1=') && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

/**
 * Serves on loopback. `answer(request, response)` gets { path, headers, json, signed } and returns what is answered: a value
 * (as JSON, 200), a [status, headers, body] triple, or nothing if it answers by itself.
 */
export async function serveBackend(secret, answer) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { url: path, headers } = request;
    const came = { path, headers, json: JSON.parse(body), signed: isSigned(secret, headers, body) };
    requests.push(came);
    const answered = await answer(came, response);
    if (answered === undefined) return;
    const [status, more, text] = Array.isArray(answered) ? answered : [200, { 'Content-Type': 'application/json' }, JSON.stringify(answered)];
    response.writeHead(status, more).end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  return {
    requests,
    port,
    url: (path) => `http://127.0.0.1:${port}${path}`,
    /** Nobody listens any more. */
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    /** Again where it was. */
    async open() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
}
