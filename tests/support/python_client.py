"""The official Python clients against the relay: python_client.py sync|asyncio|sync-plain|asyncio-plain URL OTHER_URL

Exits 0 after connecting with default options, an echo with binary, join, rooms, publish and receive over two nodes.
"""

import asyncio
import queue
import sys

import socketio

ARGUMENTS = ("text", 7, {"nested": [True, None]}, b"\x00\x01\xfe\xff")


def check(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def check_answers(echoed, rooms, first, second):
    check("echo", tuple(echoed), ARGUMENTS)
    if "python" not in rooms:
        raise AssertionError(f"rooms: {rooms!r} lacks the room that was joined")
    for answer in (first, second):
        if not isinstance(answer.get("offset"), str):
            raise AssertionError(f"publish was answered {answer!r}")


def check_received(received, publishes, is_plain):
    if is_plain:
        # Who declines recovery gets what was published, and nothing else.
        check("received", received, publishes)
        return
    # Recovery adds the offset as one more argument; python-socketio hands it to the handler.
    check("received", [arguments[:-1] for arguments in received], publishes)
    for arguments in received:
        if not isinstance(arguments[-1], str):
            raise AssertionError(f"no offset at the end of {arguments!r}")


def address(url, is_plain):
    return f"{url}?recovery=false" if is_plain else url


PUBLISHES = [(1, b"\x00\xff"), (2, "plain")]


def synchronous(url, other, is_plain):
    received = queue.Queue()
    listener, sender = socketio.Client(), socketio.Client()
    listener.on("news", lambda *arguments: received.put(arguments))
    listener.connect(address(url, is_plain))
    sender.connect(other)
    echoed = sender.call("echo", ARGUMENTS)
    listener.call("join", "python")
    rooms = listener.call("rooms")
    answers = [sender.call("publish", ("python", "news", *arguments)) for arguments in PUBLISHES]
    check_answers(echoed, rooms, *answers)
    check_received([received.get(timeout=30) for _ in PUBLISHES], PUBLISHES, is_plain)
    check("transport", listener.transport(), "websocket")
    listener.call("leave", "python")
    if "python" in listener.call("rooms"):
        raise AssertionError("the room is still there after leaving it")
    listener.disconnect()
    sender.disconnect()


async def asynchronous(url, other, is_plain):
    received = asyncio.Queue()
    listener, sender = socketio.AsyncClient(), socketio.AsyncClient()

    async def news(*arguments):
        await received.put(arguments)

    listener.on("news", news)
    await listener.connect(address(url, is_plain))
    await sender.connect(other)
    echoed = await sender.call("echo", ARGUMENTS)
    await listener.call("join", "python")
    rooms = await listener.call("rooms")
    answers = [await sender.call("publish", ("python", "news", *arguments)) for arguments in PUBLISHES]
    check_answers(echoed, rooms, *answers)
    check_received([await asyncio.wait_for(received.get(), 30) for _ in PUBLISHES], PUBLISHES, is_plain)
    check("transport", listener.transport(), "websocket")
    await listener.call("leave", "python")
    if "python" in await listener.call("rooms"):
        raise AssertionError("the room is still there after leaving it")
    await listener.disconnect()
    await sender.disconnect()


if __name__ == "__main__":
    kind, url, other = sys.argv[1:]
    is_plain = kind.endswith("-plain")
    if kind.startswith("sync"):
        synchronous(url, other, is_plain)
    else:
        asyncio.run(asynchronous(url, other, is_plain))
    print("passed")
