"""TusJumbo: the upload server as an ASGI application, alone or inside another one.

    app = FastAPI()
    uploads = TusJumbo(upload_dir="./data", max_size="5GiB")
    uploads.mount(app, "/files")
    uploads.jumbo.mount(app, "/upload")

Nothing is opened when it is made, and nothing has to be started: every part opens what it needs in
the process and event loop that uses it. So it works where nobody runs a lifespan (a mounted app, a
test client, a serverless adapter). What a lifespan adds is housekeeping.

tus and Jumbo are two endpoints of one installation: any upload can be reached through both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from tusjumbo import digests, wiring
from tusjumbo.composition import compose
from tusjumbo.ports import Clock, Observer
from tusjumbo.protocols import routes
from tusjumbo.protocols.extensions import Offer
from tusjumbo.settings import UploadSettings, upload_settings
from tusjumbo.web import heap
from tusjumbo.web.cors import Cors
from tusjumbo.web.housekeeping import Housekeeping
from tusjumbo.web.jumbo import JumboExchange
from tusjumbo.web.links import Links, elsewhere
from tusjumbo.web.logs import log_upload
from tusjumbo.web.mounting import ASGIApp, Endpoint, together
from tusjumbo.web.tus import TusExchange
from tusjumbo.wiring import AssemblerLike, GateLike, HookLike

__all__ = ["ASGIApp", "TusJumbo"]


class TusJumbo(Endpoint):
    """The tus endpoint, and the installation behind it."""

    jumbo: Endpoint
    """The Jumbo API of the same uploads, to be mounted at a path of its own."""

    def __init__(
        self,
        *,
        settings: UploadSettings | None = None,
        gate: GateLike | None = None,
        hooks: Iterable[HookLike] = (),
        assemble: Iterable[AssemblerLike] = (),
        observers: Iterable[Observer] = (),
        clock: Clock = time.time,
        **options: Any,
    ) -> None:
        """Give `settings`, or any of their fields as arguments: `upload_dir="./data"`.

        `gate` decides who may do what: a `Gate`, or a function of an `Admission`. `hooks` are asked
        and told: functions of a `HookCall`, or `Receiver`s. `assemble` is what is done with a file
        that has arrived: functions of an `Arrival`, `Assembler`s, or words as in the settings.
        `observers` are told what happened in this process.

        :raises ConfigurationError: an option that does not exist, or cannot work
        """
        heap.keep_what_is_freed()
        self.settings = upload_settings(settings, options)
        self.house = compose(
            self.settings,
            observers=(log_upload, *observers),
            hooks=hooks,
            assemble=assemble,
            clock=clock,
        )
        asked = wiring.gate(self.settings, gate, clock)
        tus = TusExchange(
            uploads=self.house.uploads,
            offer=Offer(
                max_size=self.settings.max_size or None,
                downloads=self.settings.downloads,
                termination=self.settings.termination,
                expiration=bool(self.settings.expire_after),
                algorithms=digests.SIZES,
                checksum_trailer=True,
            ),
            links=Links(self.settings),
            cors=Cors(self.settings),
            gate=asked,
        )
        jumbo = JumboExchange(
            uploads=self.house.uploads,
            settings=self.settings,
            links=Links(elsewhere(self.settings)),
            cors=Cors(self.settings, routes.METHODS),
            gate=asked,
            clock=clock,
        )
        housekeeping = Housekeeping(self.house)
        hosts: WeakSet[Any] = WeakSet()
        super().__init__(tus, housekeeping, hosts)
        self.jumbo = Endpoint(jumbo, housekeeping, hosts)

    def at(self, base_path: str, jumbo_path: str = "") -> ASGIApp:
        """An application that has the tus endpoint at `base_path`, the Jumbo API at `jumbo_path`
        unless that is empty, and nothing else.
        """
        places: dict[str, ASGIApp] = {base_path.rstrip("/"): self}
        if jumbo_path:
            places[jumbo_path.rstrip("/")] = self.jumbo
        return together(places, self)
