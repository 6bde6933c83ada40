// Certificates made with the openssl command, in a temporary directory: a root, an intermediate, leaves of any kind.

import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { temporaryDirectory } from './cluster.mjs';

const KEYS = {
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['-newkey', 'rsa:2048'],
  ed25519: ['-newkey', 'ed25519'],
};
const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];

export function openssl(...args) {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** The serial number of a certificate's file, in capital hexadecimal digits. */
export const serialOf = (file) => openssl('x509', '-in', file, '-noout', '-serial').trim().split('=')[1];

/** A root, and an intermediate that signs the leaves. */
export class Authority {
  constructor() {
    this.directory = temporaryDirectory();
    const root = this.#make('root', AUTHORITY, { by: null });
    const intermediate = this.#make('intermediate', AUTHORITY, { by: root });
    /** The root's certificate: what clients trust. */
    this.root = root.certificate;
    this.intermediate = intermediate;
  }

  /** What clients of npm want: the root's text. */
  get pem() {
    return readFileSync(this.root, 'utf8');
  }

  /**
   * A leaf, its certificate's file ending with the intermediate: { certificate, key, serial }.
   * `names`: as in subjectAltName; `usage`: `serverAuth` or `clientAuth`; `days`: negative for one that has expired.
   */
  issue(name, { kind = 'ec', names = 'DNS:localhost,IP:127.0.0.1', usage = 'serverAuth', days = 90 } = {}) {
    const extensions = [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature',
      `extendedKeyUsage=${usage}`,
      'authorityKeyIdentifier=keyid',
      ...(names ? [`subjectAltName=${names}`] : []),
    ];
    const leaf = this.#make(name, extensions, { by: this.intermediate, kind, days });
    const serial = serialOf(leaf.certificate);
    appendFileSync(leaf.certificate, readFileSync(this.intermediate.certificate));
    return { ...leaf, serial };
  }

  path(name) {
    return path.join(this.directory, name);
  }

  #make(name, extensions, { by, kind = 'ec', days = 90 }) {
    const [certificate, key, request, config] = ['pem', 'key', 'csr', 'cnf'].map((end) => this.path(`${name}.${end}`));
    writeFileSync(config, `[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=${name}\n[x]\n${extensions.join('\n')}\n`);
    openssl('req', '-new', '-config', config, ...KEYS[kind], '-nodes', '-keyout', key, '-out', request);
    const signer = by ? ['-CA', by.certificate, '-CAkey', by.key, '-CAcreateserial'] : ['-signkey', key];
    const period = ['-days', String(days)];
    openssl('x509', '-req', '-in', request, ...signer, ...period, '-extfile', config, '-extensions', 'x', '-out', certificate);
    return { certificate, key };
  }
}

/** Puts `content` at `file` as certificate tools do: written beside it (0600), then renamed over it. */
export function exchange(file, content) {
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
