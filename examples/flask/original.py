"""Progress notifications with Flask-SocketIO: users start tasks and watch them, administrators watch everything.

    pip install flask flask-socketio simple-websocket
    SECRET_KEY=… python original.py 8000
"""

import itertools
import os
import sys
import time

from flask import Flask, request, session
from flask_socketio import ConnectionRefusedError, SocketIO, emit, join_room

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
# Several processes need message_queue="redis://…", and a balancer that is sticky.
socketio = SocketIO(app, async_mode="threading")

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
    socketio.start_background_task(work, task, session["user"], request.get_json()["steps"])
    return {"task": task}, 202


def work(task, user, steps):
    for step in range(1, steps + 1):
        time.sleep(0.01)  # What takes so long.
        progress = {"task": task, "percent": 100 * step // steps}
        socketio.emit("progress", progress, namespace="/user", to=f"user:{user}")
        socketio.emit("progress", {**progress, "user": user}, namespace="/admin")


# ---- users


@socketio.on("connect", namespace="/user")
def connect_user(auth):
    if "user" not in session:
        raise ConnectionRefusedError("log in first", {"login": "/login"})
    join_room(f"user:{session['user']}")


@socketio.on("watch", namespace="/user")
def watch(task):
    join_room(f"task:{task}")
    emit("watching", task)
    return {"watching": task}


@socketio.on("say", namespace="/user")
def say(task, text):
    emit("said", {"by": session["user"], "text": text}, to=f"task:{task}", include_self=False)
    return "said", len(text)


@socketio.on("disconnect", namespace="/user")
def disconnect_user(reason):
    emit("left", session["user"], namespace="/admin", broadcast=True)


# ---- administrators


@socketio.on("connect", namespace="/admin")
def connect_admin(auth):
    if session.get("user") not in ADMINISTRATORS:
        raise ConnectionRefusedError("only for administrators")


@socketio.on("announce", namespace="/admin")
def announce(text):
    emit("announcement", text, namespace="/user", broadcast=True)


if __name__ == "__main__":
    socketio.run(app, host="127.0.0.1", port=int(sys.argv[1]), allow_unsafe_werkzeug=True)
