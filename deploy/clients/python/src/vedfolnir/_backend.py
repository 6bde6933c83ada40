"""Handlers for what Vedfolnir calls back (docs/backend.md): one function from a request to an answer, for any framework."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from ._client import publish_body
from ._errors import SignatureError
from ._webhooks import Secret, verify

Handler = Callable[..., Any]
Answer = tuple[int, bytes]

_log = logging.getLogger("vedfolnir.backend")


class Refuse(Exception):
    """Raised by a connect handler: the client gets ``connect_error`` with this message and data."""

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Context:
    """Whom a handler is called for, and what it wants done besides its answer."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.call: dict[str, Any] = dict(call)
        """The whole call as it came."""
        self.id: str = call.get("id", "")
        """The call's id: the same when it is made again."""
        self.namespace: str = call.get("namespace", "/")
        self.sid: str | None = call.get("sid")
        self.user: str | None = call.get("user")
        """Who the client is; a connect handler sets it."""
        self.data: Any = call.get("data")
        """What the connect handler set for the session."""
        self.headers: Mapping[str, str] = call.get("headers") or {}
        """Of the client's first request, in connect handlers, as far as nodes keep them (``cookie``, ``authorization``, …)."""
        self.address: str | None = call.get("address")
        self.resuming: bool = bool(call.get("resuming"))
        self._rooms: list[str] = []
        self._emits: list[dict[str, Any]] = []
        self._left: list[str] = []
        self._ends = False

    def join(self, room: str) -> None:
        """Puts the client into a room."""
        self._rooms.append(room)

    def leave(self, room: str) -> None:
        """Takes the client out of a room."""
        self._left.append(room)

    def emit(
        self,
        event: str,
        *args: Any,
        broadcast: bool = False,
        room: str | None = None,
        rooms: Sequence[str] | None = None,
        session: str | None = None,
        user: str | None = None,
        namespace: str | None = None,
        except_: Sequence[str] | None = None,
        volatile: bool = False,
    ) -> None:
        """Publishes an event with the answer: to the client itself unless it is said to whom; ``broadcast``: to everybody."""
        if not broadcast and (room, rooms, session, user) == (None, None, None, None):
            session = self.sid
        where = self.namespace if namespace is None else namespace
        publish = publish_body(event, args, room, rooms, session, user, where, except_, volatile)
        self._emits.append({"namespace": where, **publish})

    def disconnect(self) -> None:
        """Ends the client's session once this is answered."""
        self._ends = True


class Backend:
    """Handlers by namespace and event, called with what :meth:`handle` is given.

    >>> backend = Backend("the secret that Vedfolnir signs with")    # doctest: +SKIP
    >>> @backend.on("start", namespace="/user")                      # doctest: +SKIP
    ... def start(context, task): return {"accepted": task}
    """

    def __init__(self, secrets: Secret | Iterable[Secret], *, tolerance: int = 300) -> None:
        self._secrets = [secrets] if isinstance(secrets, (str, bytes)) else list(secrets)
        self._tolerance = tolerance
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._webhooks: dict[str, Handler] = {}

    def on(self, event: str, *, namespace: str = "/") -> Callable[[Handler], Handler]:
        """A handler of a client's event: called with a :class:`Context` and the event's arguments, what it returns is the ack.

        ``connect`` is called with the context and the client's auth, before the client is let in: ``False`` or
        :class:`Refuse` keeps it out, ``context.user``, ``context.data`` and ``context.join`` say who it is. ``*`` is called,
        with the event's name before its arguments, for events that have no handler.
        """

        def register(handler: Handler) -> Handler:
            self._handlers[namespace, event] = handler
            return handler

        return register

    def on_webhook(self, kind: str) -> Callable[[Handler], Handler]:
        """A handler of a webhook, for example ``session.closed``; called with its JSON. Whatever it raises, it is sent again."""

        def register(handler: Handler) -> Handler:
            self._webhooks[kind] = handler
            return handler

        return register

    def handle(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """The status and the body (JSON) to answer with; it does not raise. 401: the request is not from Vedfolnir."""
        try:
            call = verify(body, headers, self._secrets, tolerance=self._tolerance)
        except SignatureError as error:
            return _answer(401, {"error": str(error)})
        try:
            return _answer(200, self._called(call))
        except Exception:
            _log.exception("a handler failed: %s %s %s", call.get("type"), call.get("namespace"), call.get("event", ""))
            return _answer(500, {"error": "the handler failed"})

    def _called(self, call: dict[str, Any]) -> dict[str, Any]:
        kind = call.get("type")
        if kind == "connect":
            return self._connect(Context(call), call.get("auth"))
        if kind == "event":
            args = _with_bytes(call.get("args") or [], call.get("attachments") or [])
            return self._event(Context(call), str(call.get("event")), args)
        handler = self._webhooks.get(str(kind))
        if handler is not None:
            handler(call)
        return {}

    def _connect(self, context: Context, auth: Any) -> dict[str, Any]:
        handler = self._handlers.get((context.namespace, "connect"))
        if handler is None:
            return {}
        try:
            if handler(context, auth) is False:
                raise Refuse("Connection rejected by server")
        except Refuse as refused:
            refusal: dict[str, Any] = {"message": refused.message}
            if refused.data is not None:
                refusal["data"] = refused.data
            return {"refuse": refusal}
        return _present(user=context.user, rooms=context._rooms or None, data=context.data)

    def _event(self, context: Context, event: str, args: Sequence[Any]) -> dict[str, Any]:
        handler = self._handlers.get((context.namespace, event))
        if handler is None:
            handler = self._handlers.get((context.namespace, "*"))
            args = [event, *args]
        returned = handler(context, *args) if handler is not None else None
        # As in python-socketio: a tuple is several arguments, None is none.
        ack = [] if returned is None else list(returned) if isinstance(returned, tuple) else [returned]
        return _present(
            ack=ack if context.call.get("wants_ack") else None,
            emit=context._emits or None,
            join=context._rooms or None,
            leave=context._left or None,
            disconnect=context._ends or None,
        )


def _with_bytes(value: Any, attachments: Sequence[str]) -> Any:
    """Arguments with the attachments, which came in base64, where their placeholders are."""
    if not attachments:
        return value
    if isinstance(value, list):
        return [_with_bytes(item, attachments) for item in value]
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            return base64.b64decode(attachments[value["num"]])
        return {name: _with_bytes(item, attachments) for name, item in value.items()}
    return value


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _answer(status: int, body: Any) -> Answer:
    return status, json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
