/** Vedfolnir from Node.js: publish, the session store, reads, and what the server calls back. */

/** Whom a publish, or a change of sessions, concerns; none of the four: everybody in the namespace. */
export interface Target {
  /** `/` unless given. */
  namespace?: string;
  room?: string;
  rooms?: readonly string[];
  /** A client's `socket.id`. */
  session?: string;
  user?: string;
  /** But nobody who is in one of these rooms. */
  except?: readonly string[];
}

/** A publish as the HTTP API has it. */
export interface Publish extends Target {
  event: string;
  args?: readonly unknown[];
  /** Only to whoever is connected now; may be lost. */
  volatile?: boolean;
}

export interface CallOptions {
  /** Made for each call unless given: calls with the same key are done once. */
  idempotencyKey?: string;
  timeoutMs?: number;
}

export interface Published {
  /** Where it is in the log, as receivers get it; null for volatile ones, and where the node does not know. */
  offset: string | null;
  /** An earlier attempt, or an earlier call with the same key, had done it already. */
  replayed: boolean;
}

export interface BatchItem {
  /** 200 committed, 202 volatile and handed on, otherwise why not. */
  status: number;
  offset: string | null;
  error?: ApiError;
}

export interface Batch {
  /** One for each publish, in order. */
  items: BatchItem[];
  /** None of them has an error. */
  ok: boolean;
  replayed: boolean;
  idempotencyKey?: string;
}

export interface Presence {
  sessions: number;
  users: number;
}

export interface UserPresence {
  user: string;
  sessions: number;
}

export interface HistoryEvent {
  offset: string;
  event: string;
  args: unknown[];
  rooms: string[];
  except: string[];
  /** Whom it was for, if it was published to users. */
  users?: string[];
}

export interface Session {
  sid: string;
  namespace: string;
  user: string | null;
  rooms: string[];
  connected: boolean;
  node: string | null;
  data: unknown;
}

export interface ReadOptions {
  namespace?: string;
  room?: string;
  /** As of now, by a question to a majority; otherwise what the asked node has. */
  linearizable?: boolean;
  pageSize?: number;
}

export interface ClientOptions {
  token?: string;
  /** How long a call may take with everything that is tried for it; 30 s unless given. */
  timeoutMs?: number;
  /** How long one node may take to answer; 5 s unless given. */
  attemptTimeoutMs?: number;
  /** Options of `https.request`, for example `{ ca }`. */
  tls?: import('node:https').RequestOptions;
}

/**
 * A cluster's HTTP API; one for the whole program.
 *
 * A call that one node does not answer goes on with the next, for `timeoutMs` in all, then it rejects with `UnavailableError`.
 */
export class Client {
  /** `urls`: the API listeners of some nodes, better of all: `http://10.0.0.1:5003`. */
  constructor(urls: string | readonly string[], options?: ClientOptions);
  readonly store: Store;
  readonly sessions: Sessions;
  /** Resolves once it is committed on a majority, exactly once however often it was tried. Volatile ones are not tried again once they may have arrived. */
  publish(publish: Publish, options?: CallOptions): Promise<Published>;
  /** 1 to 1000 publishes, committed in their order; one that is wrong does not keep the others back. With volatile ones in it, it has no key and is not tried again once it may have been made. */
  batch(publishes: readonly Publish[], options?: CallOptions): Promise<Batch>;
  presence(options?: Omit<ReadOptions, 'pageSize'> & { user?: string }): Promise<Presence>;
  users(options?: ReadOptions): AsyncGenerator<UserPresence>;
  /** The kept events to a room, to a user or to the whole namespace, from the oldest or from the one behind `after` (none that nobody was there for); `HistoryGoneError`: there may be a hole. */
  history(options?: ReadOptions & { user?: string; after?: string }): AsyncGenerator<HistoryEvent>;
  /** Closes the connections that are kept; the client may still be used. */
  close(): void;
}

export interface Sessions {
  list(options?: ReadOptions & { user?: string; connected?: boolean }): AsyncGenerator<Session>;
  get(sid: string, options?: { namespace?: string }): Promise<Session | null>;
  /** Ends a session: its client is told `io server disconnect`. False: there was none. */
  end(sid: string, options?: { namespace?: string }): Promise<boolean>;
  /** Puts sessions into rooms; how many it concerns. */
  join(enter: readonly string[], target: Target): Promise<number>;
  leave(leave: readonly string[], target: Target): Promise<number>;
  disconnect(target: Target): Promise<number>;
}

export interface Entry {
  key: string;
  value: Buffer;
  readonly text: string;
  json<T = unknown>(): T;
  /** Opaque; another one after every write. */
  revision: string;
  expiresInMs: number | null;
}

export interface PutOptions {
  ttlMs?: number;
  /** Only if that is its revision still, otherwise `ConflictError`. Never tried again once it may have been written. */
  ifRevision?: string;
  /** Only if there is none. */
  ifAbsent?: boolean;
}

export interface Store {
  get(key: string, options?: { linearizable?: boolean }): Promise<Entry | null>;
  /** Its revision. */
  put(key: string, value: string | Uint8Array, options?: PutOptions): Promise<string>;
  putJson(key: string, value: unknown, options?: PutOptions): Promise<string>;
  /** False: there was none, or an earlier attempt of this very call had removed it. */
  delete(key: string, options?: { ifRevision?: string }): Promise<boolean>;
  list(prefix?: string, options?: { pageSize?: number }): AsyncGenerator<Entry>;
}

export type Secret = string | Uint8Array;
export type HeadersLike = Headers | Record<string, string | string[] | undefined>;

/** The value of `Vedfolnir-Signature` for a body: for tests of receivers. */
export function sign(body: Uint8Array | string, secret: Secret, timestamp: number): string;
/** The request's JSON, if it was signed with one of the secrets within the tolerance; otherwise throws `SignatureError`. */
export function verify(
  body: Uint8Array,
  headers: HeadersLike,
  secrets: Secret | readonly Secret[],
  options?: { toleranceSeconds?: number; now?: number },
): Record<string, unknown>;
export function newIdempotencyKey(): string;

/** Thrown by a connect handler: the client gets `connect_error` with this message and data. */
export class Refuse extends Error {
  constructor(message: string, data?: unknown);
  readonly data: unknown;
}

/** Whom a handler is called for, and what it wants done besides its answer. */
export class Context {
  /** The whole call. */
  readonly call: Record<string, unknown>;
  /** The same when the call is made again. */
  readonly id: string;
  readonly namespace: string;
  readonly sid?: string;
  /** Who the client is; a connect handler sets it. */
  user?: string;
  /** What the connect handler set for the session. */
  data?: unknown;
  readonly headers: Record<string, string>;
  readonly address?: string;
  readonly resuming: boolean;
  join(room: string): void;
  leave(room: string): void;
  /** Publishes with the answer: to the client itself unless it is said to whom; `broadcast`: to everybody. */
  emit(event: string, args?: readonly unknown[], target?: Target & { broadcast?: boolean; volatile?: boolean }): void;
  /** Ends the client's session once this is answered. */
  disconnect(): void;
}

/** What it returns is the ack: an array is several arguments, undefined is none. */
export type Handler = (context: Context, ...args: any[]) => unknown;

export interface BackendNamespace {
  on(event: string, handler: Handler): BackendNamespace;
}

/** Handlers by namespace and event. `connect` is called with the client's auth: false or `Refuse` keeps it out; `*` with what has no handler. */
export class Backend {
  constructor(
    secrets: Secret | readonly Secret[],
    options?: { toleranceSeconds?: number; onError?: (error: unknown, call: Record<string, unknown>) => void },
  );
  of(namespace: string): BackendNamespace;
  on(event: string, handler: Handler): this;
  onWebhook(type: string, handler: (event: Record<string, unknown>) => unknown): this;
  /** What to answer with, as JSON. 401: the request is not from Vedfolnir. */
  handle(headers: HeadersLike, body: Uint8Array): Promise<{ status: number; body: string }>;
}

export class VedfolnirError extends Error {}
/** A request is not from Vedfolnir, or too old to be believed. */
export class SignatureError extends VedfolnirError {}
/** A node refused the request: asking again would be answered the same. */
export class ApiError extends VedfolnirError {
  readonly status: number;
  /** The problem's type without its prefix: `unknown-session`. */
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** What is wrong, where it is a field, parameter or header: `publishes[2].event`. */
  readonly field?: string;
  readonly problem: Record<string, unknown>;
}
export class AuthenticationError extends ApiError {}
export class ForbiddenError extends ApiError {}
export class NotFoundError extends ApiError {}
export class InvalidRequestError extends ApiError {}
export class IdempotencyKeyReusedError extends ApiError {}
export class ConflictError extends ApiError {}
export class HistoryGoneError extends ApiError {}
/** No node did it within the call's time. With `uncertain` it may have been done all the same: call again with `idempotencyKey`. */
export class UnavailableError extends VedfolnirError {
  readonly attempts: number;
  readonly uncertain: boolean;
  readonly idempotencyKey?: string;
  readonly retryAfterMs?: number;
}
