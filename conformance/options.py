"""What the user says of the server and of the run; the command line has a flag for each."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from conformance.wire import Address


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says of the server and of the run."""

    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request but preflights."""
    timeout: float = 10.0
    """Seconds to wait for a response."""
    stall: float = 75.0
    """Seconds that a server may take to give up a client that sends nothing more."""
    expiry: float | None = None
    """After so many seconds unfinished uploads of this server expire; None if not known."""
    origin: str = "https://app.example"
    """The page that a browser would be on."""
    finished_gone: bool = False
    """The server takes finished uploads away: HEAD need not find them."""
    verify_tls: bool = True
    restart: float = 3.0
    """Seconds to wait for a server that takes no connections: it may come back from a crash."""

    def tls(self, address: Address) -> ssl.SSLContext | None:
        """How to speak TLS to this address; None if it is plain."""
        if address.scheme != "https":
            return None
        context = ssl.create_default_context()
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
