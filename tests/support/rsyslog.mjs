// A real rsyslogd with the configuration of deploy/logging/rsyslog.conf, in a directory and on ports of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { freePort, temporaryDirectory } from './cluster.mjs';
import { until, within } from './wait.mjs';

const EXAMPLE = new URL('../../deploy/logging/rsyslog.conf', import.meta.url);

/** What rsyslog understood of a message, as names of its properties. */
const PROPERTIES = [
  'pri', 'protocol-version', 'app-name', 'procid', 'msgid', 'hostname', 'structured-data', 'inputname',
  'syslogfacility-text', 'syslogseverity-text', 'programname', 'msg', 'rawmsg',
];

const parsed = (file) => `
    action(type="omfile" file="${file}" template="parsed")`;
const TEMPLATE = `
template(name="parsed" type="list" option.jsonf="on") {
${PROPERTIES.map((name) => `    property(outname="${name}" name="${name}" format="jsonf")`).join('\n')}
    property(outname="timereported" name="timereported" dateFormat="rfc3339" format="jsonf")
}
`;

export class Rsyslog {
  #child = null;
  #stderr = '';

  /** `leaf`: the certificate of the TLS listener, by `authority`. */
  static async start({ authority, leaf }) {
    const rsyslog = new Rsyslog();
    const directory = temporaryDirectory();
    const [plain, secure] = [await freePort(), await freePort()];
    Object.assign(rsyslog, { directory, plain, secure });
    rsyslog.records = path.join(directory, 'remote.log');
    rsyslog.messages = path.join(directory, 'parsed.log');
    let text = readFileSync(EXAMPLE, 'utf8');
    for (const [from, to] of [
      ['port="514"', `port="${plain}" address="127.0.0.1"`],
      ['port="6514"', `port="${secure}" address="127.0.0.1"`],
      ['/var/spool/rsyslog', directory],
      ['/var/log/vedfolnir/remote.log', rsyslog.records],
      ['/etc/rsyslog/ca.pem', authority.root],
      ['/etc/rsyslog/cert.pem', leaf.certificate],
      ['/etc/rsyslog/key.pem', leaf.key],
      ['ruleset(name="vedfolnir") {', `${TEMPLATE}ruleset(name="vedfolnir") {${parsed(rsyslog.messages)}`],
    ]) {
      if (!text.includes(from)) throw new Error(`the example has no ${from}`);
      text = text.replaceAll(from, to);
    }
    writeFileSync(path.join(directory, 'rsyslog.conf'), text);
    process.once('exit', () => rsyslog.#child?.kill('SIGKILL'));
    await rsyslog.run();
    return rsyslog;
  }

  /** Starts it, or starts it again. */
  async run() {
    const file = (name) => path.join(this.directory, name);
    const child = spawn('rsyslogd', ['-n', '-f', file('rsyslog.conf'), '-i', file('pid')], {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.stderr.on('data', (chunk) => { this.#stderr += chunk; });
    child.once('error', (error) => { this.#stderr += error.message; });
    for (const port of [this.plain, this.secure]) {
      await until(() => `rsyslogd listens: ${this.#stderr}`, async () => {
        const socket = net.connect(port, '127.0.0.1');
        await within('a connection to rsyslogd', once(socket, 'connect'), 2_000);
        socket.destroy();
        return true;
      });
    }
  }

  async stop() {
    if (!this.#child || this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await within('the end of rsyslogd', gone, 20_000);
  }

  url(transport) {
    const port = transport === 'tls' ? this.secure : this.plain;
    return `${transport}://${transport === 'tls' ? 'localhost' : '127.0.0.1'}:${port}`;
  }

  /** Everything that came, as rsyslog understood it; `record` is the JSON object at the end of each. */
  get received() {
    return lines(this.messages).map((line) => {
      const message = JSON.parse(line);
      return { ...message, record: JSON.parse(message.msg) };
    });
  }
}

function lines(file) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').slice(0, -1);
}
