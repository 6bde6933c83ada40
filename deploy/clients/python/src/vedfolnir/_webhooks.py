"""Whether a request is from Vedfolnir: the signature of webhooks and of the backend proxy's calls."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Union

from ._errors import SignatureError

TOLERANCE_SECONDS = 300
_SIGNATURES_MAX = 16

Secret = Union[str, bytes]


def sign(body: bytes, secret: Secret, timestamp: int) -> str:
    """The value of ``Vedfolnir-Signature`` for a body: for tests of receivers."""
    return "v1=" + _digest(body, secret, str(timestamp))


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Secret | Iterable[Secret],
    *,
    tolerance: int = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The request's JSON, if it was signed with one of the secrets within the last ``tolerance`` seconds.

    ``body`` is the request's body as it came, not parsed and written again; ``headers`` may have any case. Several
    secrets: those that are good while one replaces the other. Otherwise :class:`SignatureError`.

    A request that was seen before is signed as well as the first: deliveries are at least once, go by the ``id``.
    """
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError("verify needs the bytes that came: request.get_data() in Flask, request.body in Django")
    known = [secrets] if isinstance(secrets, (str, bytes)) else list(secrets)
    if not known or not all(known):
        raise ValueError("no secret, or an empty one, would verify anything")
    found = {name.lower(): value for name, value in headers.items()}
    timestamp = found.get("vedfolnir-timestamp", "").strip()
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("Vedfolnir-Timestamp is missing, or no number of seconds")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > tolerance:
        raise SignatureError(f"the request was signed {age:.0f} s ago, accepted: within {tolerance} s of now")
    parts = [part.strip() for part in found.get("vedfolnir-signature", "").split(",")]
    given = [part[3:] for part in parts if part.startswith("v1=")]
    if not given:
        raise SignatureError("Vedfolnir-Signature is missing, or has no signature of version v1")
    content = bytes(body)
    is_right = False
    for secret in known:
        expected = _digest(content, secret, timestamp).encode()
        for signature in given[:_SIGNATURES_MAX]:
            # All of them, so that the time taken does not tell which was right.
            is_right |= hmac.compare_digest(expected, signature.encode())
    if not is_right:
        raise SignatureError("no signature is that of a known secret over this body")
    try:
        event = json.loads(content)
    except ValueError as error:
        raise SignatureError("the body is no JSON") from error
    if not isinstance(event, dict):
        raise SignatureError("the body is no JSON object")
    return event


def _digest(body: bytes, secret: Secret, timestamp: str) -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
