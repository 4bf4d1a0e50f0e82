"""tus-java-client 0.5.1 on a JRE, as recorded (specs/clients.md section 4), spoken by hand.

What is particular: a POST without Content-Length or Transfer-Encoding; PATCH spelled as POST with
X-HTTP-Method-Override; always chunked, always `Expect: 100-continue`; an offset that differs from
its own counter is fatal; and after a request that was filled exactly, an empty PATCH at the end.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest

from tests.clients.conftest import MIB, MakeFile, Proof
from tests.harness.process import Server
from tests.harness.tus import OFFSET_STREAM
from tests.harness.wire import Response, Wire

pytestmark = pytest.mark.wire

AGENT = {
    "User-Agent": "Java/17.0.17",
    "Accept": "text/html, image/gif, image/jpeg, */*; q=0.2",
    "Connection": "keep-alive",
    "Tus-Resumable": "1.0.0",
}


class JavaUploader:
    """The client's calls, on one connection that is kept alive like HttpURLConnection's."""

    def __init__(self, server: Server, wire: Wire, content: bytes) -> None:
        self._server = server
        self._wire = wire
        self._content = content
        self.path = ""
        self.offset = 0

    def create(self) -> None:
        self._wire.head(
            "POST",
            self._server.endpoint.path,
            {"Upload-Length": str(len(self._content)), "Upload-Metadata": "filename YQ=="} | AGENT,
        )
        response = self._wire.read().expect(201)
        self.path = urlsplit(urljoin(self._server.endpoint.url, response["Location"])).path

    def resume(self) -> None:
        self._wire.head("HEAD", self.path, AGENT)
        self.offset = int(self._wire.read().expect(200)["Upload-Offset"])

    def upload(self, request_size: int) -> Response:
        """One request of at most `request_size` bytes; empty at the end of the file."""
        self._wire.head(
            "POST",
            self.path,
            {
                "X-HTTP-Method-Override": "PATCH",
                "Expect": "100-continue",
                "Transfer-Encoding": "chunked",
                "Content-Type": OFFSET_STREAM,
                "Upload-Offset": str(self.offset),
            }
            | AGENT,
        )
        first = self._wire.read_next()
        if first.status != 100:
            return first
        body = self._content[self.offset : self.offset + request_size]
        for at in range(0, len(body), 4096):
            self._wire.send_chunk(body[at : at + 4096])
        self._wire.send_chunk(b"")
        response = self._wire.read()
        self.offset += len(body)
        if response.status == 204:
            assert int(response["Upload-Offset"]) == self.offset, "fatal for this client"
        return response

    def upload_all(self, request_size: int) -> int:
        """`while (uploadChunk() > -1); finish()`: the number of requests it takes."""
        count = 0
        while True:
            before = self.offset
            self.upload(request_size).expect(204)
            count += 1
            if self.offset - before < request_size:
                return count


@pytest.mark.parametrize(
    ("size", "request_size", "requests"),
    [
        pytest.param(11, 10 * MIB, 1, id="one request"),
        pytest.param(3 * MIB, 2 * MIB, 2, id="two requests"),
        pytest.param(2 * MIB, MIB, 3, id="filled exactly: an empty one at the end"),
        pytest.param(0, MIB, 1, id="empty file: an empty one"),
    ],
)
def test_upload(
    server: Server, proof: Proof, make_file: MakeFile, size: int, request_size: int, requests: int
) -> None:
    file = make_file(size)
    with server.endpoint.connect() as wire:
        java = JavaUploader(server, wire, file.read_bytes())
        java.create()
        assert java.upload_all(request_size) == requests
    proof.whole(java.path, file)


def test_resume(server: Server, proof: Proof, make_file: MakeFile) -> None:
    file = make_file(3 * MIB)
    content = file.read_bytes()
    with server.endpoint.connect() as wire:
        java = JavaUploader(server, wire, content)
        java.create()
    server.tus.patch(java.path, 0, content[: MIB + 1]).expect(204)
    with server.endpoint.connect() as wire:
        again = JavaUploader(server, wire, content)
        again.path = java.path
        again.resume()
        assert again.offset == MIB + 1
        again.upload_all(10 * MIB)
    proof.whole(java.path, file)


def test_a_refusal_comes_instead_of_the_100(server: Server, make_file: MakeFile) -> None:
    with server.endpoint.connect() as wire:
        java = JavaUploader(server, wire, make_file(MIB).read_bytes())
        java.create()
        java.offset = 7
        assert java.upload(MIB).status == 409
    assert server.tus.offset(java.path) == 0
