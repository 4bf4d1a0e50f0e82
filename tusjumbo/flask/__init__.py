"""Jumbo in Flask applications: `pip install 'tusjumbo[flask]'`."""

from __future__ import annotations

try:
    import flask as _flask  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("tusjumbo.flask needs Flask: pip install 'tusjumbo[flask]'") from error

from tusjumbo.flask.blueprint import Authorize, create_blueprint
from tusjumbo.flask.extension import get_jumbo, init_jumbo

__all__ = ["Authorize", "create_blueprint", "get_jumbo", "init_jumbo"]
