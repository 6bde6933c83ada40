// Handlers for what Vedfolnir calls back (docs/backend.md): one function from a request to an answer, for any framework.

import { SignatureError } from './errors.js';
import { verify } from './webhooks.js';

/** Thrown by a connect handler: the client gets `connect_error` with this message and data. */
export class Refuse extends Error {
  constructor(message, data) {
    super(message);
    this.data = data;
  }
}

export class Context {
  #done = { emit: [], join: [], leave: [], disconnect: false };

  constructor(call) {
    const { id, namespace = '/', sid, user, data, headers = {}, address, resuming = false } = call;
    Object.assign(this, { call, id, namespace, sid, user, data, headers, address, resuming });
  }

  join(room) {
    this.#done.join.push(room);
  }

  leave(room) {
    this.#done.leave.push(room);
  }

  emit(event, args = [], { broadcast = false, ...target } = {}) {
    const { namespace = this.namespace, ...whom } = target;
    const isNobodyNamed = ['room', 'rooms', 'session', 'user'].every((name) => whom[name] === undefined);
    if (!broadcast && isNobodyNamed) whom.session = this.sid;
    this.#done.emit.push({ namespace, ...whom, event, args });
  }

  disconnect() {
    this.#done.disconnect = true;
  }

  /** What the handler wants done, for the answer; nothing that is empty. */
  get done() {
    const { emit, join, leave, disconnect } = this.#done;
    return {
      ...(emit.length > 0 && { emit }),
      ...(join.length > 0 && { join }),
      ...(leave.length > 0 && { leave }),
      ...(disconnect && { disconnect }),
    };
  }
}

/** Arguments with the attachments, which came in base64, where their placeholders are. */
function withBytes(value, attachments) {
  if (attachments.length === 0 || value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((item) => withBytes(item, attachments));
  if (value._placeholder === true) return Buffer.from(attachments[value.num], 'base64');
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withBytes(item, attachments)]));
}

export class Backend {
  #secrets;
  #toleranceSeconds;
  #onError;
  #handlers = new Map();
  #webhooks = new Map();

  constructor(secrets, { toleranceSeconds, onError = (error) => console.error(error) } = {}) {
    this.#secrets = secrets;
    this.#toleranceSeconds = toleranceSeconds;
    this.#onError = onError;
  }

  of(namespace) {
    const scope = {
      on: (event, handler) => {
        this.#handlers.set(`${namespace}\0${event}`, handler);
        return scope;
      },
    };
    return scope;
  }

  on(event, handler) {
    this.of('/').on(event, handler);
    return this;
  }

  onWebhook(type, handler) {
    this.#webhooks.set(type, handler);
    return this;
  }

  async handle(headers, body) {
    let call;
    try {
      call = verify(body, headers, this.#secrets, { toleranceSeconds: this.#toleranceSeconds });
    } catch (error) {
      if (!(error instanceof SignatureError)) throw error;
      return { status: 401, body: JSON.stringify({ error: error.message }) };
    }
    try {
      return { status: 200, body: JSON.stringify(await this.#called(call)) };
    } catch (error) {
      this.#onError(error, call);
      return { status: 500, body: JSON.stringify({ error: 'the handler failed' }) };
    }
  }

  async #called(call) {
    if (call.type === 'connect') return this.#connect(new Context(call), call.auth);
    if (call.type === 'event') {
      return this.#event(new Context(call), call.event, withBytes(call.args ?? [], call.attachments ?? []));
    }
    await this.#webhooks.get(call.type)?.(call);
    return {};
  }

  async #connect(context, auth) {
    const handler = this.#handlers.get(`${context.namespace}\0connect`);
    if (!handler) return {};
    try {
      if ((await handler(context, auth)) === false) throw new Refuse('Connection rejected by server');
    } catch (error) {
      if (!(error instanceof Refuse)) throw error;
      return { refuse: { message: error.message, ...(error.data !== undefined && { data: error.data }) } };
    }
    const { user, data, done } = context;
    return { ...(user != null && { user }), ...(done.join && { rooms: done.join }), ...(data != null && { data }) };
  }

  async #event(context, event, args) {
    const named = this.#handlers.get(`${context.namespace}\0${event}`);
    const other = this.#handlers.get(`${context.namespace}\0*`);
    const returned = named ? await named(context, ...args) : await other?.(context, event, ...args);
    // An array is several arguments, undefined is none.
    const ack = returned === undefined ? [] : [returned].flat();
    return { ...(context.call.wants_ack && { ack }), ...context.done };
  }
}
