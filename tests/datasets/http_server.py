"""A web server on loopback that misbehaves as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """How to answer one request.

    Attributes
    ----------
    content
        The whole file.
    status
        200 serves it (206 for a part); anything else is an error without content.
    cut
        Bytes of this answer after which the connection is closed.
    stall
        Bytes of this answer after which nothing comes any more.
    ranges, length, etag
        Whether the server knows Range requests, states the length, and which ETag it gives.
    """

    content: bytes = b""
    status: int = 200
    cut: int | None = None
    stall: int | None = None
    ranges: bool = True
    length: bool = True
    etag: str | None = '"v1"'


@dataclass
class Log:
    """What the server saw: the Range header of each request, and the bytes of file that it sent."""

    ranges: list[str | None] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serve(answers: Sequence[Answer]) -> Iterator[tuple[str, Log]]:
    """Serve on loopback; request n gets answer n, later ones the last. Gives the address and the log."""
    log = Log()
    over = threading.Event()
    turn = iter(range(10**9))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            answer = answers[min(next(turn), len(answers) - 1)]
            wanted = self.headers.get("Range")
            log.ranges.append(wanted)
            self.close_connection = True
            if answer.status != 200:
                self.send_response(answer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            same = self.headers.get("If-Range") in (None, answer.etag)
            start = int(wanted[6:-1]) if wanted and answer.ranges and same else 0
            if start >= len(answer.content) and start:
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(answer, start)

        def _send(self, answer: Answer, start: int) -> None:
            body = answer.content[start:]
            self.send_response(206 if start else 200)
            if start:
                last = len(answer.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(answer.content)}")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            if answer.length:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            stop = min(x for x in (answer.cut, answer.stall, len(body)) if x is not None)
            with suppress(OSError):
                for place in range(0, stop, 2**14):
                    block = body[place : min(place + 2**14, stop)]
                    self.wfile.write(block)
                    log.sent += len(block)
                self.wfile.flush()
                if answer.stall is not None:
                    over.wait(30)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/archive.tar.gz", log
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
