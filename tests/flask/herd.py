"""A program: the real flask-tsk with our Jumbo, in a process and a directory of its own.

    python -m tests.flask.herd DIRECTORY

flask-tsk makes threads, databases and directories when it is imported or used, and keeps the user
of the last request for all that follow. What the cases see is written as JSON to DIRECTORY, to be
looked at by `test_flask_tsk.py`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from tsk_flask import elephants as theirs
from tsk_flask.examples import (
    APIServiceExample,
    EcommerceExample,
    PortfolioExample,
    SocialNetworkExample,
)
from tsk_flask.examples.base_example import BaseExample
from tsk_flask.herd import Herd
from tsk_flask.herd.elephants import jumbo as their_jumbo
from tsk_flask.herd.elephants import koshik as their_koshik
from tsk_flask.herd.elephants.babar import Babar
from tsk_flask.herd.elephants.kaavan import Kaavan
from tsk_flask.herd.elephants.koshik import Koshik

from tests.flask.apps import FOUND
from tusjumbo import Action, Admission, Jumbo, Unauthorized
from tusjumbo.elephants import BabarStories, KaavanAlerts, KoshikNotices
from tusjumbo.flask import create_blueprint, init_jumbo

ADMIN = {"id": 7, "role": "admin", "first_name": "Ada", "last_name": "L"}
GUEST = {"id": 8, "role": "user"}
CONTENT = bytes(range(250))
SIZE = 100

Case = Callable[[Path], Any]


def log_in(user: dict[str, Any] | None) -> None:
    Herd._user = user


def example_with(jumbo: Any, kind: type[BaseExample]) -> Flask:
    """An example's application. By itself it has no elephants: flask-tsk 2.0.4 imports one that is
    not there, and goes on without any.
    """
    example = kind()
    app: Flask = example.create_app()
    assert example.elephants == {}
    example.elephants["jumbo"] = jumbo
    return app


# --- the examples --------------------------------------------------------------------------------


def api_service(directory: Path) -> Any:
    """An upload through the API service, as its clients do it."""
    with Jumbo(directory, chunk_size=SIZE) as jumbo:
        client = example_with(jumbo, APIServiceExample).test_client()
        return _through_the_api(client)


def api_service_with_their_own(directory: Path) -> Any:
    """The same with the Jumbo of flask-tsk."""
    jumbo = their_jumbo.Jumbo(str(directory))
    return _through_the_api(example_with(jumbo, APIServiceExample).test_client())


def _through_the_api(client: Any) -> Any:
    asked = {"filename": "../a.bin", "size": len(CONTENT), "metadata": {"n": 1}}
    log_in(None)
    answers = [client.post("/api/v1/upload", json=asked)]
    log_in(ADMIN)
    answers.append(client.post("/api/v1/upload", json=asked))
    upload_id = (answers[-1].json or {}).get("upload_id", "none")
    for number in (2, 0, 9, 1):
        chunk = CONTENT[number * SIZE : (number + 1) * SIZE]
        told = {"chunk_number": number, "chunk_data": base64.b64encode(chunk).decode()}
        answers.append(client.post(f"/api/v1/upload/{upload_id}/chunk", json=told))
    path = Path(((answers[-1].json or {}).get("result") or {}).get("path", "none"))
    return {
        "answers": [(answer.status_code, answer.json) for answer in answers],
        "content": path.is_file() and path.read_bytes() == CONTENT,
    }


def form_examples(directory: Path) -> Any:
    """The four forms that announce a file, and never send its bytes."""
    log_in(ADMIN)
    with Jumbo(directory) as jumbo:

        def post(kind: type[BaseExample], path: str, field: str, **form: str) -> int:
            client = example_with(jumbo, kind).test_client()
            form["name"] = form["title"] = form["content"] = form["description"] = "x"
            file = (io.BytesIO(CONTENT), f"{field}-{kind.__name__}.png")
            status: int = client.post(path, data={**form, "price": "1", field: file}).status_code
            return status

        answers = [
            post(EcommerceExample, "/admin/products/create", "image"),
            post(PortfolioExample, "/admin/projects/create", "image"),
            post(SocialNetworkExample, "/post/create", "image"),
            post(SocialNetworkExample, "/settings/profile", "avatar"),
        ]
        uploads = jumbo.active_uploads.values()
        return {"answers": answers, "uploads": sorted((it.filename, it.length) for it in uploads)}


def their_herd(directory: Path) -> Any:
    """Theirs finds ours: by `app.jumbo`, and in the herd."""
    app = Flask(__name__)
    app.jumbo = init_jumbo(app, upload_path=directory)  # type: ignore[attr-defined]
    herd = theirs.ElephantHerd()
    herd.elephants["jumbo"] = app.jumbo  # type: ignore[attr-defined]
    herd.initialized = True
    theirs._herd = herd
    with app.app_context():
        found = their_jumbo.get_jumbo()
        status = herd.get_herd_status()["elephants"]["jumbo"]
        return {
            "get_jumbo": found is app.extensions["jumbo"],
            "get_jumbo_upload": theirs.get_jumbo_upload() is found,
            "status": status,
            "statistics": theirs.get_jumbo_upload().get_statistics()["active_uploads"],
        }


# --- permissions ---------------------------------------------------------------------------------


def may(admission: Admission) -> bool:
    """Flask-TSK's permissions: known users upload, administrators may cancel."""
    user = Herd.user()
    if user is None:
        raise Unauthorized("Session")
    return admission.action is not Action.TERMINATE or user["role"] == "admin"


def permissions(directory: Path) -> Any:
    app = Flask(__name__)
    jumbo = init_jumbo(app, upload_path=directory)
    app.register_blueprint(create_blueprint(authorize=may))
    client = app.test_client()
    upload_id = jumbo.start_upload("a", 10)["upload_id"]
    answers = []
    for user in (None, GUEST, ADMIN):
        log_in(user)
        answers.append(
            [
                client.post("/upload/start", json={"filename": "x", "size": 1}).status_code,
                client.get(f"/upload/status/{upload_id}").status_code,
                client.delete(f"/upload/{upload_id}").status_code,
            ]
        )
    return answers


# --- the adapters --------------------------------------------------------------------------------


class Memory:
    """What Koshik keeps things in, where its application has one; flask-tsk 2.0.4 has not."""

    kept: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def remember(cls, key: str, value: Any, _: int) -> None:
        cls.kept[key] = value

    @classmethod
    def recall(cls, key: str) -> Any:
        return cls.kept.get(key)


def adapters(directory: Path) -> Any:
    babar = Babar(str(directory / "cms.db"))
    babar.set_current_user(ADMIN)
    kaavan = Kaavan()
    their_koshik.Memory = Memory
    koshik = Koshik()
    now = 1_800_000_000.0
    uploads = directory / "uploads"
    uploads.mkdir()
    alerts = KaavanAlerts(kaavan, uploads, low_space=0)
    observers: list[BabarStories | KaavanAlerts | KoshikNotices]
    observers = [BabarStories(babar), alerts, KoshikNotices(koshik, lambda _: 7)]
    settings: Any = {"chunk_size": SIZE, "expire_after": "1h", "clock": lambda: now}
    with Jumbo(uploads, observers=observers, **settings) as jumbo:
        lost = jumbo.start_upload("lost.bin", 1000)["upload_id"]
        upload_id = jumbo.start_upload("<Film>.mp4", len(CONTENT))["upload_id"]
        with contextlib.suppress(ValueError):
            jumbo.upload_chunk(upload_id, 0, bytes(SIZE), "0" * 64)
        for number in range(3):
            jumbo.upload_chunk(upload_id, number, CONTENT[number * SIZE : (number + 1) * SIZE])
        now += 3601
        jumbo.start_upload("other.bin", 1000)
        figures = alerts.report(jumbo)
    for observer in observers:
        observer.close()
    library = babar.get_library({"search": upload_id})["data"]
    ours = {KaavanAlerts.ABANDONED, KaavanAlerts.FAILED, KaavanAlerts.FIGURES}
    return {
        "ids": {"finished": upload_id, "lost": lost},
        "stories": [{key: it[key] for key in ("title", "type", "status")} for it in library],
        "content": [it["content"] for it in library],
        "settings": [it["settings"] for it in library],
        "alerts": [
            (it["message"], it["severity"], it["metadata"].get("upload_id"))
            for it in kaavan.get_alerts()
            if it["message"] in ours
        ],
        "figures": figures,
        "notices": koshik.get_pending_notifications(7),
    }


CASES: list[Case] = [
    api_service,
    api_service_with_their_own,
    form_examples,
    their_herd,
    permissions,
    adapters,
]

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    found = {}
    for case in CASES:
        here = directory / case.__name__
        here.mkdir()
        found[case.__name__] = case(here)
    (directory / FOUND).write_text(json.dumps(found))
