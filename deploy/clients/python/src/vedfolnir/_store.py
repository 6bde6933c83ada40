"""The replicated key-value store: entries with revisions and times to live, and a mapping of JSON values over them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Union
from urllib.parse import quote, urlencode

from ._errors import ConflictError, NotFoundError
from ._requests import API, absent, pages
from ._transport import Transport

Value = Union[bytes, str]


@dataclass(frozen=True)
class Entry:
    """An entry as it was read."""

    key: str
    value: bytes
    revision: str
    """Opaque; another one after every write."""
    expires_in: float | None
    """Seconds until it ends; None: it does not."""

    @property
    def text(self) -> str:
        return self.value.decode()

    def json(self) -> Any:
        return json.loads(self.value)


class Store:
    """Values of at most 256 KiB under keys of at most 512 bytes; what is written is on a majority of the nodes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, key: str, *, linearizable: bool = False) -> Entry | None:
        """An entry; None: there is none, or its time is over.

        By default what the asked node has, which may be behind by what is on its way to it; ``linearizable``: as of now.
        """
        query = {"consistency": "linearizable"} if linearizable else {}
        try:
            answer = self._transport.request("GET", _path(key, query), headers={"Accept": "*/*"})
        except NotFoundError as error:
            absent(error, "key")
            return None
        expires = answer.headers.get("vedfolnir-expires-in-ms")
        return Entry(key, answer.body, _revision(answer.headers), None if expires is None else int(expires) / 1000)

    def put(
        self,
        key: str,
        value: Value,
        *,
        ttl: float | None = None,
        if_revision: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Writes an entry, for ``ttl`` seconds if given; its revision.

        ``if_revision``: only if that is the entry's revision still; ``if_absent``: only if there is none; otherwise
        :class:`ConflictError`. Such a write is never tried again once it may have been made: then
        :class:`UnavailableError` with ``uncertain`` set; read the entry.
        """
        if if_absent and if_revision is not None:
            raise ValueError("if_absent and if_revision exclude each other")
        headers = {"Content-Type": "application/octet-stream"}
        if if_absent:
            headers["If-None-Match"] = "*"
        elif if_revision is not None:
            headers["If-Match"] = f'"{if_revision}"'
        query = {} if ttl is None else {"ttl_ms": str(_milliseconds(ttl))}
        body = value.encode() if isinstance(value, str) else bytes(value)
        is_conditional = if_absent or if_revision is not None
        answer = self._transport.request(
            "PUT", _path(key, query), body=body, headers=headers, repeatable=not is_conditional
        )
        return _revision(answer.headers)

    def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Removes an entry. False: there was none; or an earlier attempt of this very call had removed it."""
        headers = {} if if_revision is None else {"If-Match": f'"{if_revision}"'}
        answer = self._transport.request("DELETE", _path(key, {}), headers=headers, repeatable=if_revision is None)
        return bool(answer.json()["existed"])

    def list(self, prefix: str = "", *, page_size: int = 100) -> Iterator[Entry]:
        """Entries in the order of their keys, page by page as they are asked for; the pages together are no snapshot."""
        for view in pages(self._transport, "/store", "entries", {"prefix": prefix, "limit": page_size}):
            encoded = view.get("value_base64")
            expires = view.get("expires_in_ms")
            yield Entry(
                key=view["key"],
                value=view["value"].encode() if encoded is None else base64.b64decode(encoded),
                revision=str(view["revision"]),
                expires_in=None if expires is None else expires / 1000,
            )

    def mapping(self, prefix: str, *, ttl: float | None = None) -> JsonMapping:
        """JSON values under a prefix as a ``dict``, for example ``store.mapping("vedfolnir:session:", ttl=86400)``."""
        return JsonMapping(self, prefix, ttl)


class JsonMapping(MutableMapping[str, Any]):
    """A ``dict`` of JSON values in the store; every write gives its entry a new time to live.

    The last write wins, as in a ``dict``; where that is not enough use :meth:`Store.put` with ``if_revision``. A value
    that was read is a copy: to change it, write it again.
    """

    def __init__(self, store: Store, prefix: str, ttl: float | None = None) -> None:
        self._store = store
        self._prefix = prefix
        self._ttl = ttl

    def __getitem__(self, name: str) -> Any:
        entry = self._store.get(self._prefix + name, linearizable=True)
        if entry is None:
            raise KeyError(name)
        return entry.json()

    def __setitem__(self, name: str, value: Any) -> None:
        self._store.put(self._prefix + name, json.dumps(value, separators=(",", ":"), allow_nan=False), ttl=self._ttl)

    def __delitem__(self, name: str) -> None:
        if not self._store.delete(self._prefix + name):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for entry in self._store.list(self._prefix):
            yield entry.key[len(self._prefix) :]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._store.get(self._prefix + name, linearizable=True) is not None

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value, or ``default`` once nobody else has written one first."""
        while True:
            try:
                return self[name]
            except KeyError:
                pass
            try:
                value = json.dumps(default, separators=(",", ":"), allow_nan=False)
                self._store.put(self._prefix + name, value, ttl=self._ttl, if_absent=True)
                return default
            except ConflictError:
                continue


def _path(key: str, query: dict[str, str]) -> str:
    return f"{API}/store/{quote(key, safe=':')}" + (f"?{urlencode(query)}" if query else "")


def _revision(headers: Any) -> str:
    return str(headers.get("etag", "")).strip('"')


def _milliseconds(seconds: float) -> int:
    milliseconds = round(seconds * 1000)
    if milliseconds < 1:
        raise ValueError(f"a time to live of {seconds} s; accepted: 1 ms and more")
    return milliseconds
