// A proxy that writes down what it is asked, headers included: what a browser really sends. Over HTTP, or HTTPS that ends here.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

export class ObservingProxy {
  /** Every request: { method, url, headers }. */
  requests = [];

  /** In front of a node's `target` URL, at an address of this machine; `identity` ({ certificate, key }) for HTTPS, of which the node is told. */
  static async start(target, { address = '127.0.0.1', identity } = {}) {
    const proxy = new ObservingProxy();
    const { hostname, port } = new URL(target);
    const onward = (request) => {
      const { method, url, headers } = request;
      proxy.requests.push({ method, url, headers });
      const more = identity ? { 'x-forwarded-proto': 'https' } : {};
      return http.request({ hostname, port, method, path: url, headers: { ...headers, ...more }, agent: false });
    };
    const answer = (request, response) => {
      const upstream = onward(request);
      upstream.on('response', (from) => {
        response.writeHead(from.statusCode, from.rawHeaders);
        from.pipe(response);
      });
      upstream.on('error', () => response.destroy());
      response.on('close', () => upstream.destroy());
      request.pipe(upstream);
    };
    proxy.server = identity
      ? https.createServer({ cert: readFileSync(identity.certificate), key: readFileSync(identity.key) }, answer)
      : http.createServer(answer);
    proxy.server.on('upgrade', (request, socket) => {
      const upstream = onward(request);
      upstream.on('upgrade', (from, node, head) => {
        const lines = [];
        for (let index = 0; index < from.rawHeaders.length; index += 2) lines.push(`${from.rawHeaders[index]}: ${from.rawHeaders[index + 1]}`);
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
        socket.write(head);
        for (const [one, other] of [[socket, node], [node, socket]]) {
          one.pipe(other);
          one.on('error', () => other.destroy());
          one.on('close', () => other.destroy());
        }
      });
      upstream.on('response', (from) => socket.end(`HTTP/1.1 ${from.statusCode} ${from.statusMessage}\r\n\r\n`));
      upstream.on('error', () => socket.destroy());
      upstream.end();
    });
    proxy.server.listen(0, address);
    await once(proxy.server, 'listening');
    proxy.url = `${identity ? 'https' : 'http'}://${address}:${proxy.server.address().port}`;
    return proxy;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
