"""Requests to several nodes: connections that are kept, one request's attempts, what may be tried again and when."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ._errors import PREFIX, ApiError, UnavailableError, VedfolnirError, error_of

CONNECT_SECONDS_MAX = 2.0
IDLE_SECONDS_MAX = 20.0
IDLE_CONNECTIONS_MAX = 16
DELAY_SECONDS_MIN = 0.1
DELAY_SECONDS_MAX = 2.0
# Answers that come before anything was done.
_DEFINITE = {"overloaded", "not-ready", "old-format", "too-many-wrong-tokens", "timeout"}

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """A node's answer of the 2xx."""

    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise VedfolnirError("the answer is no JSON: is this the address of a node's API listener?") from error


def back_off(failures: int, nodes: int, jitter: float) -> float:
    """Seconds to wait after so many failures: every node is asked once without waiting, then doubling with jitter (0 to 1)."""
    if failures < nodes:
        return 0.0
    delay = min(DELAY_SECONDS_MAX, DELAY_SECONDS_MIN * 2.0 ** min(failures - nodes, 16))
    return delay * (0.5 + jitter / 2)


def seconds_of(retry_after: str | None) -> float:
    """A ``Retry-After`` in seconds; 0 for none, and for a date, which nodes do not send."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0.0


def judge(status: int, problem: Any) -> tuple[bool, bool]:
    """Whether an answer that is no success may be asked for again, and whether it may have been done all the same."""
    kind = problem.get("type") if isinstance(problem, Mapping) else None
    if status in (408, 429):
        return True, False
    if status >= 500 and status not in (501, 507):
        return True, not (isinstance(kind, str) and kind.replace(PREFIX, "", 1) in _DEFINITE)
    return False, False


class _Node:
    """One node's address, the connections to it that are idle, and until when it asked to be left alone."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no node's address; accepted: http://HOST:PORT, https://HOST:PORT")
        if parts.username or parts.password:
            raise ValueError("a node's address has no user and password: give the token as token=…")
        self.url = url
        self.host = parts.hostname
        self.port = parts.port
        self.path = parts.path.rstrip("/")
        self.context = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        self.not_before = 0.0
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def idle(self) -> http.client.HTTPConnection | None:
        now = time.monotonic()
        with self._lock:
            if self._pid != os.getpid():
                # Of the process that forked this one, which goes on using them.
                self._idle, self._pid = [], os.getpid()
            while self._idle:
                connection, since = self._idle.pop()
                if now - since < IDLE_SECONDS_MAX:
                    return connection
                connection.close()
        return None

    def keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < IDLE_CONNECTIONS_MAX and self._pid == os.getpid():
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def fresh(self, seconds: float) -> http.client.HTTPConnection:
        """Connected: an error up to here means that nothing was sent."""
        within = min(CONNECT_SECONDS_MAX, seconds)
        connection: http.client.HTTPConnection
        if self.context is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=within)
        else:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=within, context=self.context)
        connection.connect()
        if connection.sock is not None:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Transport:
    """Any node serves any request: calls stay with the one that answered last, and go on to the next when it does not."""

    def __init__(
        self,
        urls: str | Iterable[str],
        token: str | None,
        timeout: float,
        attempt_timeout: float,
        context: ssl.SSLContext | None,
    ) -> None:
        self._nodes = [_Node(url, context) for url in ([urls] if isinstance(urls, str) else urls)]
        if not self._nodes:
            raise ValueError("no node's address was given")
        if timeout <= 0 or attempt_timeout <= 0:
            raise ValueError("time-outs are seconds above 0")
        self._token = token
        self.timeout = timeout
        self._attempt_timeout = attempt_timeout
        # Programs that start together begin with different nodes.
        self._current = random.randrange(len(self._nodes))

    def close(self) -> None:
        for node in self._nodes:
            node.close()

    def move_on(self) -> None:
        """Begins the next request with another node."""
        self._current = (self._current + 1) % len(self._nodes)

    def _next_of(self, index: int) -> int:
        """The next node that did not ask to be left alone; otherwise the one whose time comes first."""
        nodes, now = self._nodes, time.monotonic()
        order = [(index + step) % len(nodes) for step in range(1, len(nodes) + 1)]
        return min(order, key=lambda other: max(nodes[other].not_before, now))

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        repeatable: bool = True,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """An answer of the 2xx, or an error.

        What is not ``repeatable`` is asked for again only after answers and failures that say that nothing was done.
        """
        all_headers = {"Accept": "application/json", "User-Agent": "vedfolnir-python", **(headers or {})}
        if self._token is not None:
            all_headers["Authorization"] = f"Bearer {self._token}"
        if idempotency_key is not None:
            all_headers["Idempotency-Key"] = idempotency_key
        total = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + total
        nodes = len(self._nodes)
        index = self._next_of(self._current - 1)
        failures = 0
        uncertain = False

        def given_up(reason: str, last: BaseException, retry_after: float | None = None) -> UnavailableError:
            return UnavailableError(
                reason,
                attempts=failures,
                uncertain=uncertain,
                idempotency_key=idempotency_key,
                retry_after=retry_after,
                last=last,
            )

        fresh_only = not repeatable
        while True:
            node = self._nodes[index]
            remaining = max(0.001, deadline - time.monotonic())
            within = min(self._attempt_timeout, remaining) if repeatable else remaining
            last: BaseException
            # A connection that was idle may be closed already, which shows only when it is used.
            kept = None if fresh_only else node.idle()
            try:
                connection = kept or node.fresh(within)
            except OSError as error:
                last = error
            else:
                try:
                    status, answered, content = _exchange(node, connection, method, path, body, all_headers, within)
                except (OSError, http.client.HTTPException) as error:
                    uncertain = True
                    last = error
                    if kept is not None and not isinstance(error, socket.timeout):
                        # No failure of the node: the same again on a new connection.
                        fresh_only = True
                        node.close()
                        continue
                    if not repeatable:
                        failures += 1
                        raise given_up("the answer was lost", last) from error
                else:
                    if 200 <= status < 300:
                        self._current = index
                        return Answer(status, answered, content)
                    problem = _problem(content)
                    refusal: ApiError = error_of(status, problem)
                    may_repeat, is_unsure = judge(status, problem)
                    if not may_repeat:
                        self._current = index
                        raise refusal
                    last = refusal
                    uncertain = uncertain or is_unsure
                    node.not_before = time.monotonic() + seconds_of(answered.get("retry-after"))
                    if is_unsure and not repeatable:
                        failures += 1
                        raise given_up("no node could say what became of it", last) from refusal
            failures += 1
            now = time.monotonic()
            index = self._next_of(index)
            asked_to_wait = self._nodes[index].not_before - now
            delay = max(back_off(failures, nodes, random.random()), asked_to_wait)
            if now + delay >= deadline:
                raise given_up(f"gave up within {total:g} s", last, max(asked_to_wait, 0.0) or None) from last
            time.sleep(delay)


def _exchange(
    node: _Node,
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    within: float,
) -> tuple[int, Headers, bytes]:
    try:
        if connection.sock is not None:
            connection.sock.settimeout(within)
        connection.request(method, node.path + path, body=body, headers=headers)
        response = connection.getresponse()
        content = response.read()
    except BaseException:
        connection.close()
        raise
    if response.will_close:
        connection.close()
    else:
        node.keep(connection)
    return response.status, {name.lower(): value for name, value in response.getheaders()}, content


def _problem(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
