// Three nodes that stand behind a balancer: plain HTTP, TLS and the PROXY protocol, as any shipped configuration needs them.

import assert from 'node:assert/strict';

import { Authority } from './certificates.mjs';
import { Cluster, freePort } from './cluster.mjs';
import { HOST } from './balancers.mjs';
import { logLines, TELLING } from './doors.mjs';
import { until } from './wait.mjs';

/** The certificate of the public host, for nodes and balancers: { identity, root }. */
export function issued() {
  const authority = new Authority();
  const identity = authority.issue('server', { names: `DNS:${HOST},DNS:localhost,IP:127.0.0.1` });
  return { identity, root: authority.root };
}

/**
 * Starts them with that certificate: { cluster, identity, root }. What they need: trust in the proxy (it comes from 127.0.0.1, clients from other
 * loopback addresses), a certificate of the public host, the PROXY protocol where it is spoken.
 */
export async function startNodes({ identity, root }, env = {}) {
  const cluster = await Cluster.plan(3, {
    options: TELLING,
    env: {
      WEBSOCKET_PUBLIC_URL: `https://${HOST}`,
      WEBSOCKET_ALLOWED_HOSTS: `${HOST},localhost`,
      WEBSOCKET_FORCE_HTTPS: 'true',
      WEBSOCKET_HTTPS_REDIRECT: 'true',
      WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
      WEBSOCKET_TRUSTED_PROXIES: '127.0.0.1',
      WEBSOCKET_PROXY_PROTOCOL: 'auto',
      WEBSOCKET_SSL_CERT_FILE: identity.certificate,
      WEBSOCKET_SSL_KEY_FILE: identity.key,
      ...env,
    },
  });
  for (const node of cluster.nodes) {
    node.tlsPort = await freePort();
    node.env = { ...node.env, WEBSOCKET_TLS_PORT: String(node.tlsPort) };
    node.spawn();
  }
  await cluster.ready();
  return { cluster, identity, root };
}

/** The line of the node that a client came to: who it is taken for, its scheme and host. */
export async function established(cluster, sessionId) {
  return until(`a node's log has the session ${sessionId}`, () => {
    for (const node of cluster.nodes) {
      const line = logLines(node).find(
        ({ event_type: type, session_id: id }) => type === 'connection_established' && id === sessionId,
      );
      if (line) return line;
    }
    return null;
  });
}

/** Which node a client's session is at, by the id in an Engine.IO session id: bytes 1 to 8. */
export const ownerOf = (sid) => Buffer.from(sid, 'base64url').readBigUInt64BE(1).toString(16).padStart(16, '0');

/** The nodes' ids. */
export async function idsOf(cluster) {
  const views = await Promise.all(cluster.nodes.map((node) => node.status()));
  return new Map(views.map(({ node_id: id }, index) => [cluster.nodes[index], id]));
}

/** All messages of a publisher came to a reader, in order, once. */
export function assertInOrder(client, count) {
  assert.deepEqual(client.seen, Array.from({ length: count }, (_, id) => id), client.name);
}
