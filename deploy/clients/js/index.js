// Vedfolnir from Node.js: publish, the session store, reads, and what the server calls back; without dependencies.

export { Backend, Context, Refuse } from './lib/backend.js';
export { Client, newIdempotencyKey } from './lib/client.js';
export {
  ApiError,
  AuthenticationError,
  ConflictError,
  ForbiddenError,
  HistoryGoneError,
  IdempotencyKeyReusedError,
  InvalidRequestError,
  NotFoundError,
  SignatureError,
  UnavailableError,
  VedfolnirError,
} from './lib/errors.js';
export { sign, verify } from './lib/webhooks.js';
