"""Blueprint: the Jumbo API as a part of a Flask application.

    app.register_blueprint(create_blueprint("/upload"))

What is asked and answered is `tusjumbo.web.jumbo`'s, byte for byte what an ASGI application and
`tusjumbo serve` answer; here it is only brought to Flask (`bridge`). Flask's part is what is around
it: the application's other routes, its `before_request`, its limits on bodies, its logins.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from tusjumbo import wiring
from tusjumbo.application import Admission, Identity
from tusjumbo.errors import Forbidden
from tusjumbo.flask.bridge import Exchange
from tusjumbo.flask.extension import get_jumbo
from tusjumbo.jumbo.synchronous import Jumbo
from tusjumbo.protocols import problems, routes
from tusjumbo.web.cors import Cors
from tusjumbo.web.jumbo import JumboExchange
from tusjumbo.web.links import Links, elsewhere

Authorize = Callable[[Admission], bool | str | Identity]
"""Whether this may be done, or who asks. Called within the request, in its own thread."""


def create_blueprint(
    url_prefix: str = "/upload", *, authorize: Authorize | None = None
) -> Blueprint:
    """Everything of the Jumbo API, to be registered in an application that `init_jumbo` has seen.

    `authorize` is asked on every request but OPTIONS and the client's, before anything is read or
    stored: what is wanted is `admission.action`, the upload `admission.upload_id`. A text is the
    name of who asks, whose uploads are nobody else's then. Anything but a true answer refuses it
    (403); to refuse it otherwise, raise `Unauthorized`, `Forbidden` or one of Werkzeug's exceptions
    (`abort(401)`). Without it, the settings say who may do what.
    """
    blueprint = Blueprint("jumbo", __name__, url_prefix=url_prefix)

    def answer(path: str) -> Response:
        below = "/" + path
        mount = request.root_path.rstrip("/") + request.path.removesuffix(below)
        return _answered(get_jumbo(), mount, authorize)

    methods = [*routes.METHODS, "PATCH"]
    blueprint.add_url_rule(
        "/<path:path>", view_func=answer, methods=methods, provide_automatic_options=False
    )
    blueprint.register_error_handler(HTTPException, _problem)
    return blueprint


def _answered(jumbo: Jumbo, mount: str, authorize: Authorize | None) -> Response:
    exchange = Exchange(request, mount)
    api = _api(jumbo)
    if authorize is not None:
        api = replace(api, gate=_Asking(exchange, authorize))

    async def run() -> None:
        await api(exchange.scope, exchange.receive, exchange.send)
        await jumbo.twin.follow()

    return exchange.serve(jumbo.in_loop(run))


class _Asking:
    """The Gate that asks `authorize`, in the request's own thread."""

    def __init__(self, exchange: Exchange, authorize: Authorize) -> None:
        self._exchange = exchange
        self._authorize = authorize

    async def admit(self, admission: Admission) -> Identity | None:
        errand = self._exchange.ask(partial(self._authorize, admission))
        try:
            said = await errand.result()
        except HTTPException as error:
            self._exchange.failure = error
            raise Forbidden from error
        if not said:
            raise Forbidden
        if isinstance(said, str):
            return Identity(said)
        return said if isinstance(said, Identity) else None


_apis: WeakKeyDictionary[Jumbo, JumboExchange] = WeakKeyDictionary()


def _api(jumbo: Jumbo) -> JumboExchange:
    api = _apis.get(jumbo)
    if api is None:
        settings = jumbo.settings
        api = _apis[jumbo] = JumboExchange(
            uploads=jumbo.twin.house.uploads,
            settings=settings,
            links=Links(elsewhere(settings)),
            cors=Cors(settings, routes.METHODS),
            gate=wiring.gate(settings, None, jumbo.twin.house.uploads.clock),
            clock=jumbo.twin.house.uploads.clock,
        )
    return api


def _problem(error: HTTPException) -> Response:
    """What Flask or the application refuses, as a problem document.

    RFC 9457 4.2.1: about:blank, as there is nothing to it "beyond that of the HTTP status code".
    """
    response: Response = error.get_response(request.environ)  # type: ignore[assignment]
    if error.response is None:
        told = {
            "type": "about:blank",
            "title": error.name,
            "status": error.code,
            "detail": error.description,
        }
        response.set_data(json.dumps(told) + "\n")
        response.content_type = problems.MEDIA_TYPE
    return response
