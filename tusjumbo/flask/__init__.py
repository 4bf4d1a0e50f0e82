"""Jumbo in Flask applications: `pip install 'tusjumbo[flask]'`."""

from __future__ import annotations

from tusjumbo.flask.blueprint import Authorize, create_blueprint
from tusjumbo.flask.extension import get_jumbo, init_jumbo

__all__ = ["Authorize", "create_blueprint", "get_jumbo", "init_jumbo"]
