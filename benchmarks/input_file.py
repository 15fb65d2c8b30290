"""Files that the measures read: written once, kept for the next time, the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

BYTES_PER_MB = 1_000_000
LINE_WORDS = 12
WORDS_AT_ONCE = 4096 * LINE_WORDS


def written_once(path: Path, blocks: Callable[[], Iterable[bytes]]) -> Path:
    """Return `path`, written from `blocks` if it is not there yet; it is never half a file."""
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            file.writelines(blocks())
        partial.rename(path)
    return path


def text_of(words: list[str]) -> bytes:
    """Return lines of LINE_WORDS words."""
    lines = (" ".join(words[at : at + LINE_WORDS]) for at in range(0, len(words), LINE_WORDS))
    return ("\n".join(lines) + "\n").encode()
