// The story behind `make demo`: three nodes, four stock Socket.IO clients, two nodes killed with kill -9.
//
// Needs `node_modules` (tests/run.sh installs it, see `--install`) and the binary named by VEDFOLNIR_BIN.

import { Client, closeClients } from './support/client.mjs';
import { commandOf, Dev, Node, run, temporaryDirectory } from './support/cluster.mjs';
import { until } from './support/wait.mjs';

const color = process.stdout.isTTY ? (code) => (text) => `\u001b[${code}m${text}\u001b[0m` : () => (text) => text;
const [bold, dim, red, green] = [1, 2, 31, 32].map(color);
const say = (text = '') => console.log(text);
const began = performance.now();
const stamp = () => dim(`${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s `);
const tell = (text) => say(`${stamp()} ${text}`);

const ROOM = 'lobby';
const NAMES = ['Ada', 'Grace', 'Linus', 'Margaret'];
const PUBLISH_EVERY_MS = 100;

say();
say(bold('Vedfolnir: kill the server, keep the conversation'));
say('Three server processes form one cluster. Four ordinary Socket.IO clients (socket.io-client from npm) are');
say(`connected to them, all in the room "${ROOM}". A publisher counts: 1, 2, 3, … Then we kill servers.`);
say();

const dev = await Dev.start(3);
const commands = new Map(dev.nodes.map((node) => [node, commandOf(node.pid)]));
const nameOf = (url) => `node ${dev.nodes.findIndex((node) => node.url === url) + 1}`;
const version = (await run(['--version'])).stdout.trim();
tell(`${version}: the cluster is ready`);
for (const { url, role, pid } of dev.nodes) say(`         ${nameOf(url)}  ${url}  ${role.padEnd(6)}  pid ${pid}`);

const from = (index) => [...dev.urls.slice(index), ...dev.urls.slice(0, index)];
const leaderAt = dev.nodes.findIndex(({ role }) => role === 'leader');
const followers = dev.nodes.map((_, index) => index).filter((index) => index !== leaderAt);
// Two clients sit on the follower that dies first, one on the leader, one on the node that survives everything.
const seats = [followers[0], followers[0], leaderAt, followers[1]];
const clients = NAMES.map((name, index) => new Client(name, from(seats[index]), { reconnectionDelay: 100, reconnectionDelayMax: 500 }));
const publisher = new Client('publisher', from(followers[1]));
for (const client of clients) {
  await client.connected();
  await client.join(ROOM);
}
await publisher.connected();
tell(`clients: ${clients.map((client) => `${client.name} on ${nameOf(client.url)}`).join(', ')}; the publisher on ${nameOf(publisher.url)}`);

let next = 1;
let acknowledged = 0;
let publishing = true;
// One number after the other: the next is sent when the cluster has stored this one on a majority of its nodes.
const counting = (async () => {
  while (publishing) {
    await publisher.publish(ROOM, { id: next });
    acknowledged = next;
    next += 1;
    await new Promise((resolve) => setTimeout(resolve, PUBLISH_EVERY_MS));
  }
})();
counting.catch(() => {});
const counted = (goal) => until(() => `the count reaches ${goal} (it is at ${acknowledged})`, () => acknowledged >= goal);
const allSaw = (count) => Promise.all(clients.map((client) => client.received(count)));

await counted(10);
await allSaw(10);
tell(`the publisher counts; everybody has seen 1 to ${clients[0].seen.at(-1)}`);

/** kill -9, and the story of whoever sat there. */
async function kill(node, what) {
  const victims = clients.filter((client) => client.url === node.url && client.socket.connected);
  const before = new Map(victims.map((client) => [client, client.connects.length]));
  say();
  tell(`${red(`kill -9 ${node.pid}`)}: ${nameOf(node.url)}, ${what}, is gone, without a goodbye`);
  const at = performance.now();
  const countAt = acknowledged;
  await dev.killNode(node);
  for (const client of victims) {
    const connect = await client.connected(before.get(client) + 1);
    await counted(countAt + 5);
    await until(`${client.name} caught up`, () => client.seen.at(-1) >= acknowledged - 1);
    const missed = client.messages.filter(({ connection }) => connection >= before.get(client) + 1);
    const recovered = connect.recovered && connect.id === client.connects[0].id;
    tell(
      `${client.name} resumed on ${nameOf(connect.url)} after ${Math.round(connect.at - at)} ms: ` +
        `${(recovered ? green : red)(`recovered: ${recovered}`)}, same id ${connect.id.slice(0, 6)}…, ` +
        `the count went on at ${missed[0]?.message.id ?? '?'}`,
    );
  }
  await counted(countAt + 10);
  tell(`meanwhile the count went on: ${countAt} → ${acknowledged}, each number stored by the two nodes that are left`);
}

let reborn;
try {
  await kill(dev.nodes[followers[0]], 'with two clients on it');

  // The killed node comes back with its own data directory, so that the cluster can lose another one.
  const lost = dev.nodes[followers[0]];
  reborn = new Node({
    name: nameOf(lost.url), directory: temporaryDirectory(), url: lost.url, adminUrl: lost.admin_url,
    clusterAddr: lost.cluster_addr, dataDir: lost.data_dir,
    args: commands.get(lost),
  });
  say();
  reborn.spawn();
  await reborn.ready();
  lost.pid = reborn.pid;
  tell(`${reborn.name} is started again with the same command, pid ${reborn.pid}: it caught up from its peers and serves`);

  const leader = await dev.leader();
  await kill(leader, 'the leader');
  tell(`the two nodes that are left elected ${nameOf((await dev.leader()).url)}`);

  publishing = false;
  await counting;
  await Promise.all(clients.map((client) => until(`${client.name} saw ${acknowledged}`, () => client.seen.includes(acknowledged))));
} finally {
  publishing = false;
}

say();
say(bold('What each client saw'));
let clean = true;
for (const client of clients) {
  const lost = Array.from({ length: acknowledged }, (_, index) => index + 1).filter((id) => !client.seen.includes(id)).length;
  const twice = client.seen.length - new Set(client.seen).size;
  const disordered = client.seen.filter((id, index) => index > 0 && id < client.seen[index - 1]).length;
  const recovered = client.connects.slice(1).every((connect) => connect.recovered && connect.id === client.connects[0].id);
  clean &&= lost === 0 && twice === 0 && disordered === 0 && recovered;
  say(
    `  ${client.name.padEnd(9)} messages delivered: ${new Set(client.seen).size} of ${acknowledged}, lost ${lost}, twice ${twice}, ` +
      `out of order ${disordered}, reconnections ${client.connects.length - 1}${client.connects.length > 1 ? `, recovered: ${recovered}` : ''}`,
  );
}
closeClients();
await Promise.all([dev.stop('SIGINT'), reborn?.kill('SIGTERM')]);
say();
say(clean
  ? green('Two servers were killed without warning. No client lost a message, none came twice, every session went on.')
  : red('Something was lost, doubled or not recovered: please report this.'));
say();
say('Try it yourself:  vedfolnir dev --nodes 3     (three nodes, an address table, what to try next)');
process.exit(clean ? 0 : 1);
