"""The client: publish, batches, and reads of sessions, presence and history."""

from __future__ import annotations

import itertools
import random
import secrets
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ._errors import ApiError, NotFoundError, UnavailableError, error_of
from ._requests import API, absent, get, pages, post
from ._store import Store
from ._transport import Answer, Transport, back_off, judge


def new_idempotency_key() -> str:
    """A key that nobody else makes: 24 random bytes as text."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Published:
    """What a publish was answered with."""

    offset: str | None
    """Where it is in the log, as receivers get it; None for volatile ones, and where the node does not know."""
    replayed: bool = False
    """An earlier attempt, or an earlier call with the same key, had done it already."""


@dataclass(frozen=True)
class BatchItem:
    """What became of one publish of a batch."""

    status: int
    """200 committed, 202 volatile and handed on, otherwise why not."""
    offset: str | None = None
    error: ApiError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Batch:
    """One result for each publish, in order."""

    items: tuple[BatchItem, ...]
    replayed: bool = False
    idempotency_key: str | None = None
    """To try again what was not committed: ``client.batch(the_same, idempotency_key=batch.idempotency_key)``."""

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.items)

    def __iter__(self) -> Iterator[BatchItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> BatchItem:
        return self.items[index]

    def raise_for_errors(self) -> None:
        """Raises the first error that is in it."""
        for item in self.items:
            if item.error is not None:
                raise item.error


@dataclass(frozen=True)
class Session:
    """A client's session, connected or in its recovery window."""

    sid: str
    namespace: str
    user: str | None
    rooms: tuple[str, ...]
    connected: bool
    node: str | None
    data: Any

    @classmethod
    def of(cls, view: Mapping[str, Any]) -> Session:
        return cls(
            sid=view["sid"],
            namespace=view.get("namespace", "/"),
            user=view.get("user"),
            rooms=tuple(view.get("rooms") or ()),
            connected=bool(view.get("connected")),
            node=view.get("node"),
            data=view.get("data"),
        )


@dataclass(frozen=True)
class Presence:
    """How many are in a room or namespace."""

    sessions: int
    users: int


@dataclass(frozen=True)
class UserPresence:
    """One user in a room or namespace, and by how many sessions."""

    user: str
    sessions: int


@dataclass(frozen=True)
class HistoryEvent:
    """An event that was published durably and is kept still."""

    offset: str
    event: str
    args: tuple[Any, ...]
    rooms: tuple[str, ...]
    except_: tuple[str, ...]
    users: tuple[str, ...] = ()
    """Whom it was for, if it was published to users."""


class Client:
    """A cluster's HTTP API; one for the whole program, used by any number of threads.

    >>> client = Client(["http://10.0.0.1:5003", "http://10.0.0.2:5003"], token="…")    # doctest: +SKIP
    >>> client.publish("progress", {"percent": 70}, room="order:42").offset             # doctest: +SKIP

    ``urls`` are the API listeners of some nodes, better of all: a call that one of them does not answer goes on with the
    next, for ``timeout`` seconds in all, then it raises :class:`UnavailableError`. ``attempt_timeout`` is how long one
    node may take; a node that waits for a majority says so itself after 10 s.
    """

    def __init__(
        self,
        urls: str | Iterable[str],
        token: str | None = None,
        *,
        timeout: float = 30.0,
        attempt_timeout: float = 5.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._transport = Transport(urls, token, timeout, attempt_timeout, ssl_context)
        self.store = Store(self._transport)
        """The replicated key-value store."""
        self.sessions = Sessions(self._transport)
        """The sessions of clients."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are kept; the client may still be used."""
        self._transport.close()

    def publish(
        self,
        event: str,
        *args: Any,
        room: str | None = None,
        rooms: Sequence[str] | None = None,
        session: str | None = None,
        user: str | None = None,
        namespace: str = "/",
        except_: Sequence[str] | None = None,
        volatile: bool = False,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Published:
        """Sends an event to a room, several rooms, one session, a user, or (none of them) everybody in the namespace.

        Once this returns, it is committed on a majority of the nodes, exactly once however often it was tried. Volatile
        ones go to whoever is connected now, and are not tried again once they may have arrived.
        """
        body = publish_body(event, args, room, rooms, session, user, namespace, except_, volatile)
        key = None if volatile else idempotency_key or new_idempotency_key()
        answer = self._post("/publish", body, key, not volatile, timeout)
        offset = answer.json().get("offset") if answer.body else None
        return Published(offset=offset, replayed=_is_replayed(answer))

    def batch(
        self,
        publishes: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """1 to 1000 publishes, each as in the HTTP API: ``{"room": "a", "event": "m", "args": [1]}``; committed in their order.

        One that is wrong does not keep the others back: look at ``ok``, or call ``raise_for_errors()``. What no majority
        has answered is tried again until the time is over, exactly once each. A batch that has volatile ones in it has no
        key: nothing of it is tried again once it may have been made.
        """
        body = {"publishes": [dict(publish) for publish in publishes]}
        if any(publish.get("volatile") for publish in body["publishes"]):
            # Nothing is kept of a volatile publish, no key either: such a batch is made once, or nobody knows.
            if idempotency_key is not None:
                raise ValueError("a batch with volatile publishes cannot have an idempotency key")
            return _batch(self._post("/batch", body, None, False, timeout), None)
        key = idempotency_key or new_idempotency_key()
        deadline = time.monotonic() + (self._transport.timeout if timeout is None else timeout)
        answer = self._post("/batch", body, key, True, timeout)
        for failures in itertools.count(1):
            delay = back_off(failures, 1, random.random())
            # Under the key, what was committed already is not published again: only the rest is tried.
            results = answer.json()["results"]
            is_done = not any(judge(result["status"], result.get("problem"))[0] for result in results)
            if is_done or time.monotonic() + delay >= deadline:
                break
            self._transport.move_on()
            time.sleep(delay)
            try:
                answer = self._post("/batch", body, key, True, max(0.001, deadline - time.monotonic()))
            except UnavailableError:
                # What is known of its publishes is worth more than that nobody knows more.
                break
        return _batch(answer, key)

    def presence(
        self, *, namespace: str = "/", room: str | None = None, user: str | None = None, linearizable: bool = False
    ) -> Presence:
        """How many sessions and users are in a room, or in the namespace; with ``user``, how many of the user's."""
        query = {"namespace": namespace, "room": room, "user": user, "consistency": _consistency(linearizable)}
        view = get(self._transport, "/presence", **query)
        return Presence(sessions=view["sessions"], users=view["users"])

    def users(
        self, *, namespace: str = "/", room: str | None = None, linearizable: bool = False, page_size: int = 1000
    ) -> Iterator[UserPresence]:
        """The users in a room or namespace, page by page as they are asked for."""
        query = {"namespace": namespace, "room": room, "limit": page_size, "consistency": _consistency(linearizable)}
        for view in pages(self._transport, "/presence/users", "users", query):
            yield UserPresence(user=view["user"], sessions=view["sessions"])

    def history(
        self,
        room: str | None = None,
        *,
        user: str | None = None,
        after: str | None = None,
        namespace: str = "/",
        linearizable: bool = False,
        page_size: int = 100,
    ) -> Iterator[HistoryEvent]:
        """The events to a room, to a user or to the whole namespace that are kept, from the oldest, or from the one behind
        the offset ``after``. What was published to a room while nobody was in it is not in it.

        Raises :class:`HistoryGoneError` when what follows ``after`` is kept no longer: there may be a hole.
        """
        query = {
            "namespace": namespace,
            "room": room,
            "user": user,
            "after": after,
            "limit": page_size,
            "consistency": _consistency(linearizable),
        }
        for view in pages(self._transport, "/history", "events", query):
            yield HistoryEvent(
                offset=view["offset"],
                event=view["event"],
                args=tuple(view.get("args") or ()),
                rooms=tuple(view.get("rooms") or ()),
                except_=tuple(view.get("except") or ()),
                users=tuple(view.get("users") or ()),
            )

    def _post(self, path: str, body: Any, key: str | None, repeatable: bool, timeout: float | None) -> Answer:
        return post(self._transport, path, body, idempotency_key=key, repeatable=repeatable, timeout=timeout)


class Sessions:
    """The sessions of clients: who is there, and what is done with them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        namespace: str = "/",
        room: str | None = None,
        user: str | None = None,
        connected: bool | None = None,
        linearizable: bool = False,
        page_size: int = 100,
    ) -> Iterator[Session]:
        """Sessions, page by page as they are asked for; the pages together are no snapshot."""
        query = {
            "namespace": namespace,
            "room": room,
            "user": user,
            "connected": connected,
            "limit": page_size,
            "consistency": _consistency(linearizable),
        }
        for view in pages(self._transport, "/sessions", "sessions", query):
            yield Session.of(view)

    def get(self, sid: str, *, namespace: str = "/") -> Session | None:
        """One session; None: there is none (any more)."""
        try:
            return Session.of(get(self._transport, f"/sessions/{quote(sid, safe='')}", namespace=namespace))
        except NotFoundError as error:
            absent(error, "session")
            return None

    def end(self, sid: str, *, namespace: str = "/") -> bool:
        """Ends a session: its client is told ``io server disconnect`` and cannot come back to it. False: there was none."""
        path = f"{API}/sessions/{quote(sid, safe='')}?{urlencode({'namespace': namespace})}"
        try:
            self._transport.request("DELETE", path)
        except NotFoundError as error:
            absent(error, "session")
            return False
        return True

    def join(self, enter: Sequence[str], **target: Any) -> int:
        """Puts sessions into rooms: those of a ``room``, ``rooms``, ``session`` or ``user``. How many it concerns."""
        return self._change("join", {"enter": list(enter)}, **target)

    def leave(self, leave: Sequence[str], **target: Any) -> int:
        """Takes sessions out of rooms; which, is said as in :meth:`join`."""
        return self._change("leave", {"leave": list(leave)}, **target)

    def disconnect(self, **target: Any) -> int:
        """Ends the sessions of a ``room``, ``rooms``, ``session`` or ``user``. How many it concerned."""
        return self._change("disconnect", {}, **target)

    def _change(
        self,
        verb: str,
        body: dict[str, Any],
        *,
        room: str | None = None,
        rooms: Sequence[str] | None = None,
        session: str | None = None,
        user: str | None = None,
        namespace: str = "/",
        except_: Sequence[str] | None = None,
    ) -> int:
        body = {**_target(room, rooms, session, user, namespace, except_), **body}
        return int(post(self._transport, f"/sessions/{verb}", body).json()["sessions"])


def _target(
    room: str | None,
    rooms: Sequence[str] | None,
    session: str | None,
    user: str | None,
    namespace: str,
    except_: Sequence[str] | None,
) -> dict[str, Any]:
    for name, value in (("rooms", rooms), ("except_", except_)):
        if isinstance(value, str):
            raise TypeError(f"{name} is a list of rooms, not one text")
    body: dict[str, Any] = {}
    if namespace != "/":
        body["namespace"] = namespace
    if room is not None:
        body["room"] = room
    if rooms is not None:
        body["rooms"] = list(rooms)
    if session is not None:
        body["session"] = session
    if user is not None:
        body["user"] = user
    if except_:
        body["except"] = list(except_)
    return body


def publish_body(
    event: str,
    args: Sequence[Any],
    room: str | None = None,
    rooms: Sequence[str] | None = None,
    session: str | None = None,
    user: str | None = None,
    namespace: str = "/",
    except_: Sequence[str] | None = None,
    volatile: bool = False,
) -> dict[str, Any]:
    """A publish as the HTTP API has it."""
    body = {**_target(room, rooms, session, user, namespace, except_), "event": event, "args": list(args)}
    if volatile:
        body["volatile"] = True
    return body


def _batch(answer: Answer, key: str | None) -> Batch:
    return Batch(tuple(map(_batch_item, answer.json()["results"])), _is_replayed(answer), key)


def _batch_item(result: Mapping[str, Any]) -> BatchItem:
    status = int(result["status"])
    problem = result.get("problem")
    return BatchItem(status, result.get("offset"), None if problem is None else error_of(status, problem))


def _is_replayed(answer: Answer) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


def _consistency(linearizable: bool) -> str | None:
    return "linearizable" if linearizable else None


__all__ = [
    "Batch",
    "BatchItem",
    "Client",
    "HistoryEvent",
    "Presence",
    "Published",
    "Session",
    "Sessions",
    "UserPresence",
    "new_idempotency_key",
]
