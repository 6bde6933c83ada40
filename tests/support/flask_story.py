"""The same as flask_story.mjs with python-socketio: flask_story.py HTTP_URL SOCKET_URL"""

import json
import os
import sys
import threading

import requests
import socketio

SITE, SOCKETS = sys.argv[1:]
EVENTS = ("progress", "watching", "announcement", "left", "said")
transcript = {}


class Watcher:
    """A client that writes down what comes."""

    def __init__(self, who, namespace, cookie=None):
        self.saw = transcript.setdefault(f"{who} in {namespace}", [])
        self.due = 0
        self.changed = threading.Condition()
        self.namespace = namespace
        self.client = socketio.Client(reconnection=False)
        self.client.on("connect", lambda: self.see("connected"), namespace=namespace)
        self.client.on("connect_error", lambda error: self.see(["refused", error]), namespace=namespace)
        for event in EVENTS:
            # With recovery an offset follows the arguments: of no interest here.
            self.client.on(event, lambda value, *_, event=event: self.see([event, value]), namespace=namespace)
        try:
            self.client.connect(SOCKETS, headers={"Cookie": cookie} if cookie else {}, namespaces=[namespace], wait_timeout=40)
        except socketio.exceptions.ConnectionError as error:
            self.see(["not connected", str(error)])
            self.next()
        self.next()

    def see(self, what):
        with self.changed:
            self.saw.append(what)
            self.changed.notify_all()

    def next(self, lines=1):
        self.due += lines
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.saw) >= self.due, timeout=40):
                raise SystemExit(f"waited for {self.due} things in vain: {self.saw}")

    def ask(self, event, *args):
        answer = self.client.call(event, args, namespace=self.namespace, timeout=40)
        self.see(["answered", answer])


def login(name):
    response = requests.post(f"{SITE}/login", json={"name": name}, timeout=40)
    return response.headers["Set-Cookie"].split(";")[0]


def start(cookie):
    return requests.post(f"{SITE}/tasks", json={"steps": 4}, headers={"Cookie": cookie}, timeout=40)


ada, bob, root = map(login, ("ada", "bob", "root"))
# The client waits for seconds before it gives a connection up: meanwhile the others go on.
refused = [threading.Thread(target=Watcher, args=args) for args in (("a stranger", "/user"), ("ada", "/admin", ada))]
for thread in refused:
    thread.start()
admin = Watcher("root", "/admin", root)
first = Watcher("ada", "/user", ada)
second = Watcher("bob", "/user", bob)
transcript["a task without a login"] = start("").status_code
task = start(ada).json()["task"]
first.next(4)
admin.next(4)
first.ask("watch", task)
first.next(2)
second.ask("watch", task)
second.next(2)
second.ask("say", task, "well done")
second.next()
first.next()
admin.ask("announce", "tea")
admin.next()
first.next()
second.next()
threading.Thread(target=second.client.disconnect, daemon=True).start()
admin.next()
for thread in refused:
    thread.join()
print(json.dumps(transcript, indent=1, sort_keys=True).replace(task, "the task"), flush=True)
os._exit(0)
