// Waiting: for a condition, for an event, each with a generous ceiling and a name for the failure message.

export const PATIENCE_MS = Number(process.env.VEDFOLNIR_TEST_PATIENCE_MS ?? 60_000);

/** Thrown by a check: there is nothing left to wait for. */
export class InVain extends Error {}

/** Resolves with the first truthy value of `check`, asked every few milliseconds (for what announces itself by no event). */
export async function until(what, check, { within = PATIENCE_MS, every = 20 } = {}) {
  const deadline = performance.now() + within;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error instanceof InVain) throw error;
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${within} ms in vain until ${typeof what === 'function' ? what() : what}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Resolves with the arguments of the next `event`. */
export function next(emitter, event, { within = PATIENCE_MS, what = event } = {}) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.off(event, listener);
      reject(new Error(`waited ${within} ms in vain for ${what}`));
    }, within);
    const listener = (...args) => {
      clearTimeout(timer);
      emitter.off(event, listener);
      resolve(args);
    };
    emitter.on(event, listener);
  });
}

/** Puts a ceiling on a promise. */
export async function within(what, promise, limit = PATIENCE_MS) {
  let timer;
  const ceiling = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit} ms in vain for ${what}`)), limit);
  });
  try {
    return await Promise.race([promise, ceiling]);
  } finally {
    clearTimeout(timer);
  }
}

/** An unconditional pause: only where time itself is what the test is about (a pace, a window). */
export const pace = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
