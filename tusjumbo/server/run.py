"""Run: from settings to a server that runs, in one call.

Whatever can be wrong with the settings is found here, before anything is started and in the parent
process: sockets are bound, the certificate is loaded, our connection class is tried out. The app is
made by a factory, in each process that serves. uvicorn's own opinions are switched off: no Server
header, no access log, no belief in X-Forwarded-For (all three are the app's).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from uvicorn._types import ASGIApplication

from tusjumbo.errors import ConfigurationError
from tusjumbo.server.choice import http_class
from tusjumbo.server.limits import Limits, UploadConfig
from tusjumbo.server.listening import listening
from tusjumbo.server.process import allow_files, keep_what_is_loaded
from tusjumbo.server.stopping import UploadServer
from tusjumbo.server.workers import Workers
from tusjumbo.settings import ServerSettings, UploadSettings

Factory: TypeAlias = Callable[[], ASGIApplication]

WORKER_PATIENCE = 30
"""Seconds without a sign of life until a worker is replaced: it may start on a busy machine."""


def serve(
    app: Factory,
    upload: UploadSettings,
    server: ServerSettings,
    *,
    on_listening: Callable[[Sequence[str]], None] | None = None,
    log_config: dict[str, Any] | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code.

    `app` makes the ASGI app; with several workers it is pickled, and called in each of them after
    `log_config` (as for `logging.config.dictConfig`) has been applied there. `on_listening` is
    called once, in this process, with the URLs of the endpoint, when requests are answered.

    :raises ConfigurationError: cannot listen there, or cannot use the certificate
    """
    _check_certificate(server)
    allow_files()
    config = configuration(app, upload, server, log_config)
    with listening(server) as (sockets, urls):

        def announce() -> None:
            if on_listening is not None:
                on_listening(urls)

        if server.workers > 1:
            return Workers(config, sockets, announce).serve()
        config.load()
        keep_what_is_loaded()
        return UploadServer(config, announce).work(sockets)


def configuration(
    app: Factory,
    upload: UploadSettings,
    server: ServerSettings,
    log_config: dict[str, Any] | None,
) -> UploadConfig:
    """What every serving process is to know, as data."""
    config = UploadConfig(
        app,
        factory=True,
        interface="asgi3",
        limits=Limits(
            header_timeout=server.header_timeout,
            # The app's own timeout comes first: it can answer.
            body_timeout=upload.body_timeout * 2,
            shutdown_timeout=server.shutdown_timeout,
            direct_from=server.direct_from or None,
        ),
        workers=server.workers,
        log_config=log_config,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=server.tls_certificate,
        ssl_keyfile=server.tls_key,
        timeout_worker_healthcheck=WORKER_PATIENCE,
    )
    config.http = http_class()  # may warn, so only now that logging is configured
    return config


def _check_certificate(server: ServerSettings) -> None:
    if server.tls_certificate is None or server.tls_key is None:
        return
    try:
        # An empty password: nobody is there to be asked for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            server.tls_certificate, server.tls_key, password=""
        )
    except OSError as error:
        raise ConfigurationError(
            f"cannot use {str(server.tls_certificate)!r} with {str(server.tls_key)!r}: "
            f"{error.strerror or error}",
            setting="tls_certificate",
        ) from error
