"""Extension: the Jumbo of a Flask application, made from its configuration.

    app.config["JUMBO_CONFIG"] = {"upload_path": "/srv/uploads", "max_file_size": "5GiB"}
    init_jumbo(app)

Nothing is opened here and nothing else is registered: Jumbo opens what it needs in the process that
uses it. So it may be called in an application factory, before gunicorn forks (`--preload`), and for
several applications, whose uploads are the same if their `upload_path` is.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app

from tusjumbo.jumbo.synchronous import Jumbo

CONFIG = "JUMBO_CONFIG"
EXTENSION = "jumbo"


def init_jumbo(app: Flask, **options: Any) -> Jumbo:
    """Make the Jumbo of `app`, which is also `app.extensions["jumbo"]`.

    Its arguments (see `Jumbo`) are in `app.config["JUMBO_CONFIG"]`; `options` come before those.

    :raises ConfigurationError: (a ValueError) an option that does not exist, or cannot work
    """
    jumbo: Jumbo = Jumbo(**{**app.config.get(CONFIG, {}), **options})
    app.extensions[EXTENSION] = jumbo
    return jumbo


def get_jumbo() -> Jumbo:
    """The Jumbo of the application that is running.

    :raises RuntimeError: it has none, or no application is running
    """
    jumbo: Jumbo | None = current_app.extensions.get(EXTENSION)
    if jumbo is None:
        raise RuntimeError(f"{current_app.name} has no Jumbo: call init_jumbo(app) first.")
    return jumbo
