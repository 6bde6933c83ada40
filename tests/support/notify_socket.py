"""A supervisor's socket (sd_notify): prints what comes, one JSON text a datagram. Ends with standard input."""

import json
import os
import select
import socket
import sys

path = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
os.chmod(path, 0o666)
print(json.dumps("bound"), flush=True)
while True:
    ready, _, _ = select.select([receiver, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    print(json.dumps(receiver.recv(65536).decode()), flush=True)
