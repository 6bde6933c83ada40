// Every command of the two pages on migrating, in its order, on a machine of its own: this one, with another network.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BINARY, temporaryDirectory } from './support/cluster.mjs';
import { commands } from './support/docs.mjs';
import { command } from './support/tls.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Types chapters of a page; what came out. Whatever it starts ends with it. */
async function type(page, chapters) {
  const directory = temporaryDirectory();
  for (const part of ['deploy/clients', 'examples/flask']) cpSync(path.join(ROOT, part), path.join(directory, part), { recursive: true });
  mkdirSync(path.join(directory, 'bin'));
  symlinkSync(BINARY, path.join(directory, 'bin/vedfolnir'));
  symlinkSync(path.join(ROOT, 'tests/node_modules'), path.join(directory, 'node_modules'));
  const script = `
set -eu
ip link set lo up
cd ${directory}
export PATH=${directory}/bin:$PATH
# What the pages install is here already: nothing is downloaded.
export PYTHONPATH=${process.env.VEDFOLNIR_PYTHONPATH} PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore npm_config_offline=true
${chapters.map((chapter) => `echo "==> ${chapter}"\n${commands(page, chapter)}`).join('\n')}
echo
echo "==> done"
`;
  writeFileSync(path.join(directory, 'page.sh'), script);
  // The first process of its own tree of processes: what is left ends with it.
  const { code, text } = await command('unshare', ['--net', '--pid', '--fork', '--kill-child', 'sh', '-c', `exec bash ${directory}/page.sh 2>&1`], { limit: 280_000 });
  assert.equal(code, 0, text.slice(-4_000));
  assert.match(text, /==> done/);
  return text;
}

const OPTIONS = { timeout: 300_000, skip: process.getuid() !== 0 && 'only root can have a network of its own' };

test('every command of the page on leaving Flask-SocketIO works, in its order', OPTIONS, async () => {
  const text = await type('migration-flask-socketio.md', ['Step by step', 'Sessions out of Redis']);
  for (const percent of [25, 50, 75, 100]) assert.match(text, new RegExp(`^task-1 ${percent} %$`, 'm'));
  assert.match(text, /\{"offset":"[\w-]+"\}/);
  assert.match(text, /"key":"vedfolnir:session:[\w-]{43}".*ada/);
});

test('every command of the page on leaving socket.io works, in its order', OPTIONS, async () => {
  const text = await type('migration-socket.io.md', ['Step by step']);
  for (const line of ['a stranger is told: who are you? no_name', 'welcome', 'ada sees: bob joined', 'said', 'bob hears: ada hello', 'ada sees: bob gone']) {
    assert.match(text, new RegExp(`^${line.replace('?', '\\?')}$`, 'm'));
  }
  assert.match(text, /\{"offset":"[\w-]+"\}/);
});
