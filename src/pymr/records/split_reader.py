"""Reads one split: yields the mapper's calls, and reports what was read.

    file ─ preads or a decoded stream ─► LineCutter ─ chunks ─► TextDecoder ─► (offset, data)

Laws: the calls of all splits of a file, in order, are the same for every way to cut it into
stretches of whole grid cells; each record is in exactly one call; digests and bytes of the splits
add up to those of the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from types import TracebackType
from typing import Self

from pymr.core.spec import InputFile, Limits, Split, SplitReceipt, TextRules
from pymr.records.compression import DecodedStream, open_stream
from pymr.records.encoding import UTF_8, is_transcoded
from pymr.records.source import RangeReader, Source, open_input
from pymr.records.text import (
    LineCutter,
    LineSplitter,
    TextDecoder,
    cut_encoding,
    last_line_offset,
    line_count,
    long_record,
)
from pymr.store.access import AMBIENT, Access

Call = tuple[int, str | bytes]

# 1 GiB: beyond, counting the lines before a place takes longer than anybody waits for it.
LINE_NUMBER_BYTES_MAX = 1 << 30


def open_split(
    file: InputFile,
    split: Split,
    *,
    input_format: str,
    rules: TextRules,
    limits: Limits,
    access: Access = AMBIENT,
) -> SplitReader:
    """Open `split` of `file`; `input_format` is `text`, `lines` or `whole`.

    `access` opens the store of an object.

    Raises:
        InputError: the file cannot be opened, or is not the one that was planned.
        ConfigError: Python has no encoding of that name.
    """
    source = open_input(file, access)
    try:
        # The byte in front tells whether a line begins at the start.
        source.expect(max(split.start - 1, 0), split.end)
        return SplitReader(source, split, input_format, rules, limits, access)
    except BaseException:
        source.close()
        raise


class SplitReader:
    r"""One split. A context manager, and an iterable of the mapper's calls: one pass, in order.

    A call is `(offset, data)`: the offset of the first byte of the data, in the bytes of the
    file, or in the decoded (and transcoded) bytes of a stream.

    - text: the whole lines whose first byte lies in one grid cell, as they are, as a str;
    - lines: one line without its `\n`, and without a `\r` before it (newline `auto`);
    - whole: the bytes of the file, in the split that holds its first byte; an empty file has
      no call.

    Iterating raises InputError (the file has changed, or is broken) and RecordError (not
    text, or longer than `record_bytes_max`, which counts the bytes before the `\n`).
    """

    def __init__(
        self,
        source: Source,
        split: Split,
        input_format: str,
        rules: TextRules,
        limits: Limits,
        access: Access = AMBIENT,
    ) -> None:
        self.records_done = 0  # records of the calls so far; in `lines`, a cell at a time
        self._source = source
        self._file = source.file
        self._split = split
        self._rules = rules
        self._limits = limits
        self._access = access
        self._skipped = 0
        self._first_offset: int | None = None
        self._last: tuple[int, bytes] = (0, b"")
        self._exhausted = False
        self._splitter = LineSplitter(rules)
        self._decoder = TextDecoder(rules, source.name, self._line_number)
        self._raw, self._read, self._end = self._feed(transcoded=input_format != "whole")
        self._calls: Iterator[Call] = {
            "text": self._text,
            "lines": self._lines,
            "whole": self._whole,
        }[input_format]()

    @property
    def bytes_done(self) -> int:
        """The raw bytes of the split that were read so far."""
        return self._raw.bytes_read

    def __iter__(self) -> Iterator[Call]:
        """Return the calls that are left."""
        return self._calls

    def receipt(self) -> SplitReceipt:
        """Return what was read. Only after the last call.

        Raises:
            InputError: the file has changed since the run was planned.
        """
        assert self._exhausted, "the split was not read to its end"
        self._source.check()
        split, last = self._split, self._last
        return SplitReceipt(
            input=split.input,
            start=split.start,
            end=split.end,
            bytes=self._raw.bytes_read,
            records=self.records_done,
            first_offset=self._first_offset,
            last_offset=last_line_offset(*last) if self._first_offset is not None else None,
            digest=self._raw.digest(),
            carriage_returns=self._splitter.carriage_returns,
            replaced=self._decoder.replaced,
            skipped=self._skipped + self._decoder.skipped,
            grown=self._source.grown,
        )

    def _feed(self, *, transcoded: bool) -> tuple[RangeReader, Callable[[], bytes], int]:
        """Return the raw reader, what reads on, and the end of the range it is read for."""
        file, split, read_bytes = self._file, self._split, self._limits.read_bytes
        if file.stream:
            rules = self._rules if transcoded else None
            stream = DecodedStream(self._source, rules, self._limits.expansion_max)
            return stream.raw, lambda: stream.read(read_bytes), sys.maxsize
        assert not transcoded or not is_transcoded(self._rules.encoding)
        raw = RangeReader(
            self._source, split.start, split.end, step=file.step, read_bytes=read_bytes
        )
        return raw, raw.read, split.end

    def _stretches(self) -> Iterator[tuple[int, bytes, str]]:
        """Yield the chunks, decoded."""
        start = self._split.start
        cutter = LineCutter(
            self._read,
            start=start,
            end=self._end,
            step=self._file.step,
            line_bytes_max=self._limits.record_bytes_max,
            on_long_line=self._on_long_record,
        )
        if start and self._source.read_at(start - 1, 1) != b"\n":
            cutter.skip_line()
        decode = self._decoder.decode
        for chunk_offset, chunk in cutter:
            for offset, raw, text in decode(chunk_offset, chunk):
                self._count(offset, raw, line_count(raw))
                yield offset, raw, text
        self._finish()

    def _text(self) -> Iterator[Call]:
        for offset, _, text in self._stretches():
            yield offset, text

    def _lines(self) -> Iterator[Call]:
        split = self._splitter.split
        return chain.from_iterable(split(*stretch) for stretch in self._stretches())

    def _whole(self) -> Iterator[Call]:
        if self._split.start == 0:
            data = self._read_whole()
            if data:
                self._count(0, b"", 1)
                yield 0, data
        self._finish()

    def _read_whole(self) -> bytes:
        """Return the bytes of the file, or none if they are too many and may be skipped."""
        parts: list[bytes] = []
        size = 0
        while data := self._read():
            size += len(data)
            if size > self._limits.record_bytes_max:
                self._on_long_record(0)
                return b""
            parts.append(data)
        return b"".join(parts)

    def _count(self, offset: int, raw: bytes, records: int) -> None:
        if self._first_offset is None:
            self._first_offset = offset
        self._last = (offset, raw)
        self.records_done += records

    def _finish(self) -> None:
        self._raw.drain()
        self._exhausted = True

    def _on_long_record(self, offset: int) -> None:
        if self._rules.long_records == "skip":
            self._skipped += 1
            return
        limit = self._limits.record_bytes_max
        raise long_record(self._source.name, offset, limit, self._line_number(offset))

    def _line_number(self, offset: int) -> int | None:
        return line_number(self._file, offset, self._rules, self._access)

    def close(self) -> None:
        """Close the file; it may be called twice."""
        self._source.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def lines_in(
    data: str | bytes, offset: int, file: InputFile, rules: TextRules, access: Access = AMBIENT
) -> Iterator[tuple[int, str | bytes]]:
    r"""Yield `(offset, line)` of each line of a text chunk, with its `\n`: to feed it again.

    Raises:
        InputError: the file had to be read again (it is not UTF-8, or bytes were replaced),
            and cannot be.
    """
    if isinstance(data, bytes):
        yield offset, data
        return
    lines = data.split("\n")
    for index, length in enumerate(_line_lengths(data, lines, offset, file, rules, access)):
        line = lines[index] + "\n" if index < len(lines) - 1 else lines[index]
        if line:
            yield offset, line
        offset += length + 1


def _line_lengths(
    data: str, lines: list[str], offset: int, file: InputFile, rules: TextRules, access: Access
) -> Iterator[int]:
    """Yield the number of bytes of each line in the file."""
    if cut_encoding(rules) == UTF_8 and not (rules.errors == "replace" and "\ufffd" in data):
        for line in lines:
            yield len(line.encode(UTF_8, "surrogateescape"))
        return
    # Only the file knows how many bytes a replaced character stood for.
    yield from map(len, _bytes_of_lines(_blocks(file, offset, rules, access), len(lines)))


def _bytes_of_lines(blocks: Iterator[bytes], count: int) -> list[bytes]:
    parts: list[bytes] = []
    newlines = 0
    for block in blocks:
        parts.append(block)
        newlines += block.count(b"\n")
        if newlines >= count:
            break
    return b"".join(parts).split(b"\n")[:count]


def line_number(
    file: InputFile, offset: int, rules: TextRules | None = None, access: Access = AMBIENT
) -> int | None:
    """Return the 1-based number of the line that holds the byte at `offset`.

    Reads the file up to there (a stream is decoded again, by `rules` if it is transcoded).
    None: `offset` is beyond 1 GiB, which would take too long.

    Raises:
        InputError: the file has changed, or cannot be read.
    """
    with LineNumbers(file, rules or TextRules(), access) as numbers:
        return numbers.at(offset)


class LineNumbers:
    """Tells the lines of ascending offsets of one input, which is read once. A context manager."""

    def __init__(self, file: InputFile, rules: TextRules, access: Access = AMBIENT) -> None:
        self._blocks = _blocks(file, 0, rules, access)
        self._block = b""
        self._start = 0  # of the block
        self._counted = 0  # bytes of it in which newlines were counted
        self._number = 1  # of the line that begins behind those

    def at(self, offset: int) -> int | None:
        """As `line_number`; `offset` is not less than that of the call before.

        Raises:
            InputError: the file has changed, or cannot be read.
        """
        if offset > LINE_NUMBER_BYTES_MAX:
            return None
        while True:
            until = min(offset - self._start, len(self._block))
            self._number += self._block.count(b"\n", self._counted, until)
            self._counted = until
            if until < len(self._block) or self._start + until == offset:
                return self._number
            self._start, self._counted = self._start + len(self._block), 0
            self._block = next(self._blocks, b"")
            if not self._block:
                return self._number

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._blocks.close()


def _blocks(
    file: InputFile, start: int, rules: TextRules, access: Access
) -> Generator[bytes, None, None]:
    """Yield the decoded bytes of a file from `start` on."""
    read_bytes = Limits().read_bytes
    with open_input(file, access) as source:
        if not file.stream:
            raw = RangeReader(source, start, file.size, step=file.step, read_bytes=read_bytes)
            yield from iter(raw.read, b"")
            return
        stream = open_stream(file, rules, source)
        position = 0
        while block := stream.read(read_bytes):
            if position + len(block) > start:
                yield block[max(0, start - position) :]
            position += len(block)
