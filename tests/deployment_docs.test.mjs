// Every command of docs/deployment.md, in its order, on three hosts: this machine three times, each with file systems of its own on
// top and a network of its own, and nodes that are started as the unit says.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Authority } from './support/certificates.mjs';
import { BINARY, temporaryDirectory } from './support/cluster.mjs';
import { commands as blocks } from './support/docs.mjs';
import { command } from './support/tls.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const commands = (chapter) => blocks('deployment.md', chapter);

test('every command of the page on deploying works, in its order', async (t) => {
  if (process.getuid() !== 0) return t.skip('only root can mount file systems');
  const directory = temporaryDirectory();
  const authority = new Authority();
  const place = (name, file) => cpSync(file, path.join(directory, name));
  const [first, second] = ['first', 'second'].map((name) => authority.issue(name, { names: 'DNS:ws.example.com' }));
  place('vedfolnir', BINARY);
  place('certificate.pem', first.certificate);
  place('private_key.pem', first.key);
  place('new_certificate.pem', second.certificate);
  place('new_key.pem', second.key);
  place('ca_bundle.pem', authority.root);
  cpSync(path.join(ROOT, 'deploy'), path.join(directory, 'deploy'), { recursive: true });
  const unit = readFileSync(path.join(ROOT, 'deploy/vedfolnir.service'), 'utf8');
  const [, start] = unit.match(/^ExecStart=(.*)$/m);
  const [, user] = unit.match(/^User=(.*)$/m);
  const served = 'openssl s_client -connect localhost:5443 -servername ws.example.com </dev/null 2>/dev/null | openssl x509 -noout -serial';
  const until = (what) => `for attempt in $(seq 600); do ${what} && break; sleep 0.1; done; ${what}`;
  const host = (number, then) => `
set -eu
mkdir host-${number} && mount -t tmpfs tmpfs host-${number}
for where in /etc /usr/local /usr/lib /var; do
  mkdir -p host-${number}/upper$where host-${number}/work$where
  mount -t overlay overlay -o lowerdir=$where,upperdir=$PWD/host-${number}/upper$where,workdir=$PWD/host-${number}/work$where $where
done
export SYSTEMD_OFFLINE=1
${commands('Each host').replace('NAME=node-1 ADDRESS=10.0.0.1', `NAME=node-${number} ADDRESS=10.0.0.${number}`)}
test -e /etc/systemd/system/multi-user.target.wants/vedfolnir.service
# What systemd would do, which does not run here.
set -a; . /etc/vedfolnir/vedfolnir.env; set +a
setpriv --reuid ${user} --regid ${user} --clear-groups --no-new-privs ${start} >node-${number}.log 2>&1 &
node=$!
trap 'kill -9 $node 2>/dev/null || true' EXIT
${until("curl -fs -o /dev/null http://localhost:5000/websocket/health/ready || { kill -0 $node || { cat node-*.log; exit 1; }; false; }")}
${then}
kill -TERM $node
wait $node
echo "==> host ${number} is done"
`;
  writeFileSync(path.join(directory, 'host-1.sh'), host(1, `
echo "==> well"
${commands('Is it well?')}
echo "==> now and then"
before=$(${served})
${commands('Now and then')}
${until(`test "$(${served})" != "$before"`)}
${commands('Prometheus')}
touch done`));
  for (const number of [2, 3]) writeFileSync(path.join(directory, `host-${number}.sh`), host(number, until('test -e done')));
  writeFileSync(path.join(directory, 'hosts.sh'), `
set -eu
${commands('Three hosts with systemd')}
# Three hosts on one wire.
mount -t tmpfs tmpfs /run
ip link add wire type bridge
ip link set wire up
for number in 1 2 3; do
  ip netns add host-$number
  ip link add to-$number type veth peer name eth0 netns host-$number
  ip link set to-$number master wire up
  ip -n host-$number addr add 10.0.0.$number/24 dev eth0
  ip -n host-$number link set eth0 up
  ip -n host-$number link set lo up
done
for number in 2 3; do ip netns exec host-$number bash host-$number.sh & done
ip netns exec host-1 bash host-1.sh
wait
`);
  const { code, text } = await command('unshare', ['--mount', '--net', 'sh', '-c', `cd ${directory} && exec bash hosts.sh 2>&1`], { limit: 120_000 });
  assert.equal(code, 0, text.slice(-4_000));
  for (const number of [1, 2, 3]) assert.match(text, new RegExp(`==> host ${number} is done`));
  const names = text.split('==> well')[1].split('==> now and then')[0].match(/^[\w.-]+_\d+_\w+$/gm) ?? [];
  assert.equal(names.length, 5, text);
  assert.equal(new Set(names).size, 1, `${names}`);
});
