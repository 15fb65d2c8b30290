"""Reads compressed inputs as one stream: gzip, bzip2, xz and zstd.

A compressed file is decided by its first bytes, never by its name, and is not splittable:
one task reads it from the front. Files of several members (`cat a.gz b.gz`) are read whole;
zero bytes after a member are padding; anything else there, an early end or a wrong checksum
is an error that names the file and the place. Output is produced in bounded pieces, so a
small file that expands a thousandfold costs no memory; beyond a ratio it costs no time either.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from pymr.core.spec import InputFile, TextRules
from pymr.errors import InputError
from pymr.records.encoding import ByteStream, Transcoder, is_transcoded
from pymr.records.magic import PIPED
from pymr.records.source import FileSource, RangeReader, Source
from pymr.text_form import show_path

RAW_READ_BYTES = 64 << 10  # of a compressed file at once; one cell of its digest
EXPANSION_FREE_BYTES = 16 << 20  # decoded; of so few bytes no ratio is a bomb
SUFFIXES = {
    b".gz": "gzip",
    b".tgz": "gzip",
    b".bz2": "bz2",
    b".xz": "xz",
    b".zst": "zstd",
    b".zstd": "zstd",
}
XZ_BYTES_MAX = 66 << 20  # what decoding takes; `xz -9` makes files of 65 MiB
# What decoders hold. Of zstd: windows up to level 19; rare files have windows of up to 128 MiB.
DECODER_BYTES = {"gzip": 1 << 20, "bz2": 5 << 20, "xz": XZ_BYTES_MAX, "zstd": 10 << 20}
# Compression → the modules that decode it, best first. A Python may be built without any.
_MODULES = {
    "gzip": ("zlib",),
    "bz2": ("bz2",),
    "xz": ("lzma",),
    "zstd": ("compression.zstd", "backports.zstd"),  # the standard library's from 3.14 on
}


class _Decompressor(Protocol):
    """One member, as the decompressors of the standard library have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def compression_of(head: bytes) -> str | None:
    """Return how a file that begins with `head` (10 bytes or more) is compressed, or None."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    return None


def compression_promised_by(path: bytes) -> str | None:
    """Return how a file of that name should be compressed, or None."""
    dot = path.rfind(b".")
    return SUFFIXES.get(path[dot:].lower()) if dot > path.rfind(b"/") else None


def open_stream(
    file: InputFile, rules: TextRules | None = None, source: Source | None = None
) -> DecodedStream:
    """Open `file` as a stream of its decoded bytes, however many there are.

    With `rules`, text of an encoding that can not be cut at bytes comes out as UTF-8.

    Raises:
        InputError: the file cannot be opened, or its decompressor is not installed.
    """
    source = source or FileSource(file)
    try:
        return DecodedStream(source, rules)
    except BaseException:
        source.close()
        raise


class DecodedStream:
    """The decoded bytes of one file; knows how many raw bytes were read, and their digest.

    It ends in an error where the decompressed bytes are more than `expansion_max` times the
    bytes read for them, but for the first `EXPANSION_FREE_BYTES`.
    """

    def __init__(
        self, source: Source, rules: TextRules | None, expansion_max: int | None = None
    ) -> None:
        file = source.file
        self.source = source
        self.raw = RangeReader(source, 0, file.size, step=RAW_READ_BYTES, read_bytes=RAW_READ_BYTES)
        self._stream: ByteStream = Plain(self.raw)
        if file.compression:
            self._stream = Decompressed(self.raw, file.compression, source, expansion_max)
        if rules and is_transcoded(rules.encoding):
            self._stream = Transcoder(self._stream, rules.encoding, rules.errors, source.name)

    def read(self, length: int) -> bytes:
        """Return 1 to `length` decoded bytes, b"" at the end.

        Raises:
            InputError: the file is truncated, corrupt, followed by something else, or
                expands too much.
            RecordError: it is not in the encoding it should be in.
        """
        return self._stream.read(length)

    def close(self) -> None:
        """Close the file."""
        self.source.close()


class Plain:
    """Bytes as they are."""

    def __init__(self, raw: RangeReader) -> None:
        self._raw = raw
        self._data = b""

    def read(self, length: int) -> bytes:
        """Return 1 to `length` bytes, b"" at the end."""
        data = self._data or self._raw.read()
        data, self._data = data[:length], data[length:]
        return data


class Decompressed:
    """The bytes of all members of a compressed file."""

    def __init__(
        self, raw: RangeReader, compression: str, source: Source, expansion_max: int | None
    ) -> None:
        self._raw = raw
        self._compression = compression
        self._source = source
        self._name = source.name
        self._new, self._errors = _load(compression, source.file)
        self._member: _Decompressor | None = None
        self._data = b""  # read, and not yet given to a member
        self._expansion_max = expansion_max
        self._decoded_bytes = 0

    def read(self, length: int) -> bytes:
        """Return 1 to `length` decoded bytes, b"" at the end."""
        while self._member or self._next_member():
            member = self._member
            assert member is not None
            data = b""
            if member.needs_input and not self._data and not (data := self._raw.read()):
                raise self._broken("it ends in the middle of the data", self._raw.position)
            data, self._data = self._data + data, b""
            try:
                decoded = member.decompress(data, length)
            except self._errors as error:
                if "limit exceeded" in str(error):
                    raise _too_large(self._source.file) from error
                # What is wrong was read before: a checksum comes after what it is of.
                raise self._broken(str(error), self._raw.position, "before") from error
            if member.eof:
                self._data = member.unused_data
                self._member = None
            if decoded:
                self._check_expansion(len(decoded))
                return decoded
        return b""

    def _next_member(self) -> bool:
        """Begin the next member; False at the end of the file. Zeros before it are padding."""
        while True:
            self._data = self._data.lstrip(b"\0")
            if self._data or not (data := self._raw.read()):
                break
            self._data = data
        if not self._data:
            return False
        while len(self._data) < 10 and (data := self._raw.read()):  # noqa: PLR2004 - longest magic
            self._data += data
        if compression_of(self._data[:10]) != self._compression:
            at = self._raw.position - len(self._data)
            raise self._broken(f"`{self._data[:4].hex(' ')}` follows the data", at)
        self._member = self._new()
        return True

    def _check_expansion(self, length: int) -> None:
        """Count `length` decoded bytes; refuse to go on with a decompression bomb."""
        self._decoded_bytes += length
        decoded, read, limit = self._decoded_bytes, self._raw.position, self._expansion_max
        if limit is None or decoded <= max(limit * read, EXPANSION_FREE_BYTES):
            return
        raise InputError(
            f"input `{self._name}` expands {-(-decoded // read)}:1, to {decoded} bytes from its"
            f" first {read}, expected at most {limit}:1",
            hint="--max-expansion with a higher ratio, if the file is to be trusted",
            input=self._name,
            decoded=decoded,
            read=read,
            limit=limit,
        )

    def _broken(self, reason: str, offset: int, where: str = "at") -> InputError:
        return InputError(
            f"broken {self._compression} input `{self._name}` {where} byte {offset}: {reason}",
            hint=piped(self._source.file, _TESTS[self._compression]),
            input=self._name,
            offset=offset,
        )


_TESTS = {"gzip": "gzip -t", "bz2": "bzip2 -t", "xz": "xz -t", "zstd": "zstd -t"}
_DECODERS = {"gzip": "gzip -dc", "bz2": "bzip2 -dc", "xz": "xz -dc"}


def piped(file: InputFile, tool: str) -> str:
    """Return the line of a shell that gives a file, or an object, to a tool."""
    import shlex

    name = shlex.quote(show_path(file.name))
    is_file = file.etag is None or file.shown is not None
    return f"{tool} {name}" if is_file else f"aws s3 cp {name} - | {tool}"


def _without_module(file: InputFile, compression: str) -> str:
    if compression not in _DECODERS:
        return "pip install 'pymr[zstd]'"
    return f"{piped(file, _DECODERS[compression])}{PIPED}"


def _too_large(file: InputFile) -> InputError:
    name = show_path(file.name)
    return InputError(
        f"input `{name}` needs more than {XZ_BYTES_MAX >> 20} MiB to be decompressed,"
        " expected at most what `xz -9` makes",
        hint=_without_module(file, "xz"),
        input=name,
        limit=XZ_BYTES_MAX,
    )


class _GzipMember:
    """zlib's decompressor with the interface of the other three."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(wbits=31)  # 31: a gzip header, CRC and length are checked

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _load(
    compression: str, file: InputFile
) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    """Return what makes a member's decompressor, and what it raises."""
    module = _import_decoder(compression, file)
    match compression:
        case "gzip":
            return _GzipMember, (module.error,)
        case "bz2":
            return module.BZ2Decompressor, (OSError, ValueError)
        case "xz":
            new = partial(module.LZMADecompressor, module.FORMAT_XZ, memlimit=XZ_BYTES_MAX)
            return new, (module.LZMAError,)
        case "zstd":
            return module.ZstdDecompressor, (module.ZstdError,)
    raise AssertionError(compression)


def _import_decoder(compression: str, file: InputFile) -> Any:
    for module in _MODULES[compression]:
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    name = show_path(file.name)
    raise InputError(
        f"cannot read `{name}`: it is {compression} data, and this Python has no"
        f" {compression} module",
        hint=_without_module(file, compression),
        input=name,
    )
