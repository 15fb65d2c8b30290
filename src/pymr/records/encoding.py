r"""Which encodings cannot be cut at bytes, and their transcoding.

Records are cut at the byte `\n` before anything is decoded. That is right for UTF-8, the
ISO 8859 family, Windows code pages, Shift JIS and most others. Where `\n` is not one byte,
or a line can not be decoded without those before it (UTF-16, UTF-32, UTF-7, ISO 2022, HZ,
EBCDIC), the file is read as a stream, in one task, and becomes UTF-8 before it is cut.
"""

from __future__ import annotations

import codecs
from typing import Protocol

from pymr.errors import RecordError

UTF_8 = "utf-8"

# Stateful: a line means something else after another line. `\n` itself is one byte in them.
_STATEFUL = ("utf-7", "iso2022", "hz")

# A byte that UTF-8 never has: it stands in transcoded text for bytes that were no text, so
# that they are then replaced, skipped and counted by the record they are in, as everywhere.
_MARK = b"\xff"
_MARK_HANDLER = "pymr-mark"


class ByteStream(Protocol):
    """A stream of bytes from front to back."""

    def read(self, length: int) -> bytes:
        """Return 1 to `length` bytes, b"" at the end."""


def is_transcoded(encoding: str) -> bool:
    """Return whether text of `encoding`, by its one name, becomes UTF-8 before it is cut."""
    return encoding.startswith(_STATEFUL) or "\n".encode(encoding) != b"\n"


class Transcoder:
    """A stream of UTF-8 made from a stream of bytes in another encoding.

    Where `errors` is not `strict`, bytes that are no text become one byte 0xFF, which no
    UTF-8 has; the reader of records then does with it what `errors` says.
    """

    def __init__(self, stream: ByteStream, encoding: str, errors: str, name: str) -> None:
        codecs.register_error(_MARK_HANDLER, _mark)
        handler = "strict" if errors == "strict" else _MARK_HANDLER
        self._decoder = codecs.getincrementaldecoder(encoding)(handler)
        self._stream = stream
        self._encoding = encoding
        self._name = name
        self._read = 0  # bytes given to the decoder
        self._lines = 0  # ends of lines that came out of it
        self._text = b""
        self._ended = False

    def read(self, length: int) -> bytes:
        """Return 1 to `length` bytes of UTF-8, b"" at the end.

        Raises:
            RecordError: `errors` is `strict` and bytes are no text; `offset` counts the bytes
                of the encoding, not of UTF-8.
        """
        while not self._text and not self._ended:
            data = self._stream.read(length)
            self._ended = not data
            self._text = self._transcode(data)
        text, self._text = self._text[:length], self._text[length:]
        return text

    def _transcode(self, data: bytes) -> bytes:
        state = self._decoder.getstate()
        pending = len(state[0])  # bytes of a character that is not complete
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._decoder.setstate(state)
            good = self._decoder.decode(data[: max(0, error.start - pending)])
            raise undecodable(
                error,
                encoding=self._encoding,
                name=self._name,
                offset=self._read - pending + error.start,
                line=self._lines + good.count("\n") + 1,
            ) from error
        self._read += len(data)
        encoded = text.encode(UTF_8, _MARK_HANDLER)
        self._lines += encoded.count(b"\n")
        return encoded


def undecodable(
    error: UnicodeDecodeError, *, encoding: str, name: str, offset: int, line: int | None
) -> RecordError:
    """Return the error for bytes at `offset` of the input `name` that are no text."""
    seen = error.object[error.start : error.start + 16].hex(" ")
    where = f"line {line}, byte {offset}" if line else f"byte {offset}"
    return RecordError(
        f"input `{name}` is not {encoding} at {where}: `{seen}`, {error.reason}",
        hint="--encoding NAME, or --errors replace",
        input=name,
        offset=offset,
        line=line,
        bytes=seen,
    )


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return _MARK.decode("ascii", "surrogateescape"), error.end
    assert isinstance(error, UnicodeEncodeError)
    # The mark itself, or a lone surrogate, which UTF-7 can hold and UTF-8 can not.
    return _MARK * (error.end - error.start), error.end
