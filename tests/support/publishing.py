"""Publishes with the Python package: publishing.py URL[,URL…] NAME COUNT THREADS

Each thread has a client of its own, that begins with a node of its own. Prints a line of JSON for each publish that
returned: its id and offset; the ids are NAME:0 to NAME:COUNT-1.
"""

import json
import sys
import threading

from vedfolnir import Client

URLS, NAME, COUNT, THREADS = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
printing = threading.Lock()


def publish(thread: int) -> None:
    first = thread % len(URLS)
    with Client(URLS[first:] + URLS[:first], attempt_timeout=3) as client:
        for number in range(thread, COUNT, THREADS):
            identity = f"{NAME}:{number}"
            published = client.publish("m", {"id": identity}, room="room")
            line = json.dumps({"id": identity, "offset": published.offset, "replayed": published.replayed}) + "\n"
            with printing:
                sys.stdout.write(line)
                sys.stdout.flush()


threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
