from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.processing import texts
from tusjumbo.processing.marks import marked

SVG = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("<!DOCTYPE html>", "text/html"),
        ("<!doctype HTML PUBLIC>", "text/html"),
        ("\ufeff \n\t<HtMl lang=x>", "text/html"),
        ("<script>alert(1)</script>", "text/html"),
        ("<p>x", "text/html"),
        ("<a/href=x>", "text/html"),
        ("<b", "text/html"),
        ("<img src=x onerror=alert(1)>", "text/html"),
        ("<!-- x --><script>", "text/html"),
        ("<!--", "text/html"),
        ("<?x?><html>", "text/html"),
        ("<!-- - -- x", "text/html"),
        ("<?xml version='1.0'?><html xmlns='x'>", "application/xhtml+xml"),
        (
            "<?xml version='1.0'?><x:html xmlns:x='http://www.w3.org/1999/xhtml'>",
            "application/xhtml+xml",
        ),
        ("<?xml version='1.0'?><a>", "application/xml"),
        ("<?xml version='1.0'?>", "application/xml"),
        ("<?xml\n", "application/xml"),
        ("<feed xmlns='http://www.w3.org/2005/Atom'>", "application/xml"),
        ("<svg>", "image/svg+xml"),
        ("<!-- x --> <svg:svg>", "image/svg+xml"),
        (f"<a:b xmlns:a='{SVG}'>", "image/svg+xml"),
        ("<?xml version='1.0'?><!-- <html> -- > --><svg>", "image/svg+xml"),
        (f"<!DOCTYPE svg [<!ENTITY s '{SVG}'> ]><svg xmlns='&s;'>", "image/svg+xml"),
        (f"<?xml version='1.0'?><!DOCTYPE x [ <!ENTITY a '{SVG}'>", "image/svg+xml"),
        ("hello <script>", None),
        ("", None),
        ("<", None),
        ("< html>", None),
        ("<3 elephants", None),
        ("<bread>", None),
        ("<abc@example.org>", None),
        ("<<EOF", None),
    ],
)
def test_what_a_browser_would_run(head: str, expected: str | None) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert texts.markup(head.encode(encoding)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "text/plain"),
        ("hello", "text/plain"),
        ("#!/bin/sh\n", "text/x-shellscript"),
        ("#!/usr/bin/env -S python3 -u\n", "text/x-python"),
        ("#! /usr/bin/perl -w", "text/x-perl"),
        ("#!/usr/bin/node\n", "text/javascript"),
        ("#!/opt/strange\n", "text/x-shellscript"),
        ("#! a heading", "text/x-shellscript"),
        ("# a heading", "text/plain"),
        ("\n<?php echo 1;", "text/x-php"),
        ("@ECHO  OFF\r\n", "text/x-msdos-batch"),
        ("'use strict';", "text/javascript"),
        ("/* c */ // d\n(function(){", "text/javascript"),
        ("!function(e){", "text/javascript"),
        ("(() => {", "text/javascript"),
        ("import {a} from './a.js'", "text/javascript"),
        ("export default class", "text/javascript"),
        ("const a = 1;", "text/javascript"),
        ("function f(a) {", "text/javascript"),
        ("async function f() {", "text/javascript"),
        ("import os\n", "text/plain"),
        ("import duties rose from 3 %", "text/plain"),
        ("function follows form", "text/plain"),
        ("let us go", "text/plain"),
        ("{\\rtf1\\ansi", "application/rtf"),
        ("%!PS-Adobe-3.0", "application/postscript"),
        ("BEGIN:VCARD\n", "text/vcard"),
        ("BEGIN:VCALENDAR\n", "text/calendar"),
        ("WEBVTT\n", "text/vtt"),
        ("WEBVTTS", "text/plain"),
        ("{}", "application/json"),
        ("[]", "application/json"),
        ('{"a": [1, -2.5e3, true, null, "\\"\\u00e9"]}', "application/json"),
        ('{"a": 1}\n{"b": 2}\n', "application/json"),
        ('[{"a": "cut of', "application/json"),
        ('{"a": "\\', "application/json"),
        ('{"a": tru', "application/json"),
        ("[1, 2, 3", "application/json"),
        ("[1] A footnote.", "text/plain"),
        ("[section]\nkey = 1\n", "text/plain"),
        ("{ a: 1 }", "text/plain"),
        ("a,b\n1,2\n", "text/csv"),
        ("a;b\r\n1;2\r\n", "text/csv"),
        ("a|b\n1|2", "text/csv"),
        ("a\tb\n1\t2\n", "text/tab-separated-values"),
        ('a,b\n"1\n,2",3\n4,5\n', "text/csv"),
        ("a,b,c\n1,2,3\n4,5,6\n7,8", "text/csv"),
        ("a,b\n", "text/plain"),
        ("a,b\n1,2,3\n", "text/plain"),
        ("a\nb\nc\n", "text/plain"),
    ],
)
def test_what_text_is(text: str, expected: str) -> None:
    assert texts.kind(text) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", ""),
        (b"a\tb\r\n\x0c\x1b[1m", "a\tb\r\n\x0c\x1b[1m"),
        ("Rüssel".encode(), "Rüssel"),
        ("Rüssel".encode("utf-8-sig"), "Rüssel"),
        ("Rüssel".encode("utf-16"), "Rüssel"),
        ("Rüssel".encode("utf-32"), "Rüssel"),
        (codecs.BOM_UTF16_BE + "Rüssel".encode("utf-16-be"), "Rüssel"),
        ("Rüssel".encode("latin-1"), "Rüssel"),
        ("象".encode()[:2], ""),
        ("x象".encode("utf-16")[:-1], "x"),
        ("Rüssel".encode("utf-16-le"), None),
        (codecs.BOM_UTF16_LE + b"a\0\0\0", None),
        (codecs.BOM_UTF16_LE + b"\0\xd8a\0", None),
        (b"a\x00", None),
        (b"a\x01", None),
        (b"a\x0b", None),
        (b"a\x0e", None),
        (b"a\x1a", None),
        (b"a\x1f", None),
        (b"\xff\x00", None),
    ],
)
def test_what_is_text(head: bytes, expected: str | None) -> None:
    assert texts.decoded(head) == expected


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=50), st.integers(0, 8))
def test_text_is_text_wherever_it_is_cut(text: str, cut: int) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        head = text.encode(encoding)
        size = max(len("".encode(encoding)), len(head) - cut)  # the mark at least
        assert (decoded := texts.decoded(head[:size])) is not None
        assert text.removeprefix("\ufeff").startswith(decoded.removeprefix("\ufeff"))
        assert texts.kind(decoded)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks(encoding: str) -> None:
    name = marked("x".encode(encoding))
    assert name is not None
    assert "x".encode(encoding).decode(name) == "\ufeffx"
    assert marked(b"x") is None
