// Errors: what a node answered (by the type of its problem), or that none answered in time.

const PREFIX = 'urn:vedfolnir:problem:';

/** A problem's type without its prefix. */
export const kindOf = (problem) =>
  typeof problem?.type === 'string' ? problem.type.replace(PREFIX, '') : 'about:blank';

export class VedfolnirError extends Error {
  get name() {
    return this.constructor.name;
  }
}

export class SignatureError extends VedfolnirError {}

export class ApiError extends VedfolnirError {
  constructor(status, problem) {
    const { title = '', detail = '', field } = problem ?? {};
    const type = kindOf(problem);
    super(`${status} ${type}${field ? ` (${field})` : ''}: ${detail || title || 'no details'}`);
    Object.assign(this, { status, type, title, detail, field, problem: problem ?? {} });
  }
}

export class AuthenticationError extends ApiError {}
export class ForbiddenError extends ApiError {}
export class NotFoundError extends ApiError {}
export class InvalidRequestError extends ApiError {}
export class IdempotencyKeyReusedError extends ApiError {}
export class ConflictError extends ApiError {}
export class HistoryGoneError extends ApiError {}

export class UnavailableError extends VedfolnirError {
  constructor(reason, { attempts, uncertain, idempotencyKey, retryAfterMs, cause }) {
    const end = uncertain ? 'it may or may not have been done' : 'nothing was done';
    super(`${reason} after ${attempts} attempt${attempts === 1 ? '' : 's'}; ${end}: ${cause?.message ?? cause}`, { cause });
    Object.assign(this, { attempts, uncertain, idempotencyKey, retryAfterMs });
  }
}

const BY_STATUS = new Map([
  [401, AuthenticationError],
  [403, ForbiddenError],
  [404, NotFoundError],
  [409, IdempotencyKeyReusedError],
  [410, HistoryGoneError],
  [412, ConflictError],
  ...[400, 405, 413, 415, 422].map((status) => [status, InvalidRequestError]),
]);

/** The error for an answer, whose body may be anything (a proxy in between answers HTML). */
export function errorOf(status, problem) {
  const known = problem !== null && typeof problem === 'object' && !Array.isArray(problem) ? problem : null;
  return new (BY_STATUS.get(status) ?? ApiError)(status, known);
}
