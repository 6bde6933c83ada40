"""Errors: what a node answered (by the type of its problem), or that none answered in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "ForbiddenError",
    "HistoryGoneError",
    "IdempotencyKeyReusedError",
    "InvalidRequestError",
    "NotFoundError",
    "SignatureError",
    "UnavailableError",
    "VedfolnirError",
]

PREFIX = "urn:vedfolnir:problem:"


class VedfolnirError(Exception):
    """The root of everything that this package raises on its own."""


class SignatureError(VedfolnirError):
    """A request is not from Vedfolnir, or too old to be believed. Answer it with 401 and do nothing."""


class ApiError(VedfolnirError):
    """A node refused the request: asking again would be answered the same."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        """The HTTP status."""
        self.type = str(problem.get("type") or "about:blank").replace(PREFIX, "", 1)
        """The problem's type without its prefix, as docs/http-api.md lists it: ``unknown-session``. Go by this."""
        self.title = str(problem.get("title") or "")
        self.detail = str(problem.get("detail") or "")
        """What is wrong this time, for people."""
        self.field: str | None = problem.get("field")
        """The field, parameter or header that is wrong, where it is one: ``publishes[2].event``."""
        self.problem: dict[str, Any] = dict(problem)
        """The whole problem as it was answered."""
        where = f" ({self.field})" if self.field else ""
        super().__init__(f"{status} {self.type}{where}: {self.detail or self.title or 'no details'}")


class AuthenticationError(ApiError):
    """401: no token, or not one of the node's."""


class ForbiddenError(ApiError):
    """403: the token's role does not allow it."""


class NotFoundError(ApiError):
    """404: there is no such namespace, session, entry or path; ``type`` says which."""


class InvalidRequestError(ApiError):
    """400, 405, 413, 415 or 422: the request is not as it must be; ``field`` says where."""


class IdempotencyKeyReusedError(ApiError):
    """409: the key was used for another request already."""


class ConflictError(ApiError):
    """412: the entry is not as the write expected it; nothing was written."""


class HistoryGoneError(ApiError):
    """410: what comes after this offset is kept no longer."""


class UnavailableError(VedfolnirError):
    """No node did it within the call's time.

    ``uncertain``: it may have been done all the same (an answer was lost, or no majority answered). Call again with
    ``idempotency_key=error.idempotency_key``, and it is done once, whatever happened.
    """

    def __init__(
        self,
        reason: str,
        *,
        attempts: int,
        uncertain: bool,
        idempotency_key: str | None = None,
        retry_after: float | None = None,
        last: BaseException | None = None,
    ) -> None:
        self.attempts = attempts
        """How often it was tried."""
        self.uncertain = uncertain
        self.idempotency_key = idempotency_key
        self.retry_after = retry_after
        """Seconds after which the nodes asked to be tried again, if they did."""
        self.last = last
        """The last failure: an :class:`ApiError`, or an error of the connection."""
        end = "it may or may not have been done" if uncertain else "nothing was done"
        super().__init__(f"{reason} after {attempts} attempt{'' if attempts == 1 else 's'}; {end}: {last}")


_BY_STATUS = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: IdempotencyKeyReusedError,
    410: HistoryGoneError,
    412: ConflictError,
    400: InvalidRequestError,
    405: InvalidRequestError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
}


def error_of(status: int, problem: Any) -> ApiError:
    """The error for an answer, whose body may be anything (a proxy in between answers HTML)."""
    known = problem if isinstance(problem, Mapping) else {}
    return _BY_STATUS.get(status, ApiError)(status, known)
