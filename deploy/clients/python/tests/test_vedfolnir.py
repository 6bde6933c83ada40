"""The package against the vectors that it shares with the one for Node.js, and against nodes that die, refuse and wait."""

from __future__ import annotations

import json
import logging
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import unittest.mock
from typing import Any

import vedfolnir
from vedfolnir import Backend, Client, Refuse
from vedfolnir._errors import error_of
from vedfolnir._transport import back_off, judge, seconds_of

from .server import Node, ok, problem

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "vectors.json").read_text(encoding="utf-8"))
UNAVAILABLE = vedfolnir.UnavailableError


def refusing() -> str:
    """The address of nobody."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def call(client: Client, name: str, args: dict[str, Any]) -> Any:
    args = dict(args)
    if "except" in args:
        args["except_"] = args.pop("except")
    if "ttl_ms" in args:
        args["ttl"] = args.pop("ttl_ms") / 1000
    method: Any = client
    for part in name.split("."):
        method = getattr(method, part)
    if name == "publish":
        return method(args.pop("event"), *args.pop("args"), **args)
    if "rooms_changed" in args:
        return method(args.pop("rooms_changed"), **args)
    first = [args.pop(word) for word in ("sid", "key", "value") if word in args]
    return method(*first, **args)


def plain(result: Any) -> Any:
    """A result as the vectors say it."""
    if isinstance(result, vedfolnir.Entry):
        expires = None if result.expires_in is None else round(result.expires_in * 1000)
        return {"text": result.text, "revision": result.revision, "expires_ms": expires}
    if isinstance(result, vedfolnir.Session):
        return {**vars(result), "rooms": list(result.rooms)}
    return vars(result) if hasattr(result, "__dataclass_fields__") else result


class Vectors(unittest.TestCase):
    def test_each_call_is_the_request_that_the_http_api_has_and_gives_what_it_answers(self) -> None:
        for vector in VECTORS["requests"]:
            with self.subTest(vector["name"]):
                answer = vector["answer"]
                body = answer["body"] if isinstance(answer["body"], str) else json.dumps(answer["body"])
                with Node((answer["status"], answer["headers"], body.encode())) as node:
                    with Client(node.url, "a token of the tests") as client:
                        result = call(client, vector["call"], vector["args"])
                    (asked,) = node.asked
                self.assertEqual(plain(result), vector.get("result"))
                self.assertEqual((asked["method"], asked["path"]), (vector["method"], vector["path"]))
                self.assertEqual(asked["headers"]["authorization"], "Bearer a token of the tests")
                for name, value in vector.get("headers", {}).items():
                    self.assertEqual(asked["headers"].get(name), value, name)
                for name in ("if-match", "if-none-match"):
                    self.assertEqual(name in asked["headers"], name in vector.get("headers", {}))
                is_keyed = vector["call"] == "publish" and not vector["args"].get("volatile")
                self.assertEqual("idempotency-key" in asked["headers"], is_keyed)
                expected = vector.get("body")
                if isinstance(expected, dict):
                    self.assertEqual(json.loads(asked["body"]), expected)
                else:
                    self.assertEqual(asked["body"].decode(), expected or "")

    def test_each_problem_is_an_error_of_its_own_with_the_field_and_is_not_asked_for_again(self) -> None:
        for vector in VECTORS["problems"]:
            with self.subTest(vector), Node((vector["status"], {}, vector["body"].encode())) as node:
                with Client(node.url) as client, self.assertRaises(vedfolnir.ApiError) as raised:
                    client.publish("m")
                error = raised.exception
                self.assertEqual(type(error).__name__, vector["error"])
                self.assertEqual((error.status, error.type, error.field), tuple(vector[name] for name in ("status", "type", "field")))
                self.assertEqual(len(node.asked), 1)

    def test_what_may_be_asked_again_when_and_what_is_unsure(self) -> None:
        for vector in VECTORS["judged"]:
            self.assertEqual(judge(vector["status"], vector["problem"]), (vector["again"], vector["uncertain"]), vector)
        for vector in VECTORS["back_off"]:
            delay = back_off(vector["failures"], vector["nodes"], vector["jitter"])
            self.assertAlmostEqual(delay * 1000, vector["ms"], msg=str(vector))
        for text, milliseconds in VECTORS["retry_after"]:
            self.assertEqual(seconds_of(text) * 1000, milliseconds, text)

    def test_signatures(self) -> None:
        for vector in VECTORS["signatures"]:
            with self.subTest(vector["name"]):
                body = vector["body"].encode()

                def verified(vector: Any = vector, body: bytes = body) -> Any:
                    return vedfolnir.verify(body, vector["headers"], vector["secrets"], now=vector["now"])

                if vector["valid"]:
                    self.assertEqual(verified(), json.loads(body))
                else:
                    self.assertRaises(vedfolnir.SignatureError, verified)

    def test_verify_wants_bytes_and_a_secret(self) -> None:
        self.assertRaises(TypeError, vedfolnir.verify, "{}", {}, "secret")
        for secrets in ([], "", ["good", ""]):
            self.assertRaises(ValueError, vedfolnir.verify, b"{}", {}, secrets)
        headers = {"Vedfolnir-Timestamp": "7", "Vedfolnir-Signature": vedfolnir.sign(b"{}", "secret", 7)}
        self.assertEqual(vedfolnir.verify(b"{}", headers, b"secret", now=7), {})

    def test_handlers_answer_calls(self) -> None:
        backend = Backend("a secret")
        seen = []

        @backend.on("connect", namespace="/user")
        def connect(context: Any, auth: Any) -> Any:
            if auth is None:
                return False
            if auth["name"] != "ada":
                raise Refuse("not you", {"code": 7})
            context.user, context.data = auth["name"], {"role": "reader"}
            context.join(f"user:{context.user}")
            return None

        @backend.on("start", namespace="/user")
        def start(context: Any, job: str, count: int) -> Any:
            context.emit("started", job)
            context.emit("started", job, context.user, namespace="/admin", room="watchers")
            context.emit("news", broadcast=True)
            context.join(f"job:{job}")
            context.leave("idle")
            return job, count

        backend.on("sizes", namespace="/user")(lambda context, one, more: (len(one), len(more["a"][0])))
        backend.on("quiet", namespace="/user")(lambda context: None)
        backend.on("bye", namespace="/user")(lambda context: context.disconnect())
        backend.on("fails", namespace="/user")(lambda context: 1 / 0)
        backend.on("*", namespace="/user")(lambda context, event, *args: {"event": event, "args": list(args)})
        backend.on_webhook("session.closed")(seen.append)
        logging.getLogger("vedfolnir.backend").disabled = True
        for vector in VECTORS["calls"]:
            with self.subTest(vector["name"]):
                body = json.dumps(vector["call"]).encode()
                timestamp = int(__import__("time").time())
                headers = {"Vedfolnir-Timestamp": str(timestamp), "Vedfolnir-Signature": vedfolnir.sign(body, "a secret", timestamp)}
                status, answer = backend.handle(headers, body)
                self.assertEqual((status, json.loads(answer)), (vector["status"], vector["answer"]))
                self.assertEqual(backend.handle({**headers, "Vedfolnir-Signature": "v1=00"}, body)[0], 401)
        self.assertEqual([event["type"] for event in seen], ["session.closed"])


class Retries(unittest.TestCase):
    def setUp(self) -> None:
        # Nobody has to be spared here.
        shorter = unittest.mock.patch("vedfolnir._transport.DELAY_SECONDS_MIN", 0.01)
        shorter.start()
        self.addCleanup(shorter.stop)

    def test_a_publish_keeps_its_key_over_nodes_that_die_refuse_and_do_not_know_and_the_next_one_has_another(self) -> None:
        with Node(None, problem(503, "no-quorum", {"Retry-After": "0"}), ok({"offset": "A"})) as node:
            with Client([refusing(), node.url, refusing()]) as client:
                self.assertEqual(client.publish("m", 1), vedfolnir.Published("A", False))
                client.publish("m", 1)
            keys = [asked["headers"]["idempotency-key"] for asked in node.asked]
        self.assertEqual(len(keys), 4)
        self.assertEqual(len(set(keys[:3])), 1)
        self.assertNotEqual(keys[2], keys[3])
        self.assertTrue(all(32 <= len(key) <= 255 and key.isascii() for key in keys))
        self.assertEqual(len({asked["body"] for asked in node.asked[:3]}), 1)

    def test_a_key_of_the_callers_is_used_and_named_by_the_error_with_what_is_known(self) -> None:
        with Client(refusing(), timeout=1) as client, self.assertRaises(UNAVAILABLE) as raised:
            client.publish("m", idempotency_key="mine")
        self.assertEqual((raised.exception.uncertain, raised.exception.idempotency_key), (False, "mine"))
        with Node(problem(503, "no-quorum")) as node, Client(node.url, timeout=1) as client:
            with self.assertRaises(UNAVAILABLE) as raised:
                client.publish("m")
            keys = {asked["headers"]["idempotency-key"] for asked in node.asked}
        self.assertEqual((raised.exception.uncertain, {raised.exception.idempotency_key}), (True, keys))
        self.assertGreater(raised.exception.attempts, 1)
        self.assertGreater(len(node.asked), 1)

    def test_a_node_that_wants_to_be_left_alone_is_until_its_time_has_come(self) -> None:
        with Node(problem(503, "overloaded", {"Retry-After": "600"})) as busy, Node(ok({"offset": "A"})) as free:
            with Client([busy.url, free.url]) as client:
                for _ in range(20):
                    client.publish("m")
                    client._transport.move_on()
            self.assertLessEqual(len(busy.asked), 1)
            self.assertEqual(len(free.asked), 20)
        with Node(problem(503, "overloaded", {"Retry-After": "600"})) as busy, Client(busy.url) as client:
            with self.assertRaises(UNAVAILABLE) as raised:
                client.publish("m")
            self.assertEqual(len(busy.asked), 1, "waiting would take longer than the call may")
        self.assertGreater(raised.exception.retry_after or 0, 500)
        self.assertFalse(raised.exception.uncertain)

    def test_a_node_that_does_not_answer_is_not_waited_for_longer_than_an_attempt_may_take(self) -> None:
        frozen = threading.Event()
        with Node(lambda: frozen.wait() and None) as silent, Node(ok({"offset": "A"})) as node:
            with Client([silent.url, node.url], attempt_timeout=0.2) as client:
                for _ in range(4):
                    self.assertEqual(client.publish("m").offset, "A")
                    client._transport.move_on()
            frozen.set()
        self.assertGreater(len(silent.asked), 0)

    def test_what_must_not_be_done_twice_is_not_tried_again_once_it_may_have_been_done(self) -> None:
        def volatile(client: Client) -> Any:
            return client.publish("m", volatile=True)

        def written(client: Client) -> Any:
            return client.store.put("k", "v", if_absent=True)

        def removed(client: Client) -> Any:
            return client.store.delete("k", if_revision="1.0")

        for attempt in (volatile, written, removed):
            for answer in (None, problem(503, "no-quorum"), problem(502, "bad")):
                with Node(answer) as node, Client(node.url) as client, self.assertRaises(UNAVAILABLE) as raised:
                    attempt(client)
                self.assertEqual(len(node.asked), 1)
                self.assertTrue(raised.exception.uncertain)
            with Node(problem(503, "overloaded"), ok({"existed": True}, {"ETag": '"1.0"'})) as node:
                with Client([refusing(), node.url]) as client:
                    attempt(client)
                self.assertEqual(len(node.asked), 2, "nothing was done the first time")

    def test_what_no_majority_answered_in_a_batch_is_tried_again_under_the_same_key(self) -> None:
        unsure = {"status": 503, "problem": {"type": "urn:vedfolnir:problem:no-quorum"}}
        wrong = {"status": 422, "problem": {"type": "urn:vedfolnir:problem:invalid", "field": "publishes[1].event"}}
        first = {"results": [{"status": 200, "offset": "A"}, wrong, unsure]}
        second = {"results": [{"status": 200, "offset": "A"}, wrong, {"status": 200, "offset": "B"}]}
        with Node(ok(first), ok(second)) as node, Client(node.url) as client:
            batch = client.batch({"event": "m", "args": [number]} for number in range(3))
            first_asked, second_asked = node.asked
        self.assertEqual([item.offset for item in batch], ["A", None, "B"])
        self.assertEqual([item.ok for item in batch], [True, False, True])
        self.assertRaises(vedfolnir.InvalidRequestError, batch.raise_for_errors)
        self.assertEqual(first_asked["body"], second_asked["body"])
        self.assertEqual(first_asked["headers"]["idempotency-key"], second_asked["headers"]["idempotency-key"])
        with Node(ok(first)) as node, Client(node.url, timeout=1) as client:
            batch = client.batch([{"event": "m"}])
            self.assertEqual(batch[2].error.status if batch[2].error else None, 503)
            self.assertEqual({asked["headers"]["idempotency-key"] for asked in node.asked}, {batch.idempotency_key})

    def test_a_batch_with_volatile_ones_has_no_key_and_is_made_once(self) -> None:
        volatile = [{"event": "m", "volatile": True}, {"event": "m"}]
        with Node(ok({"results": [{"status": 202}, {"status": 503}]})) as node, Client(node.url) as client:
            batch = client.batch(volatile)
            self.assertEqual(([item.status for item in batch], batch.idempotency_key), ([202, 503], None))
            self.assertNotIn("idempotency-key", node.asked[0]["headers"])
            self.assertEqual(len(node.asked), 1)
            self.assertRaises(ValueError, client.batch, volatile, idempotency_key="k")
        with Node(None) as node, Client(node.url) as client:
            self.assertRaises(UNAVAILABLE, client.batch, volatile)
            self.assertEqual(len(node.asked), 1)

    def test_https_is_for_authorities_that_are_known_and_nothing_is_sent_to_others(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = (str(pathlib.Path(directory, name)) for name in ("certificate.pem", "key.pem"))
            request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            names = ["-subj", "/CN=a node", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
            subprocess.run([*request, *names], check=True, capture_output=True)
            with Node(ok({"offset": "A"}), certificate=(certificate, key)) as node:
                node.server.handle_error = lambda *_: None  # type: ignore[method-assign]
                with Client(node.url, ssl_context=ssl.create_default_context(cafile=certificate)) as client:
                    self.assertEqual([client.publish("m").offset for _ in range(2)], ["A", "A"])
                with Client(node.url, timeout=1) as client, self.assertRaises(UNAVAILABLE) as raised:
                    client.publish("m")
                self.assertFalse(raised.exception.uncertain)
                self.assertIsInstance(raised.exception.last, ssl.SSLCertVerificationError)
                self.assertEqual(len(node.asked), 2)

    def test_connections_are_kept_and_one_that_was_closed_while_idle_is_no_failure(self) -> None:
        with Node(ok({"offset": "A"}), None, ok({"offset": "B"})) as node, Client(node.url, timeout=5) as client:
            for _ in range(3):
                client.publish("m")
            self.assertEqual(len(node.asked), 4)
            self.assertEqual(node.connections, 2)

    def test_pages_are_asked_for_as_they_are_used(self) -> None:
        pages = [{"entries": [{"key": key, "revision": "1.0", "value": key}], "next": after} for key, after in (("a", "a"), ("b", None))]
        pages[1]["entries"].append({"key": "c", "revision": "2.0", "value_base64": "/wA=", "expires_in_ms": 1500})
        with Node(*map(ok, pages)) as node, Client(node.url) as client:
            entries = client.store.list("")
            next(entries)
            self.assertEqual(len(node.asked), 1)
            rest = list(entries)
            self.assertEqual([asked["path"] for asked in node.asked], ["/api/v1/store?prefix=&limit=100", "/api/v1/store?prefix=&limit=100&after=a"])
        self.assertEqual([(entry.key, entry.value, entry.expires_in) for entry in rest], [("b", b"b", None), ("c", b"\xff\x00", 1.5)])

    def test_what_cannot_be_an_address_or_json_is_refused_by_name(self) -> None:
        for url in ("10.0.0.1:5003", "ftp://a", "http://", "http://user:pass@host:1", "http://a/?x=1"):
            self.assertRaises(ValueError, Client, url)
        self.assertRaises(ValueError, Client, [])
        with Node((200, {}, b"<html>")) as node, Client(node.url) as client:
            self.assertRaises(vedfolnir.VedfolnirError, client.presence)
            self.assertRaises(TypeError, client.publish, "m", rooms="abc")
            self.assertRaises(ValueError, client.publish, "m", float("nan"))

    def test_a_path_or_namespace_that_is_not_there_is_no_missing_entry(self) -> None:
        for kind, field in (("not-found", None), ("unknown-namespace", "namespace")):
            body = {"type": f"urn:vedfolnir:problem:{kind}", "field": field}
            with Node(ok(body, status=404)) as node, Client(node.url) as client:
                self.assertRaises(vedfolnir.NotFoundError, client.store.get, "k")
                self.assertRaises(vedfolnir.NotFoundError, client.sessions.get, "sid")
                self.assertRaises(vedfolnir.NotFoundError, client.sessions.end, "sid")

    def test_only_vectors_and_errors_that_exist_are_named(self) -> None:
        self.assertTrue(issubclass(type(error_of(418, None)), vedfolnir.VedfolnirError))
        self.assertTrue(all(hasattr(vedfolnir, name) for name in vedfolnir.__all__))


class Mapping(unittest.TestCase):
    """The store as a dict, over a store that is one."""

    def test_sessions_are_kept_as_in_a_dict(self) -> None:
        kept: dict[str, bytes] = {}

        class Fake:
            def get(self, key: str, **_: Any) -> Any:
                return vedfolnir.Entry(key, kept[key], "1.0", None) if key in kept else None

            def put(self, key: str, value: str, *, ttl: Any, if_absent: bool = False) -> str:
                if if_absent and key in kept:
                    raise vedfolnir.ConflictError(412, {})
                self.ttl = ttl
                kept[key] = value.encode()
                return "1.0"

            def delete(self, key: str) -> bool:
                return kept.pop(key, None) is not None

            def list(self, prefix: str) -> Any:
                return [self.get(key) for key in sorted(kept) if key.startswith(prefix)]

        fake: Any = Fake()
        sessions = vedfolnir.JsonMapping(fake, "vedfolnir:session:", ttl=60)
        sessions["a"] = {"user_id": 1}
        self.assertEqual(kept, {"vedfolnir:session:a": b'{"user_id":1}'})
        self.assertEqual((fake.ttl, sessions["a"], "a" in sessions, list(sessions), len(sessions)), (60, {"user_id": 1}, True, ["a"], 1))
        self.assertEqual(sessions.setdefault("a", {}), {"user_id": 1})
        self.assertEqual(sessions.setdefault("b", {}), {})
        self.assertEqual(sessions.pop("a"), {"user_id": 1})
        self.assertRaises(KeyError, sessions.__delitem__, "a")
        self.assertIsNone(sessions.get("a"))


if __name__ == "__main__":
    unittest.main()
