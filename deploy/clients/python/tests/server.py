"""A node for tests: answers as it is told, and writes down what it was asked."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from typing import Any, Callable

Answer = "tuple[int, dict[str, str], bytes]"


class Node:
    """``answers`` are given one after the other, the last one again and again; one may be a function, or None: no answer."""

    def __init__(self, *answers: Any, certificate: tuple[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                node.connections += 1
                super().setup()

            def log_message(self, *_: Any) -> None:
                pass

            def respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                node.asked.append({"method": self.command, "path": self.path, "headers": headers, "body": body})
                answer = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
                if callable(answer):
                    answer = answer()
                if answer is None:
                    # The process dies before it has answered.
                    self.close_connection = True
                    return
                status, more, content = answer
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = respond

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def ok(body: Any = None, headers: dict[str, str] | None = None, status: int = 200) -> Any:
    """An answer of JSON."""
    return status, headers or {}, b"" if body is None else json.dumps(body).encode()


def problem(status: int, kind: str, headers: dict[str, str] | None = None) -> Any:
    """An answer that is a problem."""
    body = {"type": f"urn:vedfolnir:problem:{kind}", "title": "a title", "status": status, "detail": "a detail"}
    return ok(body, {"Content-Type": "application/problem+json", **(headers or {})}, status)


__all__ = ["Callable", "Node", "ok", "problem"]
