"""Wiring: what settings and arguments say of hooks, assemblers and gates becomes the parts.

The same words everywhere: what an argument may be, a setting can name (`package.module:function`),
and both together are used, arguments first. Extras that a part needs are asked for when it is made,
so that a wrong setting is known before anybody uploads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, cast

from tusjumbo.application import Admission, Assembler, Gate, Hook, HookAnswer, HookCall, Receiver
from tusjumbo.assemblers.by_words import assembler
from tusjumbo.assemblers.chain import Chain, of_function
from tusjumbo.errors import ConfigurationError
from tusjumbo.gates.functions import Asked
from tusjumbo.gates.rates import Rates
from tusjumbo.gates.signed import SignedUrls
from tusjumbo.gates.together import Together, Way
from tusjumbo.gates.tokens import Tokens
from tusjumbo.gates.web_tokens import WebTokens
from tusjumbo.hooks.asked import AskedAssembler
from tusjumbo.hooks.functions import Function, loaded
from tusjumbo.hooks.scripts import Script, Scripts
from tusjumbo.hooks.webhooks import Webhook
from tusjumbo.ports import Clock
from tusjumbo.settings import AccessSettings, ArrivalSettings

HookLike = Receiver | Callable[[HookCall], Any] | str
"""What is taken for a hook: a receiver, a function, or where one is found."""

GateLike = Gate | Callable[[Admission], Any] | str
"""What is taken for a gate: one, a function that is asked, or where one is found."""

AssemblerLike = Assembler | Callable[..., Any] | str


def receivers(settings: ArrivalSettings, given: Iterable[HookLike] = ()) -> Sequence[Receiver]:
    """Everybody who is asked and told, in this order: functions, programs, addresses.

    :raises ConfigurationError: one of them cannot work
    """
    wanted = _wanted(settings.hooks_events)
    timeout = settings.hooks_timeout
    found: list[Receiver] = [_receiver(hook, wanted) for hook in (*given, *settings.hooks)]
    if settings.hooks_dir is not None:
        found.append(Scripts(settings.hooks_dir, timeout, hooks=wanted))
    secret, forward = settings.hooks_secret or None, settings.hooks_forward_headers
    found += [
        Webhook(url, timeout, secret=secret, forward_headers=forward, hooks=wanted)
        for url in settings.hooks_http
    ]
    names = [receiver.name for receiver in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"{name} is there twice", setting="hooks")
    return found


def _wanted(events: Collection[str]) -> Collection[Hook]:
    known = {hook.value: hook for hook in Hook}
    for event in events:
        if event not in known:
            raise ConfigurationError(
                f"there is no hook {event!r}; there are {', '.join(known)}",
                setting="hooks_events",
            )
    return [known[event] for event in events] or list(Hook)


def _receiver(given: HookLike, wanted: Collection[Hook]) -> Receiver:
    if isinstance(given, str):
        given = cast(HookLike, loaded(given))
    if hasattr(given, "hooks") and hasattr(given, "name"):
        return cast(Receiver, given)
    return Function(cast(Callable[[HookCall], HookAnswer | None], given), hooks=wanted)


def chain(settings: ArrivalSettings, given: Iterable[AssemblerLike] = ()) -> Assembler | None:
    """What is done with a file that has arrived; None if nothing is.

    :raises ConfigurationError: one of them cannot work
    """
    steps = [_step(each, settings) for each in (*given, *settings.assemble)]
    return Chain(*steps) if steps else None


def _step(given: AssemblerLike, settings: ArrivalSettings) -> Assembler:
    if not isinstance(given, str):
        return of_function(given)
    timeout = settings.hooks_timeout
    word, _, rest = given.partition(":")
    if word == "script":
        return AskedAssembler(Script(rest, timeout))
    if word in ("http", "https"):
        return AskedAssembler(Webhook(given, timeout, secret=settings.hooks_secret or None))
    return assembler(given)


def gate(settings: AccessSettings, given: GateLike | None, clock: Clock) -> Gate | None:
    """Who may do what; None: everybody everything.

    A gate or function (`given`, or else the setting) is asked about what no other way in claims.

    :raises ConfigurationError: one of them cannot work
    """
    ways: list[Way] = []
    if settings.url_secret:
        ways.append(SignedUrls(settings.url_secret.splitlines(), clock=clock))
    if settings.tokens is not None:
        ways.append(Tokens(settings.tokens))
    if settings.jwt_keys:
        ways.append(
            WebTokens(
                settings.jwt_keys,
                clock=clock,
                algorithms=settings.jwt_algorithms,
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
                owner=settings.jwt_owner,
            )
        )
    last = _asked(given or settings.gate or None)
    found: Gate | None = Together(ways, last) if ways else last
    if settings.rate_limit:
        found = Rates(found, per_second=settings.rate_limit, burst=settings.rate_burst)
    return found


def _asked(given: GateLike | None) -> Gate | None:
    if isinstance(given, str):
        given = cast(GateLike, loaded(given))
    if given is None or hasattr(given, "admit"):
        return cast(Gate | None, given)
    return Asked(cast(Callable[[Admission], Any], given))
