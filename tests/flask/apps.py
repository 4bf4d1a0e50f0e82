"""Flask applications for the tests, which a server process can load, too.

`gunicorn "tests.flask.apps:served()"` and `flask --app "tests.flask.apps:served" run` take the
directory and options from TEST_JUMBO, as JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, Response

from tusjumbo.flask import Authorize, create_blueprint, init_jumbo

CHUNK = 64 * 1024

FOUND = "found.json"
"""Where `herd` writes what it has seen."""


def app_in(directory: Path | str, *, authorize: Authorize | None = None, **options: Any) -> Flask:
    """An application with the blueprint at /upload, with chunks of 64 KiB."""
    app = Flask("tests.flask.apps")
    app.config["TESTING"] = True
    app.config["JUMBO_CONFIG"] = {"upload_path": str(directory), "chunk_size": CHUNK, **options}
    init_jumbo(app)
    app.register_blueprint(create_blueprint(authorize=authorize))
    return app


def served() -> Flask:
    """Says in its answers which process gave them; has been used before any server forks."""
    app = app_in(**json.loads(os.environ["TEST_JUMBO"]))
    app.extensions["jumbo"].get_statistics()

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Process"] = str(os.getpid())
        return response

    return app
