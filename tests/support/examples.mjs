// Programs of examples/ as nodes: alone or as a cluster.

import path from 'node:path';

import { BINARY, Node, portsOfNode, temporaryDirectory } from './cluster.mjs';
import { atEnd } from './cleanup.mjs';

const EXAMPLES = path.join(path.dirname(BINARY), 'examples');

/** `count` nodes of one example, ready; killed at the end. */
export async function startExamples(name, count, { args = [], env = {} } = {}) {
  const directory = temporaryDirectory();
  const ports = await Promise.all(Array.from({ length: count }, portsOfNode));
  const bootstrap = ports.map(({ cluster }) => `127.0.0.1:${cluster}`).join(',');
  const several = { WEBSOCKET_CLUSTER_BOOTSTRAP: bootstrap, WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT: String(count) };
  const nodes = ports.map((port, index) => new Node({
    name: `${name}-${index + 1}`,
    directory,
    binary: path.join(EXAMPLES, name),
    args,
    url: `http://127.0.0.1:${port.service}`,
    adminUrl: `http://127.0.0.1:${port.admin}`,
    env: {
      WEBSOCKET_DATA_DIR: path.join(directory, `data-${index + 1}`),
      WEBSOCKET_PORT: String(port.service),
      WEBSOCKET_CLUSTER_ADDR: `127.0.0.1:${port.cluster}`,
      WEBSOCKET_ADMIN_BIND: `127.0.0.1:${port.admin}`,
      ...(count > 1 ? several : {}),
      ...env,
    },
  }));
  for (const node of nodes) {
    node.spawn();
    atEnd(() => node.kill('SIGKILL'));
  }
  return Promise.all(nodes.map((node) => node.ready()));
}
