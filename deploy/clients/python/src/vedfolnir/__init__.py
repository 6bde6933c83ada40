"""Vedfolnir from Python: publish, the session store, reads, and what the server calls back; without dependencies."""

from __future__ import annotations

from ._backend import Backend, Context, Refuse
from ._client import (
    Batch,
    BatchItem,
    Client,
    HistoryEvent,
    Presence,
    Published,
    Session,
    Sessions,
    UserPresence,
    new_idempotency_key,
)
from ._errors import (
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
)
from ._store import Entry, JsonMapping, Store
from ._webhooks import sign, verify

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "AuthenticationError",
    "Backend",
    "Batch",
    "BatchItem",
    "Client",
    "ConflictError",
    "Context",
    "Entry",
    "ForbiddenError",
    "HistoryEvent",
    "HistoryGoneError",
    "IdempotencyKeyReusedError",
    "InvalidRequestError",
    "JsonMapping",
    "NotFoundError",
    "Presence",
    "Published",
    "Refuse",
    "Session",
    "Sessions",
    "SignatureError",
    "Store",
    "UnavailableError",
    "UserPresence",
    "VedfolnirError",
    "new_idempotency_key",
    "sign",
    "verify",
]
