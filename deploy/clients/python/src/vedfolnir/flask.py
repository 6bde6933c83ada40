"""Flask sessions in Vedfolnir's store, under ``vedfolnir:session:<id>``; the cookie holds the id and nothing else.

app.session_interface = VedfolnirSessions(client.store)
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from ._store import Store

_ID = re.compile(r"[A-Za-z0-9_-]{32,64}")


class _Session(CallbackDict, SessionMixin):  # type: ignore[type-arg]
    def __init__(self, sid: str, values: dict[str, Any] | None, new: bool) -> None:
        def changed(_: Any) -> None:
            self.modified = True
            self.accessed = True

        super().__init__(values, changed)
        self.sid = sid
        self.new = new
        self.modified = False
        self.accessed = False
        self.before: str | None = None
        """The id that it had until :meth:`VedfolnirSessions.renew`."""


class VedfolnirSessions(SessionInterface):
    """Sessions of JSON values, for as long as ``PERMANENT_SESSION_LIFETIME`` after their last change."""

    def __init__(self, store: Store, *, prefix: str = "vedfolnir:session:") -> None:
        self._store = store
        self._prefix = prefix

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        sid = request.cookies.get(self.get_cookie_name(app), "")
        if _ID.fullmatch(sid):
            # As of now: the last request's node may have been another one.
            entry = self._store.get(self._prefix + sid, linearizable=True)
            if entry is not None:
                return _Session(sid, entry.json(), new=False)
        # Never an id that a client made up.
        return _Session(secrets.token_urlsafe(32), None, new=True)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not isinstance(session, _Session):
            raise TypeError(f"a session of VedfolnirSessions, not {type(session).__name__}")
        name, domain, path = self.get_cookie_name(app), self.get_cookie_domain(app), self.get_cookie_path(app)
        if session.accessed or session.modified:
            response.vary.add("Cookie")
        if session.before is not None:
            self._store.delete(self._prefix + session.before)
        if not session:
            if session.modified and not session.new:
                self._store.delete(self._prefix + session.sid)
                response.delete_cookie(name, domain=domain, path=path)
            return
        if not session.modified and session.before is None:
            return
        lifetime = app.permanent_session_lifetime.total_seconds()
        self._store.put(self._prefix + session.sid, json.dumps(dict(session)), ttl=lifetime)
        response.set_cookie(
            name,
            session.sid,
            expires=self.get_expiration_time(app, session),
            httponly=True,
            secure=self.get_cookie_secure(app),
            samesite=self.get_cookie_samesite(app) or "Lax",
            domain=domain,
            path=path,
        )

    def renew(self, session: SessionMixin) -> None:
        """Gives the session another id: call it when somebody logs in, so that an id known before is worth nothing."""
        if isinstance(session, _Session):
            if not session.new and session.before is None:
                session.before = session.sid
            session.sid = secrets.token_urlsafe(32)
            session.modified = True
