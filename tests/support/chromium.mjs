// A real headless Chromium, driven by its own remote debugging (the Chrome DevTools Protocol) over a WebSocket.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import WebSocket from 'ws';

import { temporaryDirectory } from './cluster.mjs';
import { within } from './wait.mjs';

const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((at) => existsSync(at));
/** No sandbox: tests run as root. The rest keeps it from talking to anybody but these tests. */
const OPTIONS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--remote-debugging-port=0',
];

export class Chromium {
  #child;
  #socket;
  #waiting = new Map();
  #last = 0;

  /** `options`: further ones of its command line; `preferences`: what its user has set. */
  static async start(options = [], preferences = {}) {
    if (!PROGRAM) throw new Error('Chromium is missing: run `make setup` (Debian: apt-get install chromium)');
    const browser = new Chromium();
    const profile = path.join(temporaryDirectory(), 'profile');
    mkdirSync(path.join(profile, 'Default'), { recursive: true });
    writeFileSync(path.join(profile, 'Default', 'Preferences'), JSON.stringify(preferences));
    const child = spawn(PROGRAM, [...OPTIONS, ...options, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    browser.#child = child;
    let said = '';
    const address = new Promise((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (chunk) => {
        said += chunk;
        const [, url] = said.match(/DevTools listening on (ws:\S+)/) ?? [];
        if (url) resolve(url);
      });
      child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}:\n${said}`)));
    });
    browser.#socket = new WebSocket(await within("Chromium's address", address), { perMessageDeflate: false });
    browser.#socket.on('message', (data) => browser.#answered(JSON.parse(data)));
    await once(browser.#socket, 'open');
    return browser;
  }

  #answered({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  #call(method, params, sessionId) {
    const id = (this.#last += 1);
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return within(`${method} in Chromium`, answer);
  }

  /** Opens a page of its own. */
  async open(url) {
    const { targetId } = await this.#call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.#call('Target.attachToTarget', { targetId, flatten: true });
    await this.#call('Page.enable', {}, sessionId);
    const { errorText } = await this.#call('Page.navigate', { url }, sessionId);
    if (errorText) throw new Error(`${url}: ${errorText}`);
    /** What a (promise of a) JavaScript expression comes to in the page, once it is loaded. */
    const evaluate = async (expression) => {
      const { result, exceptionDetails } = await this.#call(
        'Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId,
      );
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
    await evaluate("new Promise((done) => (document.readyState === 'complete' ? done() : addEventListener('load', () => done())))");
    return { evaluate };
  }

  async close() {
    this.#socket?.close();
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
