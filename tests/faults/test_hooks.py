"""kill -9 at any moment, fifty times: no hook and no assembler is lost, and order is kept.

Two clients create, fill, cut and delete uploads as fast as they can, while the server (two workers,
then one) is killed and started again; the receiver refuses now and then, and an assembler writes
what it was called for into a journal of its own. Afterwards everything that a client was told is
compared with what the receiver was told.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN
from tests.harness.process import Server
from tests.harness.receiver import Receiver, Say, Told
from tests.harness.wire import DEADLINE, poll

pytestmark = [pytest.mark.wire, pytest.mark.campaign, pytest.mark.timeout(900 * CAMPAIGN)]

KILLS = 50 * CAMPAIGN
ASSEMBLER = """#!/usr/bin/env python3
import json, os, sys
upload = json.load(sys.stdin)["Event"]["Upload"]
assert os.path.getsize(upload["Storage"]["Path"]) == upload["Size"]
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(upload["ID"] + "\\n")
print(json.dumps({"HTTPResponse": {"Body": "made of " + upload["ID"]}}))
"""


class Client:
    """One that never gives up, and knows what it was told."""

    def __init__(self, server: Server, seed: str) -> None:
        self._server = server
        self._chance = random.Random(seed)
        self.created: set[str] = set()
        self.finished: set[str] = set()
        self.deleted: set[str] = set()
        self.is_over = threading.Event()
        self.failure: BaseException | None = None

    @property
    def has_seen_all(self) -> bool:
        return bool(self.finished and self.deleted & self.finished)

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                self._upload()
        except BaseException as error:
            self.failure = error

    def _upload(self) -> None:
        content = self._chance.randbytes(self._chance.randrange(1, 5000))
        whole = self._chance.random() < 0.3
        path = None
        while path is None and not self.is_over.is_set():
            with suppress(OSError, AssertionError, IndexError):
                body = content if whole else None
                path = self._server.tus.create(len(content), {"filename": "a"}, body=body)
        if path is None:
            return
        upload_id = path.rpartition("/")[2]
        self.created.add(upload_id)
        if whole:
            self.finished.add(upload_id)
        else:
            self._fill(path, content)
        if self._chance.random() < 0.2:
            while not self.is_over.is_set():
                with suppress(OSError, AssertionError, IndexError):
                    self._server.tus.delete(path).expect(204, 404)
                    self.deleted.add(upload_id)
                    return

    def _fill(self, path: str, content: bytes) -> None:
        upload_id = path.rpartition("/")[2]
        while not self.is_over.is_set():
            with suppress(OSError, AssertionError, IndexError):
                at = self._server.tus.offset(path)
                answer = self._server.tus.patch(path, at, content[at:])
                if answer.status == 200:
                    # Also when it is the repetition of one whose answer was lost.
                    assert answer.body.decode() == f"made of {upload_id}"
                    self.finished.add(upload_id)
                    return


def _moody(seed: str) -> Receiver:
    chance = random.Random(seed)

    def say(told: Told) -> Say:
        return Say(503 if chance.random() < 0.1 else 200)

    return Receiver(say)


@contextmanager
def _clients(*clients: Client) -> Iterator[None]:
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for client in clients:
            client.is_over.set()
        for thread in threads:
            thread.join(DEADLINE)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment(tmp_path: Path, workers: int) -> None:
    script = tmp_path / "assemble"
    script.write_text(ASSEMBLER)
    script.chmod(0o755)
    journal = tmp_path / "journal"
    events = "post-create,post-finish,post-terminate"
    chance = random.Random(f"{workers}")
    with _moody("moody") as receiver:
        server = Server(
            tmp_path / "data",
            *("--hooks-http", receiver.url, "--hooks-events", events, "--hooks-timeout", "2s"),
            *("--assemble", f"script:{script}"),
            workers=workers,
            environment={"JOURNAL": str(journal)},
            tracebacks=True,  # of workers that are killed while they import
        )
        with server:
            clients = [Client(server, f"{workers} {number}") for number in range(2)]
            with _clients(*clients):
                for _ in range(KILLS // 2):
                    threading.Event().wait(chance.uniform(0.05, 0.6))
                    server.kill()
                    server.start()
                # However slow the machine is, there is something to be compared.
                poll(
                    lambda: all(client.has_seen_all or client.failure for client in clients),
                    DEADLINE * 6,
                    "nothing gets through",
                )
            assert [client.failure for client in clients] == [None, None]
            _check(receiver, clients, journal)


def _check(receiver: Receiver, clients: list[Client], journal: Path) -> None:
    created = set().union(*(client.created for client in clients))
    finished = set().union(*(client.finished for client in clients))
    deleted = set().union(*(client.deleted for client in clients))
    assert finished
    assert deleted

    def hooks(upload_id: str) -> list[str]:
        """In the order in which each was first told."""
        return list(dict.fromkeys(told.hook for told in receiver.of(upload_id)))

    def is_told() -> bool:
        return (
            all("post-create" in hooks(upload_id) for upload_id in created)
            and all("post-finish" in hooks(upload_id) for upload_id in finished)
            and all("post-terminate" in hooks(upload_id) for upload_id in deleted)
        )

    poll(is_told, DEADLINE * 3, "something was lost")
    order = ["post-create", "post-finish", "post-terminate"]
    for upload_id in created:
        heard = hooks(upload_id)
        assert heard == [hook for hook in order if hook in heard]
    keys: dict[str, object] = {}
    for told in receiver.told:
        document = told.document
        del document["Event"]["Upload"]["Storage"]  # where the file is now
        assert told.key
        assert keys.setdefault(told.key, document) == document
    assembled = set(journal.read_text().split())
    assert finished <= assembled
