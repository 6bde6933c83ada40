// A receiver of alerts by webhook.

import { once } from 'node:events';
import http from 'node:http';

/** A receiver: what came, and what it answers (a status and headers; a function of the messages so far). */
export async function receiver(t, answer = () => [204]) {
  const messages = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    messages.push({ path: request.url, method: request.method, headers: request.headers, body, json: JSON.parse(body) });
    const [status, headers = {}] = answer(messages);
    response.writeHead(status, headers).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { messages, url: `http://127.0.0.1:${server.address().port}/hook?key=c4n4ry` };
}
