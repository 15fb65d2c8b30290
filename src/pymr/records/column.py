"""Column types: names such as `tuple[str,int]` that say how to read a column back exactly.

    name        cells
    null bool int float str bytes
    tuple[A,B]  tuples of that arity; `tuple[]` is the empty one
    list[A]     lists whose elements all are A; `list[]`: all of them empty
    dict[K,V]   dicts; `dict[]`: all of them empty
    list, dict  short for list[json] and dict[str,json]
    json        inside a container only: content that JSON text alone gives back exactly
                (null, bool, int, finite float, str, and lists and str-keyed dicts of them)
    float|nan   inside a container only: floats, some of them NaN or infinite

Laws: no I/O; a name is given to a column only if every cell can be read back exactly, same
type and same value, from its text and the name; else the column is mixed. Joining names does
not depend on their order, so the rows of a job have one type however they are partitioned.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import isfinite

NULL, BOOL, INT, FLOAT, STR, BYTES = "null", "bool", "int", "float", "str", "bytes"
JSON, FLOAT_OR_NAN = "json", "float|nan"
EMPTY = ""  # the element type of an empty list or dict
MIXED = "mixed"  # no one type; never leaves this package

# 2 KiB: a tuple of 300 floats still has a name, and a name is never a burden to a manifest.
TYPE_NAME_CHARS_MAX = 2 << 10

_SCALARS = {type(None): NULL, bool: BOOL, int: INT, str: STR, bytes: BYTES}
_EXACT_JSON = frozenset({NULL, BOOL, INT, FLOAT, STR, JSON, EMPTY})


class Column:
    """The type of the cells seen so far; `role` (`key` or `value`) is for messages."""

    __slots__ = ("role", "type")

    def __init__(self, role: str) -> None:
        self.role = role
        self.type = EMPTY

    def add(self, name: str) -> None:
        """Take in a cell of the type `name`. Callers may skip it where `name == self.type`."""
        self.type = join_columns(self.type, name)

    @property
    def is_mixed(self) -> bool:
        """Whether the cells seen have no one type."""
        return self.type == MIXED

    @property
    def type_name(self) -> str | None:
        """The name for a manifest: None if the column is mixed or there were no cells."""
        if self.type in (EMPTY, MIXED):
            return None
        return FLOAT if self.type == FLOAT_OR_NAN else self.type


def type_name(cell: object, role: str = "value") -> str:
    """Return the type of one cell, or MIXED if no name describes it exactly.

    Raises:
        TypeError: the cell, or something in it, has no text form; the message names its type.
        ValueError: it is nested too deeply for Python.
    """
    try:
        name = _type_name(cell, role)
    except RecursionError:
        raise nesting_error() from None
    return name if len(name) <= TYPE_NAME_CHARS_MAX else MIXED


def nesting_error() -> ValueError:
    """Return the error of a cell that holds itself, or almost."""
    return ValueError("a cell of an output row is nested too deeply to be written")


def _type_name(cell: object, role: str) -> str:
    kind = type(cell)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(cell, float) and kind is float:
        return FLOAT if isfinite(cell) else FLOAT_OR_NAN
    if isinstance(cell, tuple) and kind is tuple:
        names = [_type_name(element, role) for element in cell]
        return MIXED if MIXED in names else f"tuple[{','.join(names)}]"
    if role == "key":
        raise TypeError(_refusal(cell, role))
    if isinstance(cell, list) and kind is list:
        return _list_of(_join_all({_type_name(element, role) for element in cell}))
    if isinstance(cell, dict) and kind is dict:
        keys = _join_all({_type_name(key, role) for key in cell})
        values = _join_all({_type_name(value, role) for value in cell.values()})
        return _dict_of(MIXED if keys == JSON else keys, values)
    raise TypeError(_refusal(cell, role))


def _refusal(cell: object, role: str) -> str:
    name = type(cell).__qualname__
    types = "None, bool, int, float, str, bytes"
    if role == "key":
        types += " and tuples of them"
        hints = {
            "list": "use `tuple(key)`",
            "dict": "use `tuple(sorted(key.items()))`",
            "set": "use `tuple(sorted(key))`",
        }
    else:
        types += ", and tuples, lists and dicts of them"
        hints = {
            "list": "use `list(value)`",
            "dict": "use `dict(value)`",
            "set": "use `sorted(value)`",
        }
    bases = [base.__name__ for base in type(cell).__mro__]
    for base in ("str", "int", "float", "bytes", "tuple", *hints):
        if base in bases:
            hint = hints.get(base, f"use `{base}({role})`")
            break
    else:
        hint = "convert it to a str, number, tuple or dict"
    return f"a {role} of an output row is or holds a `{name}`, expected {types}: {hint}"


def join_columns(a: str, b: str) -> str:
    """Return the type of a column with cells of the types `a` and `b`, or MIXED."""
    joined = _join(a, b)
    return MIXED if joined == JSON else joined  # the text `1` is no longer the int 1


def merge_columns(types: Iterable[tuple[str | None, bool]]) -> tuple[str | None, bool]:
    """Return (type, is mixed) of a column that lies in several parts, each (type, is mixed)."""
    column = Column("value")
    for name, is_mixed in types:
        if is_mixed:
            return None, True
        if name is not None:
            column.add(name)
    return column.type_name, column.is_mixed


def _join_all(names: set[str]) -> str:
    joined = EMPTY
    for name in sorted(names):
        joined = _join(joined, name)
    return joined


@lru_cache(maxsize=1024)
def _join(a: str, b: str) -> str:
    """Return the narrowest type that reads back cells of both, or MIXED."""
    if b in (a, EMPTY):
        return a
    if a == EMPTY:
        return b
    if {a, b} == {FLOAT, FLOAT_OR_NAN}:
        return FLOAT_OR_NAN
    joined = _join_arguments(*parse_type(a), *parse_type(b))
    if joined == MIXED and is_exact_json(a) and is_exact_json(b):
        return JSON
    return joined


def _join_arguments(a: str, a_args: tuple[str, ...], b: str, b_args: tuple[str, ...]) -> str:
    if a != b or a not in ("tuple", "list", "dict") or len(a_args) != len(b_args):
        return MIXED
    if a == "dict":
        return _dict_of(join_columns(a_args[0], b_args[0]), _join(a_args[1], b_args[1]))
    joined = [_join(x, y) for x, y in zip(a_args, b_args, strict=True)]
    if MIXED in joined:
        return MIXED
    return _list_of(joined[0]) if a == "list" else f"tuple[{','.join(joined)}]"


def _list_of(element: str) -> str:
    if element == MIXED:
        return MIXED
    return "list" if element == JSON else f"list[{element}]"


def _dict_of(key: str, value: str) -> str:
    if MIXED in (key, value):
        return MIXED
    if (key, value) == (EMPTY, EMPTY):
        return "dict[]"
    return "dict" if (key, value) == (STR, JSON) else f"dict[{key},{value}]"


def is_exact_json(name: str) -> bool:
    """Tell whether JSON text alone gives cells of this type back exactly."""
    head, arguments = parse_type(name)
    if head == "list":
        return is_exact_json(arguments[0])
    if head == "dict":
        return arguments[0] in (STR, EMPTY) and is_exact_json(arguments[1])
    return name in _EXACT_JSON


@lru_cache(maxsize=1024)
def parse_type(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the head of a type name and its arguments: `list[int]` is (`list`, (`int`,)).

    A list has one argument, a dict has two; a scalar has none.

    Raises:
        ValueError: that is no type name.
    """
    head, bracket, rest = name.partition("[")
    if head in ("list", "dict") and not bracket:
        return head, (JSON,) if head == "list" else (STR, JSON)
    if head not in ("tuple", "list", "dict"):
        if head in (*_EXACT_JSON, BYTES, FLOAT_OR_NAN, MIXED) and not bracket:
            return name, ()
        raise ValueError(f"`{name}` is no column type")
    if not rest.endswith("]"):
        raise ValueError(f"`{name}` is no column type: expected `]` at its end")
    arguments = _split_arguments(rest[:-1])
    if head == "dict" and not arguments:
        arguments = (EMPTY, EMPTY)
    if head == "list" and not arguments:
        arguments = (EMPTY,)
    if head != "tuple" and len(arguments) != {"list": 1, "dict": 2}[head]:
        raise ValueError(f"`{name}` is no column type: {len(arguments)} arguments")
    return head, arguments


def _split_arguments(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    arguments = []
    start = depth = 0
    for index, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            arguments.append(text[start:index])
            start = index + 1
    return (*arguments, text[start:])
