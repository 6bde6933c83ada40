// `vedfolnir chaos`: its list, its exit codes, its reports, and the quick set of scenarios that every change must survive.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BINARY, run, temporaryDirectory } from './support/cluster.mjs';

const MODULES = path.dirname(fileURLToPath(import.meta.url));
/** One of each kind of fault; `make chaos` runs all of them, longer. */
const QUICK = ['kill-leader', 'kill-all', 'pause-leader', 'partition-symmetric', 'loss-30', 'fsync-error', 'clock-jump', 'join-and-leave', 'rolling-restart'];

const chaos = (...args) => run(['chaos', ...args], { timeout: 400_000, env: { VEDFOLNIR_CHAOS_MODULES: MODULES } });

test('list names each scenario on a line of its own, in kebab-case first', async () => {
  const { code, stdout } = await chaos('list');
  const lines = stdout.trimEnd().split('\n');
  assert.equal(code, 0);
  assert.ok(lines.length >= 24, `${lines.length} scenarios`);
  for (const line of lines) assert.match(line, /^[a-z0-9]+(-[a-z0-9]+)* +\S/);
  for (const name of QUICK) assert.ok(lines.some((line) => line.startsWith(`${name} `)), name);
});

describe('when the harness itself cannot work, exit code 2 and one line that says why', () => {
  const cases = {
    'an unknown scenario': { args: ['run', 'kill-leder'], says: /no scenario "kill-leder".*did you mean "kill-leader"/ },
    'a number of nodes that is none': { args: ['run', 'none', '--nodes', '4'], says: /--nodes = 4.*3 or 5/ },
    'a program that is not there': { args: ['run', 'none', '--bin', '/nowhere/vedfolnir', '--official', '0'], says: /\/nowhere\/vedfolnir: No such file/ },
    'a place for reports that is none': { args: ['run', 'none', '--official', '0', '--report', '/proc/none'], says: /\/proc\/none/ },
  };
  for (const [what, { args, says }] of Object.entries(cases)) {
    test(what, async () => {
      const { code, stderr } = await chaos(...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    });
  }

  test('no Node.js for the official clients', async () => {
    const { code, stderr } = await run(['chaos', 'run', 'none', '--quick'], { env: { PATH: '/nowhere' } });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /node cannot be started.*--official 0/);
  });
});

test('a broken promise ends with exit code 1, the reports and the command that does it again', { timeout: 120_000 }, async () => {
  // Nodes that give sessions up after a second, though clients count on two minutes.
  const directory = temporaryDirectory();
  const program = path.join(directory, 'forgetful');
  writeFileSync(program, `#!/bin/sh\nexec "${BINARY}" "$@" --recovery-window 1s --history-age 2s\n`);
  chmodSync(program, 0o755);
  const reports = path.join(directory, 'reports');
  mkdirSync(reports);
  const { code, stdout } = await chaos(
    'run', 'pause-follower', '--quick', '--seed', '7', '--official', '0', '--clients', '9', '--quiet', '--bin', program, '--report', reports);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /I3 {2}BROKEN/);
  assert.match(stdout, /again: vedfolnir chaos run pause-follower --nodes 3 --quick --seed 7 --clients 9/);
  const at = path.join(reports, 'pause-follower-7');
  const report = JSON.parse(readFileSync(path.join(at, 'report.json'), 'utf8'));
  assert.ok(report.violations > 0 && report.findings.find(({ invariant }) => invariant === 'I3').violations > 0);
  assert.match(readFileSync(path.join(at, 'report.html'), 'utf8'), /broken promises?<[^]*<svg /);
  assert.ok(existsSync(path.join(at, 'report.txt')) && existsSync(path.join(at, 'node-1.log')));
});

test(`nothing is lost in ${QUICK.join(', ')}`, { timeout: 400_000 }, async (t) => {
  const { code, stdout, stderr } = await chaos('run', ...QUICK, '--quick', '--keep-going', '--quiet', '--official', '6');
  for (const line of stdout.trimEnd().split('\n')) t.diagnostic(line);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const verdicts = stdout.split('\n').filter((line) => / ok .*messages acknowledged/.test(line));
  assert.equal(verdicts.length + stdout.split('\n').filter((line) => / skipped: /.test(line)).length, QUICK.length, stdout);
});
