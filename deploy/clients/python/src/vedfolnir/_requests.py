"""The API's requests in JSON: GET with parameters, POST, pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ._errors import ApiError
from ._transport import Answer, Transport

API = "/api/v1"


def absent(error: ApiError, field: str) -> None:
    """Passes over what is not there; any other 404 (a namespace, a path) is an error still."""
    if error.field != field:
        raise error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def get(transport: Transport, path: str, **query: Any) -> Any:
    """What is answered to a GET; parameters that are None are left out."""
    text = urlencode({name: _text(value) for name, value in query.items() if value is not None}, quote_via=quote)
    return transport.request("GET", f"{API}{path}" + (f"?{text}" if text else "")).json()


def post(
    transport: Transport,
    path: str,
    body: Any,
    *,
    idempotency_key: str | None = None,
    repeatable: bool = True,
    timeout: float | None = None,
) -> Answer:
    """What is answered to a POST of JSON."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return transport.request(
        "POST",
        API + path,
        body=content,
        headers={"Content-Type": "application/json"},
        idempotency_key=idempotency_key,
        repeatable=repeatable,
        timeout=timeout,
    )


def pages(transport: Transport, path: str, name: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What is in all pages, each asked for when the one before is used up."""
    after = query.get("after")
    while True:
        page = get(transport, path, **{**query, "after": after})
        views: list[Mapping[str, Any]] = page[name]
        yield from views
        after = page.get("next")
        if after is None:
            return
