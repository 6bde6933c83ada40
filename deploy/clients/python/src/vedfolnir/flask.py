"""Flask sessions in Vedfolnir's store, under ``vedfolnir:session:<id>``; the cookie holds a secret and nothing else.

app.session_interface = VedfolnirSessions(client.store)
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from ._store import Store

_SECRET = re.compile(r"[A-Za-z0-9_-]{32,64}")


class _Session(CallbackDict, SessionMixin):  # type: ignore[type-arg]
    def __init__(self, secret: str, values: dict[str, Any] | None, new: bool) -> None:
        def changed(_: Any) -> None:
            self.modified = True
            self.accessed = True

        super().__init__(values, changed)
        self.secret = secret
        self.new = new
        self.modified = False
        self.accessed = False
        self.before: str | None = None
        """The secret that it had until :meth:`VedfolnirSessions.renew`."""


class VedfolnirSessions(SessionInterface):
    """Sessions of JSON values, for as long as ``PERMANENT_SESSION_LIFETIME`` after their last change.

    ``hashed=False``: ids are the cookies themselves, as other session stores have them, so that sessions which were
    brought along from one are found; whoever may read the store may then take them over.
    """

    def __init__(self, store: Store, *, prefix: str = "vedfolnir:session:", hashed: bool = True) -> None:
        self._store = store
        self._prefix = prefix
        self._hashed = hashed

    def _key(self, secret: str) -> str:
        if not self._hashed:
            return self._prefix + secret
        digest = hashlib.sha256(secret.encode()).digest()
        return self._prefix + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        secret = request.cookies.get(self.get_cookie_name(app), "")
        if _SECRET.fullmatch(secret):
            # As of now: the last request's node may have been another one.
            entry = self._store.get(self._key(secret), linearizable=True)
            if entry is not None:
                return _Session(secret, entry.json(), new=False)
        # Never a secret that a client made up.
        return _Session(secrets.token_urlsafe(32), None, new=True)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not isinstance(session, _Session):
            raise TypeError(f"a session of VedfolnirSessions, not {type(session).__name__}")
        name, domain, path = self.get_cookie_name(app), self.get_cookie_domain(app), self.get_cookie_path(app)
        if session.accessed or session.modified:
            response.vary.add("Cookie")
        if session.before is not None:
            self._store.delete(self._key(session.before))
        if not session:
            if session.modified and not session.new:
                self._store.delete(self._key(session.secret))
                response.delete_cookie(name, domain=domain, path=path)
            return
        if not session.modified and session.before is None:
            return
        lifetime = app.permanent_session_lifetime.total_seconds()
        self._store.put(self._key(session.secret), json.dumps(dict(session)), ttl=lifetime)
        response.set_cookie(
            name,
            session.secret,
            expires=self.get_expiration_time(app, session),
            httponly=True,
            secure=self.get_cookie_secure(app),
            samesite=self.get_cookie_samesite(app) or "Lax",
            domain=domain,
            path=path,
        )

    def renew(self, session: SessionMixin) -> None:
        """Gives the session another secret: call it when somebody logs in, so that one known before is worth nothing."""
        if isinstance(session, _Session):
            if not session.new and session.before is None:
                session.before = session.secret
            session.secret = secrets.token_urlsafe(32)
            session.modified = True
