// What a page of docs/ tells people to type.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The shell blocks of a chapter of docs/`page`, together. */
export function commands(page, chapter) {
  const text = readFileSync(fileURLToPath(new URL(`../../docs/${page}`, import.meta.url)), 'utf8');
  const found = text.split(/^## /m).find((part) => part.startsWith(`${chapter}\n`));
  const blocks = [...(found ?? '').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('');
  if (!blocks) throw new Error(`docs/${page} has no chapter ${chapter} with commands`);
  return blocks;
}
