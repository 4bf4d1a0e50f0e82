from __future__ import annotations

import itertools
import os
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.stores import names

ID = "jumbo_abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("data.csv", "data.csv"),
        ("Rüssel für Élise.tar.gz", "Rüssel für Élise.tar.gz"),
        ("象の写真 (最終).jpg", "象の写真 (最終).jpg"),
        ("Люди и их дела.txt", "Люди и их дела.txt"),
        ("\u0915\u094d\u200d\u0937.pdf", "\u0915\u094d\u200d\u0937.pdf"),
        ("👩\u200d🚀.png", "👩\u200d🚀.png"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("e\u200b\u0301.txt", "\u00e9.txt"),
        ("-rf", "_-rf"),
        ("--help.txt", "_--help.txt"),
        ("\u200b -x", "_-x"),
        ("x-y", "x-y"),
        ("-" * 300 + ".csv", "_" + "-" * 195 + ".csv"),
        ("a b\u00a0c\u3000d.txt", "a b c d.txt"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Users\\me\\x.doc", "x.doc"),
        ("C:x.doc", "C_x.doc"),
        ("x.txt:stream", "x.txt_stream"),
        ("directory/", ID),
        ("", ID),
        (".", ID),
        ("..", ID),
        ("...", ID),
        (" . . ", ID),
        ("\x00\x01\x1f\x7f\x9f", ID),
        ("\u200d", ID),
        ("\ud800", ID),
        (".htaccess", "htaccess"),
        ("..hidden", "hidden"),
        (" \u200d. x", "x"),
        ("x.txt. . ", "x.txt"),
        ("x\n.t\rx\tt\x00", "x.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2028x\u2029.txt\ufeff", "x.txt"),
        ('<a>:"b"|c?*.txt', "_a___b__c__.txt"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("aux .c", "_aux .c"),
        ("Com1", "_Com1"),
        ("lpt\u00b9.x", "_lpt\u00b9.x"),
        ("COM\u00b2.tar.gz", "_COM\u00b2.tar.gz"),
        ("COM\u2074.txt", "COM\u2074.txt"),
        ("com0", "_com0"),
        ("con\u200b.txt", "_con.txt"),
        ("con\u034f", "_con"),
        ("aux.", "_aux"),
        ("nul:", "nul_"),
        ("CON\u00a0.txt", "_CON .txt"),
        ("x.txt::$DATA", "x.txt__$DATA"),
        ("\\\\?\\C:\\x", "x"),
        ("conin$", "_conin$"),
        ("CLOCK$", "_CLOCK$"),
        ("nul" + " " * 250 + "a", "_nul"),
        ("con" + " " * 200 + "y.csv", "_con.csv"),
        ("con." + "y" * 196, "_con." + "y" * 195),
        ("a\uf05c..\uf02fb\uf03a", "a_.._b_"),
        ("..\uff0f..\u2215x\u2044y\uff3cz", "_.._x_y_z"),
        ("象\uff1f\uff1a日本.mp4", "象\uff1f\uff1a日本.mp4"),
        ("\u3164.exe", "exe"),
        ("a\u2800b\uffa0.txt", "a b .txt"),
        ("a\u115fb\u1160.txt", "a b .txt"),
        ("\u061cx\u034fy\u17b4z\u2065\u180e.txt", "xyz.txt"),
        ("x\U000e0000\U000e0041\U000e01f0\ufff0.txt", "x.txt"),
        ("\u845b\U000e0100.txt", "\u845b\U000e0100.txt"),
        ("\u2764\ufe0f.txt", "\u2764\ufe0f.txt"),
        ("\u212b.txt", "\u00c5.txt"),
        ("\u1112\u1161\u11ab.txt", "\ud55c.txt"),
        ("x\U0001f1e9" * 60 + ".txt", "x\U0001f1e9" * 39 + "x.txt"),
        ("x\ufffe\uffff\ufdd0\U0010ffff.txt", "x.txt"),
        ("\ue000.txt", "\ue000.txt"),
        ("%2e%2e%2fpasswd", "%2e%2e%2fpasswd"),
        ("console.txt", "console.txt"),
        ("com10", "com10"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("x" * 300, "x" * 200),
        ("象" * 100 + ".csv", "象" * 65 + ".csv"),
        ("x" * 195 + " .... " + "y.csv", "x" * 195 + ".csv"),
        ("x." + "y" * 300, "x." + "y" * 198),
        ("x" * 200, "x" * 200),
    ],
)
def test_what_a_name_becomes(filename: str, expected: str) -> None:
    assert names.sanitised(filename, ID) == expected


def is_safe(name: str) -> bool:
    return (
        0 < len(name.encode()) <= names.LIMIT
        and os.path.basename(name) == name
        and re.search(r'[/\\<>:"|?*\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]', name) is None
        and name[0] not in ". -"
        and name[-1] not in ". "
        and re.fullmatch(r"(?i:con|prn|aux|nul|com\d|lpt\d) *(\..*)?", name, re.DOTALL) is None
        and re.search("[\uf000-\uf0ff\ufdd0-\ufdef\ufffe\uffff\u2215\u2044\uff0f\uff3c]", name)
        is None
        and unicodedata.is_normalized("NFC", name)
    )


parts = st.sampled_from(
    [
        *"./\\ \x00:",
        "..",
        " " * 200,
        "\uf05c",
        "\uff0f",
        "\uffff",
        "CON",
        "nul",
        "x" * 150,
        "象" * 50,
        "e\u0301",
        "\u200d",
        "\u202e",
        ".csv",
    ]
)
filenames = st.lists(parts | st.text(max_size=5), max_size=12).map("".join)


@given(filenames)
def test_every_name_is_safe(filename: str) -> None:
    name = names.sanitised(filename, ID)
    assert is_safe(name)
    assert names.sanitised(name, ID) == name


@given(filenames, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True))
def test_every_alternative_is_safe_and_new(filename: str, upload_id: str) -> None:
    name = names.sanitised(filename, upload_id)
    found = list(itertools.islice(names.alternatives(name, upload_id), 12))
    assert found[0] == name
    assert found[2] == names.unique(name, upload_id)
    assert all(map(is_safe, found))
    assert len(set(found)) >= len(found) - 1  # an id may be as short as what is taken of it


def test_alternatives_keep_the_extension_and_name_the_upload() -> None:
    assert list(itertools.islice(names.alternatives("x.csv", "0123456789"), 5)) == [
        "x.csv",
        "x-23456789.csv",
        "x-0123456789.csv",
        "x-0123456789-2.csv",
        "x-0123456789-3.csv",
    ]
    long = names.sanitised("x" * 300 + ".csv", ID)
    assert names.unique(long, ID) == "x" * (200 - 5 - len(ID)) + f"-{ID}.csv"


@pytest.mark.parametrize("limit", [200, 180, 160])
@given(filenames, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True))
def test_every_alternative_has_room(limit: int, filename: str, upload_id: str) -> None:
    name = names.sanitised(filename, upload_id)
    found = list(itertools.islice(names.alternatives(name, upload_id, limit), 12))
    assert found[2] == names.unique(name, upload_id, limit)
    assert all(map(is_safe, found))
    assert max(len(each.encode()) for each in found) <= limit
    assert len(set(found)) >= len(found) - 1


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("x.csv", ["x.csv"]),
        ("alice/2026-11-23/film.mp4", ["alice", "2026-11-23", "film.mp4"]),
        ("alice\\film.mp4", ["alice", "film.mp4"]),
        ("/etc/passwd", ["etc", "passwd"]),
        ("../../etc/passwd", ["etc", "passwd"]),
        ("a/./../b//c", ["a", "b", "c"]),
        ("C:\\Users\\x", ["C_", "Users", "x"]),
        ("~/x", ["~", "x"]),
        ("a\0/b\n/c", ["a", "b", "c"]),
        ("\u202e/\u200b/x", ["x"]),
        ("con/nul/x", ["_con", "_nul", "x"]),
        (".ssh/.config/x", ["ssh", "config", "x"]),
        ("-rf/x", ["_-rf", "x"]),
        ("a\uff0fb/c", ["a_b", "c"]),
        ("alice/", ["alice", "client.bin"]),
        ("alice/..", ["alice", "client.bin"]),
        ("/", ["client.bin"]),
        ("", ["client.bin"]),
        ("..", ["client.bin"]),
        ("x" * 300 + "/y", ["x" * 200, "y"]),
        ("/".join("abcdefghijklmnopqrstuvwxyz"), [*"abcdefghijklmnop", "z"]),
        ("/".join("\u8c61" * 66 for _ in range(9)), ["\u8c61" * 66] * 6),
        ("a/" + "x" * 300 + "/y.csv", ["a", "x" * 200, "y.csv"]),
    ],
)
def test_what_a_place_becomes(destination: str, expected: list[str]) -> None:
    assert list(names.place(destination, "client.bin", ID)) == expected


@given(st.lists(filenames, max_size=24).map("/".join), filenames)
def test_every_place_is_safe(destination: str, filename: str) -> None:
    found = names.place(destination, filename, ID)
    assert all(map(is_safe, found))
    assert names.place("/".join(found), filename, ID) == found
    assert len("/".join(found).encode()) <= 1000 + names.LIMIT
