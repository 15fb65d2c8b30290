r"""Output rows as tab-separated text: key, tab, value, newline.

One rule for every cell of every type: its text (`pymr.records.jsonl.plain_text`) with
backslash, tab and newline written `\\`, `\t` and `\n`. So a line is split at its one tab,
and a cell is unescaped before its type is known; PostgreSQL's COPY text format does the same.
A `str` that came from bytes which are not UTF-8 (surrogateescape) is written as those bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pymr.records.column import INT, MIXED, STR, Column, type_name
from pymr.records.jsonl import int_text, plain_text, surrogate_error, text_reader

_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_MEANING = {"t": "\t", "n": "\n", "\\": "\\"}


def row_text(key: Any, value: Any, keys: Column, values: Column) -> str:
    """Return one row with its newline, and take its cells into the columns.

    The text may hold U+DC80..U+DCFF: encode it with `surrogateescape`.

    Raises:
        TypeError: a cell has no text form.
        ValueError: a lone surrogate outside U+DC80..U+DCFF, or as `json_text`.
    """
    return f"{_cell(key, keys)}\t{_cell(value, values)}\n"


def _cell(cell: Any, column: Column) -> str:
    kind = type(cell)
    if kind is str:
        if column.type != STR:
            column.add(STR)
        if not cell.isascii():
            _check_surrogates(cell, column)
        return escape(cell)
    if kind is int:
        if column.type != INT:
            column.add(INT)
        return int_text(cell)
    name = type_name(cell, column.role)
    if name != column.type:
        column.add(name)
    return escape(plain_text(cell))


def _check_surrogates(text: str, column: Column) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        for char in text[error.start :]:
            if "\ud800" <= char <= "\udc7f" or "\udd00" <= char <= "\udfff":
                raise surrogate_error(ord(char)) from None
        data = text.encode(errors="surrogateescape")
        if data.decode(errors="surrogateescape") != text:
            column.add(MIXED)  # Halves of a character, joined by user code, read back as one.


def escape(text: str) -> str:
    r"""Return `text` without tab or newline: `\` is `\\`, tab is `\t`, newline is `\n`."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\t" in text:
        text = text.replace("\t", "\\t")
    if "\n" in text:
        text = text.replace("\n", "\\n")
    return text


def unescape(text: str) -> str:
    """Return what `escape` was given.

    Raises:
        ValueError: a backslash stands before something else.
    """
    return _ESCAPED.sub(_unescape_one, text) if "\\" in text else text


def _unescape_one(match: re.Match[str]) -> str:
    if match[1] not in _MEANING:
        raise ValueError(rf"`{match[0]}` is no escape, expected `\t`, `\n` or `\\`")
    return _MEANING[match[1]]


def row_parser(key_type: str | None, value_type: str | None) -> Callable[[str], tuple[Any, Any]]:
    """Return the function from a line to (key, value); a mixed column gives the cell's text."""
    key_of, value_of = text_reader(key_type), text_reader(value_type)

    def parse(line: str) -> tuple[Any, Any]:
        key, tab, value = line.partition("\t")
        if not tab or "\t" in value:
            raise ValueError(f"{line.count(chr(9))} tabs, expected one")
        return key_of(unescape(key)), value_of(unescape(value))

    return parse
