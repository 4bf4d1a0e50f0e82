from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hooks.receivers import ORIGIN, call, session
from tusjumbo.application import NOBODY, Hook, HookAnswer, Origin
from tusjumbo.errors import HookFailed
from tusjumbo.hooks import documents
from tusjumbo.sessions.session import Answer, Kind, Receipt


def document(*args: Any, **changes: Any) -> Any:
    return json.loads(documents.written(call(*args, **changes)))


def read(said: Any, hook: Hook | None = None) -> HookAnswer:
    return documents.read(json.dumps(said).encode(), hook, "http://r")


# --- the request ---------------------------------------------------------------------------------


def test_the_request_is_tusds() -> None:
    # As Go writes tusd's HookRequest: every member is there, in this order.
    expected = (
        '{"Type":"post-receive","Event":{"Upload":{"ID":"jumbo_a","Size":10,"SizeIsDeferred":false,'
        '"Offset":4,"MetaData":{"filename":"a.txt"},"IsPartial":false,"IsFinal":false,'
        '"PartialUploads":null,"Storage":{"Type":"filestore","Path":"/data/jumbo_a","InfoPath":""}'
        '},"HTTPRequest":{"Method":"PATCH","URI":"/files/jumbo_a?x=1","RemoteAddr":"192.0.2.7:0",'
        '"Header":{"Host":["up.example"],"Cookie":["a=1","b=2"],"Authorization":["Bearer t"]}}}}'
    )
    told = documents.written(call(Hook.POST_RECEIVE, path=Path("/data/jumbo_a")))
    assert told.decode() == expected


def test_the_only_members_of_ours_are_the_key_and_the_owner() -> None:
    event = document(Hook.POST_CREATE, key="k1", session=session(owner="anna"))["Event"]
    assert event["Key"] == "k1"
    assert event["Upload"]["Owner"] == "anna"
    bare = document(Hook.POST_CREATE)["Event"]
    assert set(bare) == {"Upload", "HTTPRequest"}
    assert "Owner" not in bare["Upload"]


@pytest.mark.parametrize("hook", Hook)
def test_the_type_is_the_hook_and_before_the_creation_there_is_no_id(hook: Hook) -> None:
    told = document(hook)
    assert told["Type"] == hook.value
    assert told["Event"]["Upload"]["ID"] == ("" if hook is Hook.PRE_CREATE else "jumbo_a")


def test_another_type_may_stand_in() -> None:
    told = json.loads(documents.written(call(Hook.PRE_FINISH), "assemble"))
    assert told["Type"] == "assemble"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"length": None}, {"Size": 0, "SizeIsDeferred": True}),
        ({"length": 0}, {"Size": 0, "SizeIsDeferred": False}),
        ({"kind": Kind.PARTIAL}, {"IsPartial": True, "IsFinal": False, "PartialUploads": None}),
        (
            {"kind": Kind.FINAL, "parts": ("a", "b", "a")},
            {"IsPartial": False, "IsFinal": True, "PartialUploads": ["a", "b", "a"]},
        ),
        ({"metadata": {}}, {"MetaData": {}}),
        ({"metadata": {"x": b"\xff\xc3\xa9"}}, {"MetaData": {"x": "\ufffdé"}}),
        ({}, {"Storage": None}),
        ({"receipt": Receipt("a.txt")}, {"Storage": None}),
        (
            {"receipt": Receipt("s3://b/k", is_here=False)},
            {"Storage": {"Type": "elsewhere", "Path": "s3://b/k"}},
        ),
    ],
)
def test_the_upload_in_tusds_words(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    upload = document(Hook.POST_CREATE, session=session(**changes))["Event"]["Upload"]
    assert {name: upload[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("192.0.2.7", "192.0.2.7:0"),
        ("2001:db8::1", "[2001:db8::1]:0"),
        ("192.0.2.7:55", "192.0.2.7:55"),
        ("", ""),
    ],
)
def test_the_client_is_host_and_port(client: str, told: str) -> None:
    event = document(origin=Origin("POST", "/files", client))["Event"]
    assert event["HTTPRequest"]["RemoteAddr"] == told


def test_what_comes_from_no_request_has_an_empty_one() -> None:
    request = document(origin=NOBODY)["Event"]["HTTPRequest"]
    assert request == {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}


@given(st.dictionaries(st.text(), st.binary()), st.text(st.characters()), st.text())
def test_any_upload_can_be_told(metadata: dict[str, bytes], uri: str, value: str) -> None:
    told = documents.written(
        call(session=session(metadata=metadata), origin=Origin("X", uri, value, {"A": [value]}))
    )
    told.decode()
    assert json.loads(told)["Type"] == "pre-create"


def test_a_lone_surrogate_does_not_make_it_unreadable() -> None:
    assert document(origin=Origin("GET", "/\udce9"))["Event"]["HTTPRequest"]["URI"] == "/?"


# --- credentials ---------------------------------------------------------------------------------


def test_credentials_are_left_out_unless_they_are_wanted() -> None:
    origin = Origin("GET", "/", "c", {"authorization": ["x"], "Cookie": ["y"], "Host": ["h"]})
    assert documents.without_credentials(origin).headers == {"Host": ["h"]}
    kept = documents.without_credentials(origin, ["COOKIE"])
    assert kept == Origin("GET", "/", "c", {"Cookie": ["y"], "Host": ["h"]})
    proxied = Origin(headers={"Proxy-Authorization": ["x"]})
    assert documents.without_credentials(proxied) == Origin()
    assert set(ORIGIN.headers) == {"Host", "Cookie", "Authorization"}


# --- the answer ----------------------------------------------------------------------------------


def test_the_answer_of_tusds_documentation() -> None:
    said = {
        "HTTPResponse": {
            "StatusCode": 400,
            "Body": '{"message":"the upload is too big"}',
            "Header": {"Content-Type": "application/json"},
        },
        "RejectUpload": False,
        "RejectTermination": False,
        "ChangeFileInfo": {
            "ID": "my-custom-upload-id",
            "MetaData": {"my-custom-field": "..."},
            "Storage": {"Path": "./upload-e7a0/presentation.pdf"},
        },
        "StopUpload": True,
    }
    assert read(said) == HookAnswer(
        answer=Answer(
            400, {"Content-Type": "application/json"}, b'{"message":"the upload is too big"}'
        ),
        reject=False,
        upload_id="my-custom-upload-id",
        metadata={"my-custom-field": b"..."},
        path="./upload-e7a0/presentation.pdf",
        stop=True,
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, HookAnswer()),
        (None, HookAnswer()),
        ({"HTTPResponse": None, "ChangeFileInfo": None, "RejectUpload": None}, HookAnswer()),
        ({"HTTPResponse": {"StatusCode": 0, "Body": "", "Header": {}}}, HookAnswer()),
        ({"HTTPResponse": {"Headers": {"X": "y"}}}, HookAnswer()),  # tusd's example has it wrong
        ({"Something": [1], "ChangeFileInfo": {"Size": 7}}, HookAnswer()),
        ({"rejectupload": True}, HookAnswer(reject=True)),
        ({"REJECTUPLOAD": True, "RejectUpload": False}, HookAnswer()),
        ({"httpResponse": {"statusCode": 201}}, HookAnswer(answer=Answer(201))),
        ({"HTTPResponse": {"Body": "é\ud800"}}, HookAnswer(answer=Answer(body=b"\xc3\xa9?"))),
        ({"ChangeFileInfo": {"MetaData": {}}}, HookAnswer(metadata={})),
        ({"ChangeFileInfo": {"MetaData": None}}, HookAnswer()),
        ({"ChangeFileInfo": {"MetaData": {"a": None}}}, HookAnswer(metadata={"a": b""})),
        ({"ChangeFileInfo": {"ID": "", "Storage": {"Path": ""}}}, HookAnswer()),
        (
            {"HTTPResponse": {"Header": {"X-A": " b\t", "Content-Length": "9"}}},
            HookAnswer(answer=Answer(headers={"X-A": "b"})),
        ),
    ],
)
def test_every_member_is_optional(said: Any, expected: HookAnswer) -> None:
    assert read(said) == expected


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_nothing_said_is_an_answer(body: bytes) -> None:
    assert documents.read(body) == HookAnswer()


@pytest.mark.parametrize(
    ("member", "hook", "rejected"),
    [
        ("RejectUpload", Hook.PRE_CREATE, True),
        ("RejectUpload", Hook.PRE_FINISH, True),
        ("RejectUpload", Hook.PRE_TERMINATE, False),
        ("RejectTermination", Hook.PRE_TERMINATE, True),
        ("RejectTermination", Hook.PRE_CREATE, False),
        ("RejectTermination", Hook.PRE_FINISH, False),
        ("RejectTermination", None, True),
        ("RejectUpload", None, True),
    ],
)
def test_a_rejection_is_of_what_was_asked(member: str, hook: Hook | None, rejected: bool) -> None:
    assert read({member: True}, hook).reject is rejected


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([], "JSON that is not an object"),
        ("x", "JSON that is not an object"),
        ({"RejectUpload": 1}, "RejectUpload that is a whole number, not true or false"),
        ({"RejectUpload": "true"}, "RejectUpload that is a text, not true or false"),
        ({"StopUpload": {}}, "StopUpload that is an object, not true or false"),
        ({"HTTPResponse": []}, "HTTPResponse that is an array, not an object"),
        ({"HTTPResponse": {"StatusCode": True}}, "StatusCode that is true or false, not a whole"),
        ({"HTTPResponse": {"StatusCode": 400.5}}, "StatusCode that is a number, not a whole"),
        ({"HTTPResponse": {"StatusCode": "400"}}, "StatusCode that is a text"),
        ({"HTTPResponse": {"Body": {"a": 1}}}, "Body that is an object, not a text"),
        ({"HTTPResponse": {"Header": {"X": ["y"]}}}, "Header whose 'X' is an array, not a text"),
        ({"ChangeFileInfo": {"MetaData": {"a": 1}}}, "MetaData whose 'a' is a whole number"),
        ({"ChangeFileInfo": {"MetaData": {"a": True}}}, "MetaData whose 'a' is true or false"),
        ({"ChangeFileInfo": {"ID": 7}}, "ID that is a whole number"),
        ({"ChangeFileInfo": {"Storage": {"Path": []}}}, "Path that is an array"),
        ({"HTTPResponse": {"StatusCode": 199}}, "the status 199"),
        ({"HTTPResponse": {"StatusCode": 101}}, "the status 101"),
        ({"HTTPResponse": {"StatusCode": 600}}, "the status 600"),
        ({"HTTPResponse": {"StatusCode": -1}}, "the status -1"),
        ({"HTTPResponse": {"Header": {"X": "a\r\nSet-Cookie: b"}}}, "as the header X"),
        ({"HTTPResponse": {"Header": {"X": "a\x00"}}}, "as the header X"),
        ({"HTTPResponse": {"Header": {"X": "a\n"}}}, "as the header X"),
        ({"HTTPResponse": {"Header": {"X": "\u20ac"}}}, "as the header X"),
        ({"HTTPResponse": {"Header": {"X\r\nY": "a"}}}, "as a header's name"),
        ({"HTTPResponse": {"Header": {"X\n": "a"}}}, "as a header's name"),
        ({"HTTPResponse": {"Header": {"": "a"}}}, "'' as a header's name"),
        ({"HTTPResponse": {"Header": {"X Y": "a"}}}, "as a header's name"),
        ({"ChangeFileInfo": {"MetaData": {"a b": "x"}}}, "'a b' as a key of metadata"),
        ({"ChangeFileInfo": {"MetaData": {"a,b": "x"}}}, "as a key of metadata"),
        ({"ChangeFileInfo": {"MetaData": {"": "x"}}}, "as a key of metadata"),
        ({"ChangeFileInfo": {"MetaData": {"a\n": "x"}}}, "as a key of metadata"),
    ],
)
def test_what_cannot_be_is_a_failure(said: Any, problem: str) -> None:
    with pytest.raises(HookFailed) as failure:
        read(said, Hook.PRE_CREATE)
    assert failure.value.hook == "pre-create"
    assert failure.value.problem.startswith("http://r answered with ")
    assert problem in failure.value.problem
    assert failure.value.problem.isprintable()


@pytest.mark.parametrize(
    "body",
    [b"{", b"ok", b"[" * 60_000, b"NaN", b'{"a": Infinity}', b"\xff\xfe{", b"9" * 5000, b"{}{}"],
    ids=lambda body: ascii(body[:9]),
)
def test_garbage_is_a_failure(body: bytes) -> None:
    with pytest.raises(HookFailed, match="does not answer") as failure:
        documents.read(body)
    assert "JSON" in failure.value.problem


def test_more_than_the_limit_is_a_failure() -> None:
    assert documents.read(b" " * documents.LIMIT) == HookAnswer()
    with pytest.raises(HookFailed) as failure:
        documents.read(b" " * (documents.LIMIT + 1))
    assert "more than 65536 bytes" in failure.value.problem


_names = st.text(string.ascii_letters + "-", min_size=1, max_size=9).map(lambda name: f"X-{name}")
_keys = st.text(string.ascii_letters + string.punctuation.replace(",", ""), min_size=1)
_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    status=st.none() | st.integers(200, 599),
    headers=st.dictionaries(_names, st.text(string.ascii_letters), max_size=4),
    body=_text,
    reject=st.booleans(),
    upload_id=st.none() | _text.filter(bool),
    metadata=st.none() | st.dictionaries(_keys, _text, max_size=4),
    path=st.none() | _text.filter(bool),
    stop=st.booleans(),
)
def test_what_is_said_is_understood(
    status: int | None,
    headers: dict[str, str],
    body: str,
    reject: bool,
    upload_id: str | None,
    metadata: dict[str, str] | None,
    path: str | None,
    stop: bool,
) -> None:
    said = {
        "HTTPResponse": {"StatusCode": status, "Header": headers, "Body": body},
        "RejectUpload": reject,
        "ChangeFileInfo": {"ID": upload_id, "MetaData": metadata, "Storage": {"Path": path}},
        "StopUpload": stop,
    }
    answer = Answer(status, headers, body.encode())
    assert read(said, Hook.PRE_CREATE) == HookAnswer(
        answer=None if answer == Answer() else answer,
        reject=reject,
        upload_id=upload_id,
        metadata=None if metadata is None else {k: v.encode() for k, v in metadata.items()},
        path=path,
        stop=stop,
    )


_member_names = st.sampled_from(
    ["HTTPResponse", "StatusCode", "Body", "Header", "ChangeFileInfo", "ID", "MetaData", "Storage"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_member_names, inner, max_size=4),
)


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_said_is_understood_or_a_failure(body: bytes) -> None:
    try:
        said = documents.read(body, Hook.PRE_CREATE)
    except HookFailed:
        return
    assert said == documents.checked(said, "pre-create", "again")
