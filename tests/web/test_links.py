from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.protocols.messages import Fields
from tusjumbo.settings import LocationForm, UploadSettings
from tusjumbo.web.bodies import Scope
from tusjumbo.web.links import Links, Place, place

PROXY = ("10.0.0.1", 5000)
FRIENDS = ("10.0.0.0/8", "fd00::/8")


def scope(path: str = "/files", root_path: str = "/files", **more: object) -> Scope:
    return {"type": "http", "path": path, "root_path": root_path, "client": PROXY, **more}


def fields(*lines: str) -> Fields:
    return Fields(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, _, value in (line.partition(": ") for line in lines)
    )


def links(form: str = "path", proxies: tuple[str, ...] = FRIENDS, base_url: str = "") -> Links:
    return Links(
        UploadSettings(behind_proxy=proxies, location=LocationForm(form), base_url=base_url)
    )


@pytest.mark.parametrize(
    ("path", "root_path", "raw_path", "expected"),
    [
        pytest.param("/abc", "", b"/abc", Place("", "/abc"), id="not mounted"),
        pytest.param("/", "", b"/", Place("", "/"), id="not mounted, endpoint"),
        pytest.param("/files/abc", "/files", b"/files/abc", Place("/files", "/abc"), id="mounted"),
        pytest.param("/files/", "/files", b"/files/", Place("/files", "/"), id="mounted, slash"),
        pytest.param("/files", "/files", b"/files", Place("/files", ""), id="mounted, no slash"),
        pytest.param("/abc", "/files", b"/files/abc", Place("/files", "/abc"), id="older ASGI"),
        pytest.param("/b/c", "/a/b", None, Place("/a/b", "/c"), id="mounted in older ASGI"),
        pytest.param("/bc/d", "/a/b", None, Place("/a/b", "/bc/d"), id="similar to a mount"),
        pytest.param("/filesystem", "/files", None, Place("/files", "/filesystem"), id="similar"),
        pytest.param("/files/abc", "/files/", None, Place("/files", "/abc"), id="slash at root"),
        pytest.param("/abc", "/", None, Place("", "/abc"), id="root is a slash"),
        pytest.param("/abc/", "", b"/files/abc", Place("/files", "/abc/"), id="Litestar"),
        pytest.param("/", "", b"/files/", Place("/files", "/"), id="Litestar endpoint"),
        pytest.param("/", "", b"/files?x=/", Place("/files", "/"), id="Litestar with query"),
        pytest.param("/abc", "", None, Place("", "/abc"), id="no raw path"),
        pytest.param("/a b", "", b"/a%20b", Place("", "/a b"), id="percent-encoded"),
        pytest.param("/\ufffd", "", b"/%ff", Place("", "/\ufffd"), id="no UTF-8"),
    ],
)
def test_place(path: str, root_path: str, raw_path: bytes | None, expected: Place) -> None:
    assert place(scope(path, root_path, raw_path=raw_path)) == expected


@pytest.mark.parametrize(
    ("base_url", "form", "root_path", "expected"),
    [
        pytest.param("", "path", "/files", "/files/id", id="path"),
        pytest.param("", "path", "", "/id", id="at the root"),
        pytest.param("", "path", "/my files/é", "/my%20files/%C3%A9/id", id="encoded"),
        pytest.param("", "path", "//evil.example", "/evil.example/id", id="no network path"),
        pytest.param("", "url", "/files", "http://here:8080/files/id", id="url"),
        pytest.param("/up", "path", "/files", "/up/id", id="path told"),
        pytest.param("/up/", "url", "/files", "http://here:8080/up/id", id="path told, url"),
        pytest.param("/", "path", "/files", "/id", id="root told"),
        pytest.param("/my%20up", "path", "", "/my%20up/id", id="told encoded"),
        pytest.param("/my up", "path", "", None, id="told with a space"),
        pytest.param("https://a.example/up", "path", "", "/up/id", id="url told, path"),
        pytest.param("https://a.example/up", "url", "", "https://a.example/up/id", id="url told"),
        pytest.param("https://a.example:8443", "url", "/x", "https://a.example:8443/x/id", id="h"),
        pytest.param("https://a.example,b/up", "url", "", None, id="no host"),
    ],
)
def test_to(base_url: str, form: str, root_path: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="base_url"):
            links(form, (), base_url)
        return
    at = scope(root_path, root_path, scheme="http")
    assert links(form, (), base_url).to("id", at, fields("host: here:8080")) == expected


@pytest.mark.parametrize(
    "host",
    [
        pytest.param([], id="none"),
        pytest.param(["host: "], id="empty"),
        pytest.param(["host: a b"], id="space"),
        pytest.param(["host: a/b"], id="slash"),
        pytest.param(["host: a\r\nx: y"], id="line break"),
        pytest.param(["host: user@a"], id="user"),
        pytest.param(["host: a", "host: b"], id="two"),
        pytest.param(["host: \xe4"], id="not ASCII"),
        pytest.param(["host: .."], id="dots"),
        pytest.param(["host: a:b"], id="port of letters"),
    ],
)
def test_url_without_a_usable_host_is_a_path(host: list[str]) -> None:
    assert links("url", ()).to("id", scope(scheme="http"), fields(*host)) == "/files/id"


# Who asks (the peer is 10.0.0.1), and where the upload is for them.
PROXIES = [
    pytest.param([], "10.0.0.1", "http://here/files/id", id="the proxy itself"),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7"], "192.0.2.7", "http://here/files/id", id="address only"
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-proto: https", "x-forwarded-host: up.example"],
        "192.0.2.7",
        "https://up.example/files/id",
        id="the usual three",
    ),
    pytest.param(
        ["x-forwarded-proto: https", "x-forwarded-host: up.example"],
        "",
        "https://up.example/files/id",
        id="no address",
    ),
    pytest.param(
        [
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-proto: HTTPS",
            "x-forwarded-host: up.example",
            "x-forwarded-port: 8443",
        ],
        "192.0.2.7",
        "https://up.example:8443/files/id",
        id="port",
    ),
    pytest.param(
        [
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: up.example",
            "x-forwarded-port: 443",
        ],
        "192.0.2.7",
        "https://up.example/files/id",
        id="usual port",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-host: [2001:db8::1]", "x-forwarded-port: 81"],
        "192.0.2.7",
        "http://[2001:db8::1]:81/files/id",
        id="port of an IPv6 host",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-host: up:81", "x-forwarded-port: 82"],
        "192.0.2.7",
        "http://up:81/files/id",
        id="host has a port",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-prefix: /api/v1/"],
        "192.0.2.7",
        "http://here/api/v1/files/id",
        id="prefix",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-prefix: /files"],
        "192.0.2.7",
        "http://here/files/id",
        id="prefix that the server knows",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-prefix: /fil"],
        "192.0.2.7",
        "http://here/fil/files/id",
        id="prefix that only looks so",
    ),
    pytest.param(
        ["x-forwarded-for: 6.6.6.6, 192.0.2.7"],
        "192.0.2.7",
        "http://here/files/id",
        id="what the client invents is on the left",
    ),
    pytest.param(
        [
            "x-forwarded-for: 6.6.6.6, 192.0.2.7",
            "x-forwarded-proto: gopher, https",
            "x-forwarded-host: evil.example, up.example",
        ],
        "192.0.2.7",
        "https://up.example/files/id",
        id="and so are the others",
    ),
    pytest.param(
        [
            "x-forwarded-for: 192.0.2.7, 10.0.0.2",
            "x-forwarded-proto: https, http",
            "x-forwarded-host: up.example, inner",
        ],
        "192.0.2.7",
        "https://up.example/files/id",
        id="two proxies",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7, 10.0.0.2", "x-forwarded-proto: https"],
        "192.0.2.7",
        "https://here/files/id",
        id="two proxies, one scheme",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7", "x-forwarded-for: 10.0.0.2"],
        "192.0.2.7",
        "http://here/files/id",
        id="in two lines",
    ),
    pytest.param(
        ["x-forwarded-for: 10.0.0.3, 10.0.0.2"], "10.0.0.3", "http://here/files/id", id="all ours"
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7, 203.0.113.1, 10.0.0.2"],
        "203.0.113.1",
        "http://here/files/id",
        id="a stranger between",
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7:4711"], "192.0.2.7", "http://here/files/id", id="with port"
    ),
    pytest.param(
        ["x-forwarded-for: 2001:db8::7"], "2001:db8::7", "http://here/files/id", id="IPv6"
    ),
    pytest.param(
        ["x-forwarded-for: [2001:db8::7]:80"], "2001:db8::7", "http://here/files/id", id="[IPv6]"
    ),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7, ::ffff:10.0.0.9"],
        "192.0.2.7",
        "http://here/files/id",
        id="mapped proxy",
    ),
    pytest.param(["x-forwarded-for: unknown"], "", "http://here/files/id", id="unknown"),
    pytest.param(["x-forwarded-for: "], "", "http://here/files/id", id="empty"),
    pytest.param(
        ["x-forwarded-for: 192.0.2.7, junk"], "", "http://here/files/id", id="junk from a proxy"
    ),
    pytest.param(["forwarded: for=192.0.2.7"], "192.0.2.7", "http://here/files/id", id="Forwarded"),
    pytest.param(
        ["forwarded: For=192.0.2.7;Proto=HTTPS;by=10.0.0.1;host=up.example"],
        "192.0.2.7",
        "https://up.example/files/id",
        id="Forwarded, all pairs",
    ),
    pytest.param(
        ['forwarded: for="[2001:db8::7]:4711" ; host="up.example:81";secret="a,b;c=\\"d\\""'],
        "2001:db8::7",
        "http://up.example:81/files/id",
        id="Forwarded, quoted",
    ),
    pytest.param(
        ["forwarded: for=6.6.6.6;host=evil, for=192.0.2.7;proto=https , for=10.0.0.2;proto=http"],
        "192.0.2.7",
        "https://here/files/id",
        id="Forwarded, list",
    ),
    pytest.param(
        ["forwarded: for=192.0.2.7", "forwarded: for=10.0.0.2"],
        "192.0.2.7",
        "http://here/files/id",
        id="Forwarded, two lines",
    ),
    pytest.param(
        ["forwarded: proto=https;host=up.example"], "", "https://up.example/files/id", id="no for"
    ),
    pytest.param(["forwarded: for=_hidden"], "", "http://here/files/id", id="obfuscated"),
    pytest.param(['forwarded: for="_hidden:_x"'], "", "http://here/files/id", id="with port too"),
    pytest.param(["forwarded: for=unknown"], "", "http://here/files/id", id="Forwarded unknown"),
    pytest.param(
        ['forwarded: for="192.0.2.7:_obf"'], "192.0.2.7", "http://here/files/id", id="hidden port"
    ),
    pytest.param(
        [
            "forwarded: for=192.0.2.7;proto=https",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: up.example",
            "x-forwarded-prefix: /api",
        ],
        "192.0.2.7",
        "https://up.example/api/files/id",
        id="both agree",
    ),
    pytest.param(
        ["forwarded: for=6.6.6.6;host=evil", "x-forwarded-for: 192.0.2.7"],
        "",
        "http://here/files/id",
        id="both disagree",
    ),
    pytest.param(
        ["forwarded: for=_hidden", "x-forwarded-for: 6.6.6.6"],
        "",
        "http://here/files/id",
        id="one hides what the other says",
    ),
    pytest.param(
        ["forwarded: for=192.0.2.7", "x-forwarded-prefix: /api"],
        "192.0.2.7",
        "http://here/api/files/id",
        id="Forwarded with a prefix",
    ),
]


@pytest.mark.parametrize(("lines", "client", "url"), PROXIES)
def test_behind_a_trusted_proxy(lines: list[str], client: str, url: str) -> None:
    at = scope(scheme="http")
    found = fields("host: here", *lines)
    assert links("url").client(at, found) == client
    assert links("url").to("id", at, found) == url


@pytest.mark.parametrize(("lines", "client", "url"), PROXIES)
def test_not_behind_a_proxy(lines: list[str], client: str, url: str) -> None:
    del client, url
    at = scope(scheme="http", client=("192.0.2.99", 1))
    found = fields("host: here", *lines)
    for us in (links("url"), links("url", ())):
        assert us.client(at, found) == "192.0.2.99"
        assert us.to("id", at, found) == "http://here/files/id"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "for",
        "for=",
        "for==x",
        "=x",
        "for=a b",
        'for="192.0.2.7',
        'for="x"y',
        "for=[2001:db8::7]",
        "for=192.0.2.7:80",
        "for=192.0.2.7;for=6.6.6.6",
        "for=6.6.6.6;for=192.0.2.7",
        "for=192.0.2.7;",
        "for=192.0.2.7,",
        ",for=192.0.2.7",
        "for=192.0.2.7,,for=10.0.0.2",
        'for=";for=192.0.2.7',
        'host="\x01"',
    ],
)
def test_malformed_forwarded_is_nobody(value: str) -> None:
    found = fields("host: here", f"forwarded: {value}", "x-forwarded-for: 192.0.2.7")
    assert links("url").client(scope(), found) == ""
    assert links("url").to("id", scope(scheme="http"), found) == "http://here/files/id"


@pytest.mark.parametrize(
    ("peer", "proxies", "client"),
    [
        pytest.param(None, FRIENDS, "192.0.2.7", id="Unix socket behind a proxy"),
        pytest.param(("", 0), FRIENDS, "192.0.2.7", id="peer without a name"),
        pytest.param(None, (), "", id="Unix socket"),
        pytest.param(("::ffff:10.0.0.1", 1), FRIENDS, "192.0.2.7", id="mapped address"),
        pytest.param(("fd00::1", 1), FRIENDS, "192.0.2.7", id="IPv6 proxy"),
        pytest.param(("::ffff:192.0.2.1", 1), FRIENDS, "192.0.2.1", id="mapped stranger"),
        pytest.param(("testclient", 1), FRIENDS, "testclient", id="a name"),
    ],
)
def test_peers(peer: tuple[str, int] | None, proxies: tuple[str, ...], client: str) -> None:
    found = fields("x-forwarded-for: 192.0.2.7")
    assert links(proxies=proxies).client(scope(client=peer), found) == client


_HEADERS = st.sampled_from(
    [
        "host",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
    ]
)
_VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.text(st.sampled_from('for=;,":[]/.%host1\r\n \\'), max_size=30),
    st.sampled_from(["/../x", "//evil", "/a/./b", "evil.example/x", "https", "/%2e%2e/x", "/a"]),
)
_LINK = re.compile(
    r"(?:https?://(?:[\w.~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?)?"
    r"/(?:[A-Za-z0-9._!$&'()*+,;=:@~%-][A-Za-z0-9._/!$&'()*+,;=:@~%-]*/)?id",
    re.ASCII,
)


@given(lines=st.lists(st.tuples(_HEADERS, _VALUES)), form=st.sampled_from(["path", "url"]))
def test_no_header_spoils_a_link(lines: list[tuple[str, str]], form: str) -> None:
    found = Fields((name.encode(), value.encode("latin-1")) for name, value in lines)
    link = links(form).to("id", scope(scheme="https"), found)
    assert _LINK.fullmatch(link)
    assert not {".", ".."} & set(unquote(link).split("/"))


@given(path=st.text(max_size=20), root=st.text(max_size=20), raw=st.binary(max_size=20))
def test_no_path_spoils_a_link(path: str, root: str, raw: bytes) -> None:
    at = scope("/" + path, root, raw_path=raw)
    assert _LINK.fullmatch(links().to("id", at, fields()))
