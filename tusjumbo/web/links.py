"""Links: where we are, seen from the client, and who the client is.

Two questions with different trust. The path below our mount comes from the ASGI server and the
framework around us, who are believed. Scheme, host, prefix and the client's address may come from
`Forwarded` (RFC 7239) and `X-Forwarded-*` headers, which anybody can write: they are believed only
if the peer is in a `behind_proxy` network, and only as far to the left as the hops are. A peer
without an address (a Unix socket) is one that somebody put there on purpose: believed as soon as
`behind_proxy` names any network at all.

A proxy adds to the headers that it knows and lets the others through. So where both families name
a client they must name the same one; if not, or if what we need is malformed, the client is unknown
(never: the proxy's own address, which a gate may treat as a friend).

Invariant: whatever was sent, a link is a path of URL characters that begins with exactly one slash,
or an http(s) URL with a host of host characters before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from tusjumbo.errors import ConfigurationError
from tusjumbo.protocols.fields import QUOTED, TOKEN
from tusjumbo.protocols.messages import OWS, Fields
from tusjumbo.settings import LocationForm, UploadSettings
from tusjumbo.web.bodies import Scope

Address = IPv4Address | IPv6Address

_PORTS = {"http": "80", "https": "443"}
_IN_PATH = "/!$&'()*+,;=:@~"
"""What RFC 3986 lets a path contain besides letters, digits and `-._`."""

_HOST = re.compile(r"([A-Za-z0-9_~-][A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_DOTS = r"(?:\.|%2[eE]){1,2}(?:/|$)"
_PREFIX = re.compile(rf"(?:/(?!{_DOTS})[A-Za-z0-9._{_IN_PATH[1:]}%-]+)+/?")
_PORT = re.compile(r"[0-9]{1,5}")
_NODE = re.compile(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_PAIR = re.compile(rf"({TOKEN})=({TOKEN}|{QUOTED})")
_SEPARATOR = re.compile(r"[ \t]*([;,]|$)[ \t]*")
_ESCAPED = re.compile(r"\\(.)")


# --- what frameworks tell ------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a request's path is divided: `mount + below`, both percent-decoded."""

    mount: str
    below: str


def place(scope: Scope) -> Place:
    """What of the path is the way to us, and what is ours.

    ASGI: "root_path: The root path this application is mounted at". Whether `path` includes it has
    been told both ways, and where a server does not include its own part, a framework adds that of
    its mounts to both. So we look for as much of its end as there is.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if not root:
        return Place(_cut_off(path, scope.get("raw_path") or b""), path)
    at = root.find("/")
    while at >= 0:
        end = root[at:]
        if path == end or path.startswith(end + "/"):
            return Place(root, path[len(end) :])
        at = root.find("/", at + 1)
    return Place(root, path)


def _cut_off(path: str, raw: bytes) -> str:
    """What a framework cut from `path` without saying so in root_path (Litestar does)."""
    if raw == path.encode("utf-8", "surrogatepass"):
        return ""
    whole = unquote_to_bytes(raw.partition(b"?")[0]).decode("utf-8", "replace").rstrip("/")
    end = path.rstrip("/")
    return whole[: len(whole) - len(end)] if whole.endswith(end) else ""


# --- what settings tell ---------------------------------------------------------------------------


def elsewhere(settings: UploadSettings) -> UploadSettings:
    """`settings` for another endpoint than that of tus, whose path is the one in `base_url`."""
    url = urlsplit(settings.base_url)
    origin = f"{url.scheme}://{url.netloc}" if url.netloc else ""
    return replace(settings, base_url=origin)


# --- what proxies tell ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What one proxy says of the request that reached it. Empty: nothing."""

    client: str = ""
    scheme: str = ""
    host: str = ""
    prefix: str = ""


@lru_cache(maxsize=1024)
def _itself(peer: str) -> Seen:
    """What is known of a client that nobody speaks for."""
    return Seen(client=str(_address(peer) or peer))


class Links:
    def __init__(self, settings: UploadSettings) -> None:
        self._trusted = tuple(ip_network(network) for network in settings.behind_proxy)
        self._absolute = settings.location is LocationForm.URL
        url = urlsplit(settings.base_url)
        if url.netloc and not _is_host(url.netloc):
            raise ConfigurationError(f"{url.netloc!r} is not a host", setting="base_url")
        self._scheme = url.scheme
        self._host = url.netloc
        self._path = _as_path(url.path, safe=_IN_PATH + "%") if url.path else None

    def client(self, scope: Scope, fields: Fields) -> str:
        """The client's address as far as it can be believed; empty if it is not known."""
        return self._believed(scope, fields).client

    def to(self, upload_id: str, scope: Scope, fields: Fields) -> str:
        """The address of an upload, for the client that sent this request."""
        seen = self._believed(scope, fields)
        path = self._base(seen, scope) + "/" + upload_id
        if not self._absolute:
            return path
        scheme = self._scheme or seen.scheme or scope.get("scheme", "http")
        host = self._host or seen.host or fields.joined("host") or ""
        if scheme not in _PORTS or not _is_host(host):
            return path  # right for everybody who can follow it at all
        return f"{scheme}://{host}{path}"

    def endpoint(self, scope: Scope, fields: Fields) -> str:
        """The path of the endpoint for the client that sent this request: `""` or `/files`."""
        return self._base(self._believed(scope, fields), scope)

    def _base(self, seen: Seen, scope: Scope) -> str:
        return _under(seen.prefix, place(scope).mount) if self._path is None else self._path

    def _believed(self, scope: Scope, fields: Fields) -> Seen:
        """What is known of the client's own request: from its head, or from trusted proxies."""
        peer = scope.get("client")
        name = peer[0] if peer else ""
        if not self._trusted or not (name == "" or _is_in(name, self._trusted)):
            return _itself(name)
        standard = _forwarded(fields)
        if standard is None:
            return Seen()
        common = _x_forwarded(fields)
        if not common and not standard:
            return Seen(client=name)  # the proxy itself asks, for example whether we are well
        told, also_told = self._nearest(common), self._nearest(standard)
        named = "x-forwarded-for" in fields
        if named and standard and told.client != also_told.client:
            return Seen()
        return Seen(
            client=told.client if named else also_told.client,
            scheme=told.scheme or also_told.scheme,
            host=told.host or also_told.host,
            prefix=told.prefix,
        )

    def _nearest(self, hops: Sequence[Seen]) -> Seen:
        """The hop whose client is not one of our proxies, or the first if all are."""
        believed = Seen()
        for hop in reversed(hops):
            believed = hop
            if not _is_in(hop.client, self._trusted):
                break
        return believed


def _x_forwarded(fields: Fields) -> tuple[Seen, ...]:
    """The hops of X-Forwarded-*, first proxy first.

    Each proxy adds to -For; not all add to the others, whose values therefore count from the right.
    Some only write others: then there is one hop, whose client is not known.
    """
    clients = _list(fields, "x-forwarded-for")
    schemes = _list(fields, "x-forwarded-proto")
    hosts = _list(fields, "x-forwarded-host")
    ports = _list(fields, "x-forwarded-port")
    prefixes = _list(fields, "x-forwarded-prefix")
    count = len(clients) or int(any((schemes, hosts, ports, prefixes)))
    hops = []
    for back in range(1, count + 1):
        scheme = _nth(schemes, back).lower()
        port = _nth(ports, back)
        host = _nth(hosts, back)
        if host and _PORT.fullmatch(port) and port != _PORTS.get(scheme) and not _has_port(host):
            host = f"{host}:{port}"
        prefix = _nth(prefixes, back)
        hops.append(
            Seen(
                client=_node(_nth(clients, back)),
                scheme=scheme if scheme in _PORTS else "",
                host=host if _is_host(host) else "",
                prefix=prefix if _PREFIX.fullmatch(prefix) else "",
            )
        )
    return tuple(reversed(hops))


def _nth(values: Sequence[str], back: int) -> str:
    return values[max(len(values) - back, 0)] if values else ""


def _list(fields: Fields, name: str) -> Sequence[str]:
    joined = fields.joined(name)
    return [] if joined is None else [value.strip(OWS) for value in joined.split(",")]


def _forwarded(fields: Fields) -> tuple[Seen, ...] | None:
    """The hops of Forwarded, first proxy first; None if it is malformed, () if there are none.

    RFC 7239 4: `Forwarded = 1#forwarded-element`, an element being `name=value` pairs separated
    by semicolons. The whole has to be well-formed: a quotation mark that somebody left open on
    the left would hide what a proxy added on the right.
    """
    text = fields.joined("forwarded")
    if text is None:
        return ()
    hops = []
    for pairs in _elements(text):
        if pairs is None:
            return None
        scheme = pairs.get("proto", "").lower()
        host = pairs.get("host", "")
        hops.append(
            Seen(
                client=_node(pairs.get("for", "")),
                scheme=scheme if scheme in _PORTS else "",
                host=host if _is_host(host) else "",
            )
        )
    return tuple(hops)


def _elements(text: str) -> Iterator[dict[str, str] | None]:
    """The elements' pairs; None where the text stops being well-formed."""
    at = 0
    pairs: dict[str, str] = {}
    while True:
        match = _PAIR.match(text, at)
        if match is None or match[1].lower() in pairs:
            yield None
            return
        value = match[2]
        if value.startswith('"'):
            value = _ESCAPED.sub(r"\1", value[1:-1])
        pairs[match[1].lower()] = value
        separator = _SEPARATOR.match(text, match.end())
        if separator is None:
            yield None
            return
        at = separator.end()
        if separator[1] != ";":
            yield pairs
            pairs = {}
        if not separator[1]:
            return


# --- grammars ------------------------------------------------------------------------------------


def _node(text: str) -> str:
    """The address in `192.0.2.43:47011`, `[2001:db8::1]:_port` or `2001:db8::1`; else empty.

    `unknown` and obfuscated names (RFC 7239 6.3) are no addresses either.
    """
    match = _NODE.fullmatch(text)
    address = _address((match[1] or match[2]) if match else text)
    return "" if address is None else str(address)


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # Sockets that listen for both families say ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(name: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    address = _address(name)
    return address is not None and any(address in network for network in networks)


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _has_port(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match[2] is not None


@lru_cache(maxsize=64)
def _as_path(text: str, safe: str = _IN_PATH) -> str:
    """A path as it goes into a link: `""` or `/a/b`. Whatever is not `safe` is percent-encoded."""
    segments = text.strip("/")
    return "/" + quote(segments, safe=safe) if segments else ""


def _under(prefix: str, mount: str) -> str:
    """`mount` below what a proxy cut off, unless the server knows of that itself (root_path)."""
    prefix = prefix.rstrip("/")
    path = _as_path(mount)
    return path if path == prefix or path.startswith(prefix + "/") else prefix + path
