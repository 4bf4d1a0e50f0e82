"""Limits travel with uvicorn's Config, and one notice belongs to one server."""

from __future__ import annotations

import pickle

import uvicorn
from uvicorn.server import ServerState

from tests.server.apps import refuse
from tusjumbo.server.limits import Limits, UploadConfig, closing_of, limits_of


def test_limits_reach_a_worker() -> None:
    config = UploadConfig(refuse, limits=Limits(header_timeout=7), log_config=None, port=1)
    arrived = pickle.loads(pickle.dumps(config))
    assert limits_of(arrived) == Limits(header_timeout=7)
    assert arrived.port == 1


def test_another_config_has_the_defaults() -> None:
    assert limits_of(uvicorn.Config(refuse, log_config=None)) == Limits()


def test_one_notice_for_one_server() -> None:
    one, other = ServerState(), ServerState()
    assert closing_of(one) is closing_of(one)
    assert closing_of(one) is not closing_of(other)
