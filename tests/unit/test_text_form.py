"""How bytes and commands look in messages."""

from __future__ import annotations

import sys

import pytest

from pymr.text_form import install_line, show_bytes, show_path, show_paths


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain text", "plain text"),
        ("é 😀".encode(), "é 😀"),
        (b"a\tb\r\n", "a\\tb\\r\\n"),
        (b"\x1b[31m\0\x7f", "\\x1b[31m\\x00\\x7f"),
        (b"\xff\xc3", "\\xff\\xc3"),
        ("\u2028\u202e\xa0".encode(), "\\u2028\\u202e\\xa0"),
        (b"\\n", "\\\\n"),
        (b"\\xff", "\\\\xff"),
    ],
)
def test_what_is_not_printable_is_escaped(data, shown):
    """No control character, no terminal escape, and no two values look the same."""
    assert show_bytes(data) == show_path(data) == shown


def test_a_long_value_is_cut_at_a_character():
    """At most `limit` bytes are shown; a character is not cut in two."""
    assert show_bytes(b"x" * 201) == "x" * 200 + "…"
    assert show_bytes(b"x" * 200) == "x" * 200
    assert show_bytes("é".encode() * 3, limit=3) == "é…"
    assert show_bytes(b"\x80" * 9, limit=3) == "\\x80\\x80\\x80…"


def test_a_path_is_shown_whole():
    """A message that names half a file helps nobody."""
    assert show_path("x" * 4000) == "x" * 4000


def test_of_many_paths_the_first_three_are_shown() -> None:
    """Each escaped as one alone, and how many more there are."""
    names = [b"a", "b", b"c\n", "d", "e"]

    assert show_paths(names[:1]) == "`a`"
    assert show_paths(names[:3]) == "`a`, `b`, `c\\n`"
    assert show_paths(names[:4]) == "`a`, `b`, `c\\n` and 1 more"
    assert show_paths(names) == "`a`, `b`, `c\\n` and 2 more"


def test_a_line_that_installs_is_one_for_a_shell(monkeypatch):
    """Whatever the name of the folder that this Python is in."""
    monkeypatch.setattr(sys, "executable", "/new user/python")

    assert install_line("a>=2", "b") == "'/new user/python' -m pip install 'a>=2' b"
