r"""Values as JSON text, and output rows as JSON lines: `{"key":…,"value":…}`.

Laws: what is written is strict JSON (RFC 8259): UTF-8, and no bare NaN. What JSON has no form
for is spelled in a form it has:

    NaN, ±infinity   the strings "NaN", "Infinity", "-Infinity"
    bytes            a string, base64
    tuple            an array
    dict key         its text as a cell (`pymr.records.tsv`), unescaped: 1 is "1"
    U+DC80..U+DCFF   an escape, \udc80: bytes that are not UTF-8, kept by surrogateescape

A column's type (`pymr.records.column`) turns them back into what they were. An int has any
number of digits: Python's limit on digits is neither met nor changed.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from functools import lru_cache, partial
from json.decoder import JSONDecoder
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from pymr.records.column import (
    BYTES,
    FLOAT,
    FLOAT_OR_NAN,
    INT,
    STR,
    Column,
    is_exact_json,
    nesting_error,
    parse_type,
    type_name,
)

_INT_TEXT = re.compile(r"-?[0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def int_text(number: int) -> str:
    """Return the decimal digits of an int of any size."""
    try:
        return str(number)
    except ValueError:  # more digits than Python's limit
        from decimal import Decimal

        return str(Decimal(number))  # Exact: a constructor does not round.


def parse_int(text: str) -> int:
    """Return the int that `int_text` wrote.

    Raises:
        ValueError: `text` is not an optional `-` and digits.
    """
    try:
        return int(text)
    except ValueError:
        if _INT_TEXT.fullmatch(text) is None:
            raise
        from decimal import Decimal

        return int(Decimal(text))


def float_text(number: float) -> str:
    """Return the shortest digits that read back as `number`, or NaN, Infinity, -Infinity."""
    if isfinite(number):
        return repr(number)
    if number != number:  # noqa: PLR0124 - only NaN differs from itself
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def bytes_text(data: bytes) -> str:
    """Return base64 (RFC 4648, section 4), on one line."""
    return b2a_base64(data, newline=False).decode("ascii")


def json_text(value: object) -> str:
    """Return `value`, of types that have a `type_name`, as strict, compact JSON.

    Raises:
        ValueError: a lone surrogate outside U+DC80..U+DCFF; or two keys of a dict that have
            the same text; or nesting too deep for Python.
    """
    try:
        return _json_text(value)
    except RecursionError:
        raise nesting_error() from None


def _json_text(value: Any) -> str:
    return _JSON_TEXTS[type(value)](value)


def _string(text: str) -> str:
    quoted = encode_basestring(text)
    return quoted if quoted.isascii() else _SURROGATE.sub(_escape_surrogate, quoted)


def _array(elements: tuple[Any, ...] | list[Any]) -> str:
    return f"[{','.join([_json_text(element) for element in elements])}]"


def _object(items: dict[Any, Any]) -> str:
    texts: dict[str, str] = {}
    for key, item in items.items():
        text = plain_text(key)
        if text in texts:
            raise ValueError(f"two keys of a dict in an output row have one text, {text!r:.80}")
        texts[text] = f"{_string(text)}:{_json_text(item)}"
    return f"{{{','.join(texts.values())}}}"


_JSON_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: int_text,
    float: lambda value: repr(value) if isfinite(value) else f'"{float_text(value)}"',
    str: _string,
    bytes: lambda value: f'"{bytes_text(value)}"',
    tuple: _array,
    list: _array,
    dict: _object,
}


def _escape_surrogate(match: re.Match[str]) -> str:
    code = ord(match[0])
    if not "\udc80" <= match[0] <= "\udcff":
        raise surrogate_error(code)
    return f"\\u{code:04x}"


def surrogate_error(code: int) -> ValueError:
    """Return the error of a lone surrogate that stands for no byte."""
    return ValueError(
        f"a str of an output row holds the lone surrogate U+{code:04X}, which is no character;"
        " expected text that UTF-8 can encode"
    )


def plain_text(value: Any) -> str:
    """Return a cell as text: a `str` as it is, bytes as base64, all else as in JSON."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is float:
        return float_text(value)
    return bytes_text(value) if kind is bytes else json_text(value)


def parse_json(text: str) -> Any:
    """Return the content of JSON text; ints of any size.

    Raises:
        ValueError: `text` is not strict JSON.
    """
    return _DECODER.decode(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = JSONDecoder(parse_int=parse_int, parse_constant=_refuse_constant)


def row_text(key: Any, value: Any, keys: Column, values: Column) -> str:
    """Return one row with its newline, and take its cells into the columns.

    Raises:
        TypeError, ValueError: as `type_name` and `json_text`.
    """
    return f'{{"key":{_cell(key, keys)},"value":{_cell(value, values)}}}\n'


def _cell(cell: Any, column: Column) -> str:
    kind = type(cell)
    if kind is str and column.type == STR:
        text = encode_basestring(cell)
        return text if text.isascii() else _json_text(cell)
    if kind is int and column.type == INT:
        return int_text(cell)
    name = type_name(cell, column.role)
    if name != column.type:
        column.add(name)
    return json_text(cell)


def row_parser(key_type: str | None, value_type: str | None) -> Callable[[str], tuple[Any, Any]]:
    """Return the function from a line to (key, value); a mixed column gives JSON values."""
    key_of, value_of = content_reader(key_type), content_reader(value_type)

    def parse(line: str) -> tuple[Any, Any]:
        row = parse_json(line)
        return key_of(row["key"]), value_of(row["value"])

    return parse


@lru_cache(maxsize=1024)
def content_reader(name: str | None) -> Callable[[Any], Any]:
    """Return the function from JSON content to a cell of type `name` (None: as it is).

    Raises:
        ValueError: `name` is no column type.
    """
    if name is None or (name != FLOAT and is_exact_json(name)):
        return _same
    head, arguments = parse_type(name)
    if head in (FLOAT, FLOAT_OR_NAN):
        return float
    if head == BYTES:
        return partial(a2b_base64, strict_mode=True)
    readers = [content_reader(argument) for argument in arguments]
    if head == "list":
        return partial(_read_list, readers[0])
    if head == "dict":
        return partial(_read_dict, text_reader(arguments[0]), readers[1])
    if head == "tuple":
        return partial(_read_tuple, readers)
    raise ValueError(f"`{name}` is not the type of a column")


def text_reader(name: str | None) -> Callable[[str], Any]:
    """Return the function from the text of a cell to a cell (None: the text itself).

    Raises:
        ValueError: `name` is no column type.
    """
    match name:
        case None | "str" | "":
            return _same
        case "int":
            return parse_int
        case "float" | "float|nan":
            return float
        case "bytes":
            return content_reader(BYTES)
    read = content_reader(name)
    return lambda text: read(parse_json(text))


def _same(value: Any) -> Any:
    return value


def _read_list(read: Callable[[Any], Any], content: list[Any]) -> list[Any]:
    return [read(element) for element in content]


def _read_tuple(readers: list[Callable[[Any], Any]], content: list[Any]) -> tuple[Any, ...]:
    return tuple([read(element) for read, element in zip(readers, content, strict=True)])


def _read_dict(
    read_key: Callable[[str], Any], read_value: Callable[[Any], Any], content: dict[str, Any]
) -> dict[Any, Any]:
    return {read_key(key): read_value(value) for key, value in content.items()}
