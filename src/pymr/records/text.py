r"""Cuts bytes into chunks of whole lines, and makes text of them.

Laws:
- bytes are cut at `\n` only, before anything is decoded; NEL, LS, VT, FF and a lone `\r`
  are data;
- a line belongs to the grid cell in which its first byte lies, so the chunks are a function
  of the file alone, wherever a split begins or ends;
- a chunk is a stretch of bytes of the file: `offset + len(raw)` is where it ends. Where a line
  is left out (too long, not text), the chunk ends before it and another begins after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pymr._native import count_newlines, line_offsets
from pymr.core.spec import TextRules
from pymr.errors import RecordError
from pymr.records.encoding import UTF_8, is_transcoded, undecodable

BOM = b"\xef\xbb\xbf"
LONG_CHUNK_BYTES = 4 << 20  # where a copy of the rest of a read costs little beside the chunk

Stretch = tuple[int, bytes]  # bytes of the file at an offset, whole lines


class LineCutter:
    """Cuts what `read` returns, which begins at `start`, into chunks of whole lines.

    Iterating yields `(offset, raw)` in order, one for each grid cell of [start, end) in
    which a line begins. Holds a cell, one line of at most `line_bytes_max` and one read; a
    good line that is longer than a read is held twice while it is put together.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        *,
        start: int,
        end: int,
        step: int,
        line_bytes_max: int,
        on_long_line: Callable[[int], None],
    ) -> None:
        """Begin at `start`; `end` may lie beyond the last byte.

        `on_long_line(offset)` raises, or the line is left out.
        """
        self._read = read
        self._position = start  # of the next line
        self._end = end
        self._step = step
        self._line_bytes_max = line_bytes_max
        self._on_long_line = on_long_line
        self._base = start  # offset of the first byte of `_data`
        self._data = b""
        self._long_line_read = start  # how far a line that is too long was read

    def skip_line(self) -> None:
        r"""Go to the first line that begins after the next `\n`, or to the end of the range."""
        self._base, self._data = self._position, self._data[self._position - self._base :]
        while (newline := self._data.find(b"\n")) < 0 and self._base + len(self._data) < self._end:
            self._base += len(self._data)
            self._data = self._read()
            if not self._data:
                break
        self._position = self._base + (newline + 1 if newline >= 0 else len(self._data))

    def __iter__(self) -> Iterator[Stretch]:
        """Yield the chunks."""
        while self._position < self._end:
            start = self._position
            cell_end = (start // self._step + 1) * self._step
            stop, too_long = self._next_line(min(cell_end, self._end))
            if stop > start:
                raw = self._take(stop)
                yield from self._within_limit(start, raw)
            if too_long:
                self._on_long_line(stop)
                self._forget_long_line()
            elif stop == start:
                return  # The stream has ended.

    def _take(self, stop: int) -> bytes:
        raw = self._data[self._position - self._base : stop - self._base]
        self._position = stop
        if len(raw) > LONG_CHUNK_BYTES:  # Not to be held twice while it is decoded and mapped.
            self._base, self._data = stop, self._data[stop - self._base :]
        return raw

    def _next_line(self, boundary: int) -> tuple[int, bool]:
        """Return where the first line at or after `boundary` begins, or where the bytes end.

        With True: where the line begins that is too long, if it is the last one before it.
        """
        newline = self._data.find(b"\n", boundary - 1 - self._base)
        if newline >= 0:
            return self._base + newline + 1, False
        self._base, self._data = self._position, self._data[self._position - self._base :]
        return self._read_to_newline(boundary - 1)

    def _read_to_newline(self, at: int) -> tuple[int, bool]:
        r"""Read until there is a `\n` at or after the offset `at`; none is there yet."""
        parts = [self._data]
        stop = self._base + len(self._data)  # of what was read
        line = -1  # where the last line before `at` begins
        while True:
            if line < 0 and stop > at:
                parts = [b"".join(parts)]
                line = self._base + parts[0].rfind(b"\n", 0, at - self._base) + 1
            if line >= 0 and stop - line > self._line_bytes_max:
                self._data = parts[0]  # The line's own bytes are not needed any more.
                self._long_line_read = stop
                return line, True
            data = self._read()
            newline = data.find(b"\n", max(0, at - stop))
            parts.append(data)
            if newline >= 0 or not data:
                self._data = b"".join(parts)
                return stop + newline + 1, False
            stop += len(data)

    def _forget_long_line(self) -> None:
        self._position = self._base = self._long_line_read
        self._data = b""
        self.skip_line()

    def _within_limit(self, offset: int, raw: bytes) -> Iterator[Stretch]:
        """Yield `raw` without its long lines."""
        if len(raw) <= self._line_bytes_max:
            yield offset, raw
            return
        yield from stretches_of(offset, raw, self._is_within_limit)

    def _is_within_limit(self, offset: int, line: bytes) -> bool:
        if len(line) - line.endswith(b"\n") <= self._line_bytes_max:
            return True
        self._on_long_line(offset)
        return False


def stretches_of(
    offset: int, raw: bytes, is_good: Callable[[int, bytes], bool]
) -> Iterator[Stretch]:
    """Yield the longest stretches of lines of `raw` for which `is_good(offset, line)` holds."""
    begin = position = 0
    while position < len(raw):
        newline = raw.find(b"\n", position)
        stop = newline + 1 if newline >= 0 else len(raw)
        if not is_good(offset + position, raw[position:stop]):
            if begin < position:
                yield offset + begin, raw[begin:position]
            begin = stop
        position = stop
    if begin < len(raw):
        yield offset + begin, raw[begin:]


class TextDecoder:
    """Makes text of chunks, by the rules of the run, and counts what it had to change."""

    def __init__(
        self, rules: TextRules, name: str, line_number: Callable[[int], int | None]
    ) -> None:
        """`line_number(offset)` is asked once, for an error."""
        self.replaced = 0
        self.skipped = 0
        self._encoding = cut_encoding(rules)
        self._errors = rules.errors
        self._name = name
        self._line_number = line_number

    def decode(self, offset: int, raw: bytes) -> Iterator[tuple[int, bytes, str]]:
        """Yield `(offset, raw, text)` of whole lines; a byte order mark at 0 is left out.

        Raises:
            RecordError: `errors` is `strict` and bytes are no text.
        """
        if offset == 0 and self._encoding == UTF_8 and raw.startswith(BOM):
            offset, raw = len(BOM), raw[len(BOM) :]
            if not raw:
                return
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            yield from self._decode_damaged(offset, raw, error)
        else:
            yield offset, raw, text

    def _decode_damaged(
        self, offset: int, raw: bytes, error: UnicodeDecodeError
    ) -> Iterator[tuple[int, bytes, str]]:
        match self._errors:
            case "strict":
                at = offset + error.start
                raise undecodable(
                    error,
                    encoding=self._encoding,
                    name=self._name,
                    offset=at,
                    line=self._line_number(at),
                ) from error
            case "skip":
                for start, stretch in stretches_of(offset, raw, self._keep):
                    yield start, stretch, stretch.decode(self._encoding)
            case handler:
                lines = raw.split(b"\n")
                self.replaced += sum(not self._is_text(line) for line in lines)
                texts = [line.decode(self._encoding, handler) for line in lines]
                yield offset, raw, "\n".join(texts)

    def _keep(self, offset: int, line: bytes) -> bool:
        is_text = self._is_text(line)
        self.skipped += not is_text
        return is_text

    def _is_text(self, line: bytes) -> bool:
        try:
            line.decode(self._encoding)
        except UnicodeDecodeError:
            return False
        return True


class LineSplitter:
    """Makes single lines of chunks of text, without their ends."""

    def __init__(self, rules: TextRules) -> None:
        self.carriage_returns = 0
        self._strip = rules.newline == "auto"

    def split(self, offset: int, raw: bytes, text: str) -> Iterator[tuple[int, str]]:
        """Return `(offset, line)` of each line. `text` is `raw`, decoded line by line."""
        # One character is sought ten times as fast as two.
        if self._strip and "\r" in text and "\r\n" in text:
            self.carriage_returns += text.count("\r\n")
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        if raw.endswith(b"\n"):
            lines.pop()
        return zip(line_offsets(offset, raw), lines, strict=False)


def line_count(raw: bytes) -> int:
    """Return the number of lines in a chunk."""
    return count_newlines(raw) + (not raw.endswith(b"\n"))


def last_line_offset(offset: int, raw: bytes) -> int:
    """Return where the last line of a chunk begins."""
    return offset + raw.rfind(b"\n", 0, len(raw) - 1) + 1


def cut_encoding(rules: TextRules) -> str:
    """Return the encoding of the bytes that are cut: of a transcoded stream it is UTF-8."""
    return UTF_8 if is_transcoded(rules.encoding) else rules.encoding


def long_record(name: str, offset: int, limit: int, line: int | None) -> RecordError:
    """Return the error for a record at `offset` of the input `name` with too many bytes."""
    where = f"line {line}, byte {offset}" if line else f"byte {offset}"
    return RecordError(
        f"input `{name}` has a record of more than {limit} bytes at {where}",
        hint="--max-record SIZE, or --long-records skip",
        input=name,
        offset=offset,
        line=line,
        limit=limit,
    )
