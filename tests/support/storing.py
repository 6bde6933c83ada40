"""Keeps sessions with the Python package: storing.py URL[,URL…]; raises where something is not as it must be."""

import sys

import vedfolnir

client = vedfolnir.Client(sys.argv[1].split(","))
sessions = client.store.mapping("python:session:", ttl=3600)
assert list(sessions) == [] and "a" not in sessions
sessions["a"] = {"user_id": 1}
sessions["b/ü ?#%"] = {"user_id": 2}
assert sessions["a"] == {"user_id": 1} and sessions.setdefault("a", {}) == {"user_id": 1}
assert sorted(sessions) == ["a", "b/ü ?#%"] and len(sessions) == 2

entry = client.store.get("python:session:a", linearizable=True)
assert 3500 < entry.expires_in <= 3600, entry
revision = client.store.put(entry.key, b"\x00\xff", if_revision=entry.revision)
for condition in ({"if_revision": entry.revision}, {"if_absent": True}):
    try:
        client.store.put(entry.key, "late", **condition)
    except vedfolnir.ConflictError as error:
        assert error.problem["current"] == revision, error.problem
    else:
        raise AssertionError(f"{condition} was ignored")
assert client.store.get(entry.key, linearizable=True).value == b"\x00\xff"
assert client.store.delete(entry.key, if_revision=revision) and not client.store.delete(entry.key)
del sessions["b/ü ?#%"]
assert list(sessions) == [] and client.store.get(entry.key, linearizable=True) is None

try:
    client.publish("m", session="nobody")
except vedfolnir.NotFoundError as error:
    assert (error.type, error.field) == ("unknown-session", "session"), error
assert client.sessions.get("nobody") is None and not client.sessions.end("nobody")
assert client.presence(room="nowhere", linearizable=True) == vedfolnir.Presence(0, 0)
offset = client.publish("m", {"ä": 1}, room="python", except_=["x"]).offset
(event,) = client.history("python", linearizable=True)
assert (event.offset, event.event, event.args, event.rooms, event.except_) == (offset, "m", ({"ä": 1},), ("python",), ("x",))
assert list(client.history("python", after=offset)) == []
