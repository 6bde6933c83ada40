// Whatever a test file starts is registered here and ended with it: also when a test failed half way.

import { after } from 'node:test';

const endings = [];

/** Registers `end`, called (last registered first) after the last test of the file. */
export function atEnd(end) {
  endings.push(end);
}

after(async () => {
  for (const end of endings.reverse()) {
    try {
      await end();
    } catch (error) {
      process.stderr.write(`cleanup: ${error?.stack ?? error}\n`);
    }
  }
  // A handle that a failed test left open must not keep the run waiting; its report is written by then.
  setTimeout(() => process.exit(), 5_000).unref();
});
