"""The kinds of values a setting can have: how each is written, read and refused.

A value comes as text (a flag, a variable) or typed (TOML, a Python call). Text is parsed;
a typed value must already have one of the kind's types, so that `workers = "4"` in a file is
refused, and `--workers 4` is not. Bounds are inclusive.

Sizes are powers of two: `K`, `M`, `G`, `T`, also written `KiB` … `TiB`. `MB` is refused, since
half of the world means 1,000,000 by it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from pymr.text_form import show_bytes

_QUOTED_MAX = 80  # bytes of a wrong value that a message repeats
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# Numbers of up to 100 digits are numbers, so that one that is too large is told its bound.
_SIZE = re.compile(r"([0-9]{1,100}(?:\.[0-9]{1,6})?)([KMGT]?)(?:B|iB)?", re.ASCII)
_DURATION = re.compile(
    r"(?=[0-9])(?:([0-9]{1,100})h)?(?:([0-9]{1,100})m)?(?:([0-9]{1,100}(?:\.[0-9]{1,6})?)s)?",
    re.ASCII,
)
_SECONDS = re.compile(r"[0-9]{1,100}(?:\.[0-9]{1,6})?", re.ASCII)
_RATIO = re.compile(r"([1-9][0-9]{0,99})(?::1)?", re.ASCII)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%|(0\.[0-9]{1,9})", re.ASCII)
_ADDRESS = re.compile(r"(?:s3|gs|az)://[^/\x00-\x1f]+(?:/[^\x00-\x1f]*)?")
_ENDPOINT = re.compile(r"https?://[^\s/@?#]+(?:/[^\s@?#]*)?")  # an `@` would stand before a secret
_LISTEN = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", re.ASCII)
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)  # RFC 1123
_REGISTRY = re.compile(  # HOST[:PORT][/PATH], with no user and no password
    r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*/?",
    re.ASCII,
)
_IMAGE = re.compile(  # [HOST[:PORT]/]PATH[:TAG][@DIGEST]
    r"(?:[A-Za-z0-9.-]+(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
# Text codecs of Python that are no encodings of files: names, escapes, an error on purpose.
_NOT_FOR_FILES = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}
)
_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What values look like. `parse` takes text and raises ValueError for what is not one."""

    metavar: str | None
    expected: str  # completes "expected …"
    example: str  # as text
    types: tuple[type, ...]  # of a typed value; bool is no int here
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str  # a value as the user would write it
    minimum: float | None = None
    maximum: float | None = None
    below: str = ""  # what to do instead of a value under the minimum
    above: str = ""  # why there is a maximum
    choices: tuple[str, ...] = ()


class RefusedValueError(ValueError):
    """A value is not of its kind. `seen` and `expected` complete a message."""

    def __init__(self, seen: str, expected: str, *, exampled: bool, example: str = "") -> None:
        super().__init__(seen, expected)
        self.seen = seen
        self.expected = expected
        self.example = example  # instead of the kind's: what `seen` may have meant
        self.exampled = exampled  # an example would help the reader


def read_value(kind: Kind, raw: object, *, typed: bool) -> Any:
    """Return the value that `raw` stands for.

    Raises:
        RefusedValueError: `raw` is not of the kind, or out of its bounds.
    """
    if typed and type(raw) not in kind.types:
        raise RefusedValueError(quote(raw), kind.expected, exampled=not kind.choices)
    try:
        value: Any = kind.parse(raw) if isinstance(raw, str) else raw
    except ValueError as error:
        example = _meant_size(str(raw), kind) if kind.parse is _parse_size else ""
        raise RefusedValueError(
            quote(raw), kind.expected, exampled=not kind.choices, example=example
        ) from error
    if isinstance(value, float) and not isfinite(value):
        raise RefusedValueError(quote(raw), kind.expected, exampled=True)
    if kind.minimum is not None and value < kind.minimum:
        expected = f"at least {kind.show(kind.minimum)}{kind.below}"
        raise RefusedValueError(kind.show(value), expected, exampled=False)
    if kind.maximum is not None and value > kind.maximum:
        expected = f"at most {kind.show(kind.maximum)}{kind.above}"
        raise RefusedValueError(kind.show(value), expected, exampled=False)
    return value


def quote(raw: object) -> str:
    """Return `raw` for a message: in backticks, one line, no control characters."""
    if isinstance(raw, str):
        return f"`{show_bytes(raw.encode('utf-8', 'backslashreplace'), _QUOTED_MAX)}`"
    if isinstance(raw, bool):
        return "`true`" if raw else "`false`"
    if isinstance(raw, (int, float)):
        return f"`{raw}`"
    return "a table" if isinstance(raw, dict) else f"a value of type {type(raw).__name__}"


def spell_size(size: float) -> str:
    """Return `size` in bytes as the user would write it: `64M`, `1.5G`, `1000`."""
    for unit in ("T", "G", "M", "K"):
        scaled = size / _UNITS[unit]
        if scaled >= 1 and scaled * 4 == int(scaled * 4):
            return f"{scaled:g}{unit}"
    return str(int(size))


def _parse_whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,100}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None or re.search(r"[KMGT]B$", text):
        raise ValueError(text)
    return int(float(match[1]) * _UNITS[match[2]])


def _meant_size(text: str, kind: Kind) -> str:
    """Return the size that `text` is another spelling of (`64m`, `64MB`), or nothing."""
    spelled = text.upper().removesuffix("B")
    if not re.fullmatch(r"[0-9]{1,15}[KMGT]", spelled, re.ASCII):
        return ""
    is_enough = kind.minimum is None or _parse_size(spelled) >= kind.minimum
    return spelled if is_enough else kind.show(kind.minimum)


def _parse_duration(text: str) -> float:
    if _SECONDS.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _parse_ratio(text: str) -> int:
    match = _RATIO.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1])


def _parse_share(text: str) -> float:
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1] or match[2]) / (100 if match[1] else 1)


def _parse_switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ValueError(text)
    return _SWITCHES[text.lower()]


def _parse_text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return text

    return parse


def _parse_encoding(text: str) -> str:
    """Return the one name that an encoding has: `utf-8` for `UTF8` and for `utf-8-sig`."""
    try:
        codec = codecs.lookup(text)
    except LookupError as error:
        raise ValueError(text) from error
    normal = codec.name.replace("_", "-")
    if not codec._is_text_encoding or normal in _NOT_FOR_FILES:  # noqa: SLF001 - as bytes.decode
        raise ValueError(text)
    return "utf-8" if normal == "utf-8-sig" else codec.name


def whole(
    minimum: int, maximum: int, *, example: str = "4", below: str = "", above: str = ""
) -> Kind:
    """Return the kind of whole numbers from `minimum` to `maximum`."""
    return Kind(
        metavar="N",
        expected=f"a whole number of at least {minimum}",
        example=example,
        types=(int,),
        parse=_parse_whole,
        minimum=minimum,
        maximum=maximum,
        below=below,
        above=above,
    )


def size(minimum: int, maximum: int, *, example: str) -> Kind:
    """Return the kind of sizes in bytes from `minimum` to `maximum`."""
    return Kind(
        metavar="SIZE",
        expected="a size in bytes, K, M, G or T",
        example=example,
        types=(int, str),
        parse=_parse_size,
        show=spell_size,
        minimum=minimum,
        maximum=maximum,
    )


def choice(*words: str) -> Kind:
    """Return the kind of values that are one of `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    *most, last = (f"`{word}`" for word in words)
    return Kind(
        metavar="|".join(words),
        expected=f"{', '.join(most)} or {last}",
        example=words[0],
        types=(str,),
        parse=parse,
        choices=words,
    )


DURATION = Kind(
    metavar="TIME",
    expected="a time in seconds, or with h, m and s",
    example="1h30m",
    types=(int, float, str),
    parse=_parse_duration,
    show=lambda seconds: f"{seconds:.10g}s",
    minimum=0.1,
    maximum=366 * 24 * 3600,
)
RATIO = Kind(
    metavar="N:1",
    expected="a ratio `N:1`, or `N`",
    example="200:1",
    types=(int, str),
    parse=_parse_ratio,
    show=lambda ratio: f"{ratio}:1",
    minimum=1,
    maximum=999_999_999,
)
SHARE = Kind(
    metavar="P%",
    expected="a share `P%`, or a fraction below 1",
    example="0.5%",
    types=(float, str),
    parse=_parse_share,
    show=lambda share: f"{share * 100:g}%",
    minimum=0,
    maximum=1,
)
SWITCH = Kind(
    metavar=None,
    expected="`true` or `false`",
    example="true",
    types=(bool,),
    parse=_parse_switch,
)
PATH = Kind(metavar="PATH", expected="a path", example="./folder", types=(str,), parse=_parse_text)
NAME = Kind(
    metavar="NAME",
    expected="1 to 63 letters, digits, `.`, `_` and `-`, the first a letter or digit",
    example="wordcount",
    types=(str,),
    parse=_matching(_NAME),
)
ADDRESS = Kind(
    metavar="URL",
    expected="the address of a store",
    example="s3://bucket/prefix",
    types=(str,),
    parse=_matching(_ADDRESS),
)
ENDPOINT = Kind(
    metavar="URL",
    expected="the URL of an S3 store, without a user or password",
    example="http://127.0.0.1:9000",
    types=(str,),
    parse=_matching(_ENDPOINT),
)
LISTEN = Kind(
    metavar="HOST:PORT",
    expected="a host and a port, such as 0.0.0.0:7077 or [::]:7077; port 0 is any that is free",
    example="0.0.0.0:7077",
    types=(str,),
    parse=_matching(_LISTEN),
)
REGION = Kind(
    metavar="NAME",
    expected="the name of a region",
    example="eu-central-1",
    types=(str,),
    parse=_matching(_REGION),
)
TEXT = Kind(metavar="NAME", expected="a name", example="kind-kind", types=(str,), parse=_parse_text)
NAMESPACE = Kind(
    metavar="NAME",
    expected="1 to 63 lower-case letters, digits and `-`, the first and last a letter or digit",
    example="analytics",
    types=(str,),
    parse=_matching(_NAMESPACE),
)
REGISTRY = Kind(
    metavar="HOST/PATH",
    expected="a registry, without a scheme, a user or a password",
    example="registry.example.org/team",
    types=(str,),
    parse=_matching(_REGISTRY),
)
IMAGE = Kind(
    metavar="IMAGE",
    expected="the name of an image",
    example="registry.example.org/team/pymr-worker:1",
    types=(str,),
    parse=_matching(_IMAGE),
)
ENCODING = Kind(
    metavar="CODEC",
    expected="a text encoding that Python knows",
    example="latin-1",
    types=(str,),
    parse=_parse_encoding,
)
