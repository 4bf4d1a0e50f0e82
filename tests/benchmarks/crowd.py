"""Crowd: a client process with many uploads open at once, each of which sends a byte now and then.

`python -m tests.benchmarks.crowd PORT SIZE`. One thread and epoll, so that it is not what is
measured. It takes one word a line from stdin and answers each with a line of JSON: what it did, or
`{"error": …}`. It knows what it has sent on each connection, so it can say afterwards whether a
server has all of it; it is told everything else.
"""

from __future__ import annotations

import collections
import http.client
import json
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PORTS = 5000
"""Connections from one source address: there are 28,000 ports by default, and others need some."""
_BEGUN = b"x" * 100
_LOCATION = re.compile(rb"\r\nlocation: (?:https?://[^/\r]+)?(/[^\r]+)\r\n", re.IGNORECASE)
_OFFSET = "Upload-Offset"
_ANSWER_SECONDS = 30.0


@dataclass
class Upload:
    connection: socket.socket
    path: str
    sent: int = 0


class Crowd:
    def __init__(self, port: int, size: int) -> None:
        self._port = port
        self._size = size
        self._uploads: list[Upload] = []
        self._next = 0

    def __str__(self) -> str:
        return f"{len(self._uploads)} uploads and {self._next} bytes"

    def open(self, count: int) -> dict[str, object]:
        """Begin uploads, one after the other, until so many are open."""
        began = time.monotonic()
        while len(self._uploads) < count:
            self._uploads.append(self._begun(len(self._uploads)))
        return {"open": len(self._uploads), "seconds": time.monotonic() - began}

    def _begun(self, number: int) -> Upload:
        source = f"127.0.1.{1 + number // _PORTS}"
        connection = socket.create_connection(
            ("127.0.0.1", self._port), _ANSWER_SECONDS, source_address=(source, 0)
        )
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self._head("POST", "/files/", f"Upload-Length: {self._size}", 0))
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += _received(connection)
        location = _LOCATION.search(answer)
        if not answer.startswith(b"HTTP/1.1 201 ") or location is None:
            raise OSError(f"POST {number} was answered {answer[:40]!r}")
        path = location[1].decode()
        kind = "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream"
        connection.sendall(self._head("PATCH", path, kind, self._size) + _BEGUN)
        return Upload(connection, path, len(_BEGUN))

    def _head(self, method: str, path: str, fields: str, length: int) -> bytes:
        fixed = f"Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nContent-Length: {length}"
        return f"{method} {path} HTTP/1.1\r\n{fixed}\r\n{fields}\r\n\r\n".encode()

    def drip(self, seconds: float, rate: float) -> dict[str, object]:
        """Send single bytes for some seconds, `rate` a second, in turn on all connections."""
        began = time.monotonic()
        sent = 0
        while (now := time.monotonic() - began) < seconds:
            while sent < now * rate:
                upload = self._uploads[self._next % len(self._uploads)]
                upload.sent += upload.connection.send(b"y")
                self._next += 1
                sent += 1
            time.sleep(0.002)
        return {"sent": sent}

    def end(self, seconds: float) -> dict[str, object]:
        """Wait until the server has answered or closed every connection, and count the answers."""
        answers: collections.Counter[str] = collections.Counter()
        poll = select.epoll()
        waiting = {upload.connection.fileno(): upload.connection for upload in self._uploads}
        for file in waiting:
            poll.register(file, select.EPOLLIN)
        began = time.monotonic()
        while waiting and time.monotonic() - began < seconds:
            for file, _ in poll.poll(0.1):
                connection = waiting.pop(file)
                try:
                    words = connection.recv(65536).split(b" ", 2)
                    answers[words[1].decode() if len(words) > 1 else "closed"] += 1
                except OSError as error:
                    answers[type(error).__name__] += 1
                connection.close()
        poll.close()
        return {"answers": answers, "silent": len(waiting), "seconds": time.monotonic() - began}

    def check(self, port: int) -> dict[str, object]:
        """Ask the server at `port` for the offset of every upload."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
        kept = 0
        wrong: list[str] = []
        for upload in self._uploads:
            connection.request("HEAD", upload.path, headers={"Tus-Resumable": "1.0.0"})
            answer = connection.getresponse()
            answer.read()
            if answer.getheader(_OFFSET) == str(upload.sent):
                kept += 1
            else:
                wrong.append(f"{answer.status} {answer.getheader(_OFFSET)} of {upload.sent}")
        connection.close()
        return {"kept": kept, "wrong": wrong[:3]}


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise OSError("the server closed a connection")
    return data


def main(words: Sequence[str]) -> None:
    crowd = Crowd(*map(int, words))
    acts: dict[str, Callable[..., dict[str, object]]] = {
        "open": lambda count: crowd.open(int(count)),
        "drip": lambda seconds, rate: crowd.drip(float(seconds), float(rate)),
        "end": lambda seconds: crowd.end(float(seconds)),
        "check": lambda port: crowd.check(int(port)),
    }
    for line in sys.stdin:
        word, *rest = line.split()
        try:
            told = acts[word](*rest)
        except OSError as error:
            told = {"error": f"{word}: {error} after {crowd}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
