"""Flask's sessions in the store, where Flask is installed."""

from __future__ import annotations

import json
import unittest
from typing import Any

import vedfolnir

try:
    import flask

    from vedfolnir.flask import VedfolnirSessions
except ImportError as error:
    raise unittest.SkipTest("Flask is not installed") from error


class Fake:
    """A store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.ttl = 0.0

    def get(self, key: str, *, linearizable: bool) -> Any:
        return vedfolnir.Entry(key, self.kept[key].encode(), "1.0", None) if linearizable and key in self.kept else None

    def put(self, key: str, value: str, *, ttl: float) -> str:
        self.kept[key], self.ttl = value, ttl
        return "1.0"

    def delete(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None


class Sessions(unittest.TestCase):
    def setUp(self) -> None:
        self.serve(hashed=True)

    def serve(self, hashed: bool) -> None:
        self.store: Any = Fake()
        app = flask.Flask(__name__)
        app.session_interface = interface = VedfolnirSessions(self.store, hashed=hashed)

        @app.get("/set/<value>")
        def put(value: str) -> Any:
            flask.session["user"] = value
            return ""

        @app.get("/get")
        def get() -> Any:
            return flask.session.get("user", "nobody")

        @app.get("/login")
        def login() -> Any:
            interface.renew(flask.session)  # type: ignore[arg-type]
            flask.session["user"] = "ada"
            return ""

        @app.get("/clear")
        def clear() -> Any:
            flask.session.clear()
            return ""

        self.client = app.test_client()

    def cookie(self) -> str:
        cookie = self.client.get_cookie("session")
        return cookie.value if cookie else ""

    def test_what_is_set_is_in_the_store_under_what_the_cookie_does_not_tell(self) -> None:
        answer = self.client.get("/set/bob")
        self.assertIn("HttpOnly", answer.headers["Set-Cookie"])
        ((key, value),) = self.store.kept.items()
        self.assertEqual(json.loads(value), {"user": "bob"})
        self.assertRegex(key, r"^vedfolnir:session:[\w-]{43}$")
        self.assertNotIn(self.cookie(), key)
        self.assertEqual(self.store.ttl, 31 * 24 * 3600)
        self.assertEqual(self.client.get("/get").text, "bob")

    def test_who_sets_nothing_has_no_cookie_and_nobody_chooses_a_session(self) -> None:
        self.assertNotIn("Set-Cookie", self.client.get("/get").headers)
        made_up = "a" * 43
        self.client.set_cookie("session", made_up)
        self.client.get("/set/bob")
        self.assertNotEqual(self.cookie(), made_up)
        for cookie in ("", "short", "x" * 99, "../../etc"):
            self.client.set_cookie("session", cookie)
            self.assertEqual(self.client.get("/get").text, "nobody")

    def test_sessions_that_were_brought_along_are_found_under_their_own_ids(self) -> None:
        self.serve(hashed=False)
        sid = "5d3a2a3e-0b7c-4f43-9d0e-0a6f9a1f2b3c"
        self.store.kept[f"vedfolnir:session:{sid}"] = '{"user":"eve"}'
        self.client.set_cookie("session", sid)
        self.assertEqual(self.client.get("/get").text, "eve")

    def test_a_login_changes_the_secret_and_the_one_before_is_worth_nothing(self) -> None:
        self.client.get("/set/bob")
        before = self.cookie()
        self.client.get("/login")
        self.assertNotEqual(self.cookie(), before)
        self.assertEqual(len(self.store.kept), 1)
        self.client.set_cookie("session", before)
        self.assertEqual(self.client.get("/get").text, "nobody")

    def test_a_session_that_is_emptied_is_removed(self) -> None:
        self.client.get("/set/bob")
        answer = self.client.get("/clear")
        self.assertEqual(self.store.kept, {})
        self.assertIn("Expires=Thu, 01 Jan 1970", answer.headers["Set-Cookie"])


if __name__ == "__main__":
    unittest.main()
