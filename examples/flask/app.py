"""The same on Vedfolnir: Flask keeps its HTTP handlers, events come as signed requests, progress goes over the HTTP API.

    pip install flask ./deploy/clients/python
    SECRET_KEY=… VEDFOLNIR_URLS=http://127.0.0.1:5003 VEDFOLNIR_TOKEN=… VEDFOLNIR_SECRET=… python app.py 8000
"""

import itertools
import os
import sys
import threading
import time

import vedfolnir
from flask import Flask, request, session

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
client = vedfolnir.Client(os.environ["VEDFOLNIR_URLS"].split(","), os.environ.get("VEDFOLNIR_TOKEN"))
backend = vedfolnir.Backend(os.environ["VEDFOLNIR_SECRET"])
if os.environ.get("SESSIONS") == "vedfolnir":
    # Instead of a signed cookie, or of Redis: in the cluster's store, under vedfolnir:session:<id>, the id a hash of the cookie.
    from vedfolnir.flask import VedfolnirSessions

    app.session_interface = VedfolnirSessions(client.store)

ADMINISTRATORS = {"root"}
numbers = itertools.count(1)


# ---- HTTP


@app.post("/login")
def login():
    session["user"] = request.get_json()["name"]  # A real one asks for a password.
    return {"user": session["user"]}


@app.post("/tasks")
def start():
    if "user" not in session:
        return {"error": "log in first"}, 401
    task = f"task-{next(numbers)}"
    threading.Thread(target=work, args=(task, session["user"], request.get_json()["steps"]), daemon=True).start()
    return {"task": task}, 202


def work(task, user, steps):
    for step in range(1, steps + 1):
        time.sleep(0.01)  # What takes so long.
        progress = {"task": task, "percent": 100 * step // steps}
        client.publish("progress", progress, namespace="/user", room=f"user:{user}")
        client.publish("progress", {**progress, "user": user}, namespace="/admin")


@app.post("/vedfolnir")
def called():
    status, body = backend.handle(request.headers, request.get_data())
    return body, status, {"Content-Type": "application/json"}


def user_of(context):
    """Who has logged in with the cookie that the client connected with."""
    with app.test_request_context(headers={"Cookie": context.headers.get("cookie", "")}):
        return session.get("user")


# ---- users


@backend.on("connect", namespace="/user")
def connect_user(context, auth):
    context.user = user_of(context)
    if context.user is None:
        raise vedfolnir.Refuse("log in first", {"login": "/login"})
    context.join(f"user:{context.user}")


@backend.on("watch", namespace="/user")
def watch(context, task):
    context.join(f"task:{task}")
    context.emit("watching", task)
    return {"watching": task}


@backend.on("say", namespace="/user")
def say(context, task, text):
    context.emit("said", {"by": context.user, "text": text}, room=f"task:{task}", except_=[context.sid])
    return "said", len(text)


@backend.on_webhook("session.disconnected")  # It may come back.
@backend.on_webhook("session.closed")
def left(event):
    if event["namespace"] == "/user":
        # It may come again: under its id it is published once.
        client.publish("left", event["user"], namespace="/admin", idempotency_key=f"left-{event['id']}")


# ---- administrators


@backend.on("connect", namespace="/admin")
def connect_admin(context, auth):
    context.user = user_of(context)
    if context.user not in ADMINISTRATORS:
        raise vedfolnir.Refuse("only for administrators")


@backend.on("announce", namespace="/admin")
def announce(context, text):
    context.emit("announcement", text, namespace="/user", broadcast=True)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
