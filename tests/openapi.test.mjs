// The API's description: sound by a linter's rules, and true of a running node by what schemathesis makes of it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { createConfig, lintFromString } from '@redocly/openapi-core';

import { freePort, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask } from './support/doors.mjs';

const TOKEN = 'planted-admin-0123456789';
/** Cases that schemathesis makes up for each operation and kind of test. */
const EXAMPLES = 15;

test('the description follows the rules of OpenAPI 3.1, and those that a linter recommends', async () => {
  const { code, stdout } = await run(['api', 'openapi']);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).openapi, '3.1.0');
  // A path without parameters goes before one with them (OpenAPI 3.1, section 4.8.8): /sessions/join is no session.
  const config = await createConfig({ extends: ['recommended-strict'], rules: { 'no-ambiguous-paths': 'off' } });
  const found = await lintFromString({ source: stdout, absoluteRef: '/openapi.json', config });
  assert.deepEqual(found.map(({ ruleId, message, location }) => `${ruleId} at ${location[0]?.pointer}: ${message}`), []);
});

describe('a node', () => {
  let node;
  let api;
  before(async () => {
    const port = await freePort();
    api = `http://127.0.0.1:${port}`;
    node = await startSingle({ options: ['--api-addr', `127.0.0.1:${port}`], env: { WEBSOCKET_API_TOKEN: TOKEN } });
  });
  after(() => node.kill());

  test('serves the description that the program prints, to whoever may read', async () => {
    const { stdout } = await run(['api', 'openapi']);
    const { status, json } = await ask(api, '/api/v1/openapi.json', { headers: { Authorization: `Bearer ${TOKEN}` } });
    assert.deepEqual([status, json], [200, JSON.parse(stdout)]);
    assert.equal((await ask(api, '/api/v1/openapi.json')).status, 401);
  });

  test('answers as described whatever it is asked, and never with an error of its own', async () => {
    const directory = temporaryDirectory();
    const description = path.join(directory, 'openapi.json');
    writeFileSync(description, (await run(['api', 'openapi'])).stdout);
    const args = [
      '-m', 'schemathesis.cli', 'run', description, '--url', api, '--header', `Authorization: Bearer ${TOKEN}`,
      '--checks', 'all', '--max-examples', String(EXAMPLES), '--generation-deterministic', '--no-color',
      // Five wrong tokens close the door for an address: what a wrong token is answered is tested elsewhere.
      '--exclude-checks', 'ignored_auth', '--phases', 'examples,coverage,fuzzing',
    ];
    const env = {
      ...process.env,
      PYTHONPATH: `${process.env.VEDFOLNIR_OPENAPI_PYTHONPATH}:${fileURLToPath(new URL('support', import.meta.url))}`,
      PYTHONDONTWRITEBYTECODE: '1',
      SCHEMATHESIS_HOOKS: 'described_in_words',
    };
    const judged = await promisify(execFile)('python3', args, { env, cwd: directory, timeout: 120_000, maxBuffer: 16 << 20 })
      .then(({ stdout }) => ({ code: 0, stdout }), ({ code, stdout, stderr }) => ({ code, stdout: stdout + stderr }));
    assert.equal(judged.code, 0, judged.stdout);
    assert.match(judged.stdout, /\d+ passed/, judged.stdout);
    assert.ok(node.alive, node.tail());
  });
});
