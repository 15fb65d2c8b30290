"""Many inputs in little memory look like a tuple of them."""

from __future__ import annotations

import pytest

from pymr.core.spec import InputFile
from pymr.records.packed_files import PAGE_FILES, PackedFiles

FILES = [
    InputFile(b"s3://b/\xff%d" % n, n, 1, compression="gzip" if n % 2 else None, etag=f'"{n}"')
    for n in range(2 * PAGE_FILES + 7)
]


def packed(count: int) -> PackedFiles:
    """Return the first few."""
    files = PackedFiles()
    for file in FILES[:count]:
        files.append(file)
    return files


@pytest.mark.parametrize("count", [0, 1, PAGE_FILES - 1, PAGE_FILES, PAGE_FILES + 1, len(FILES)])
def test_what_was_added_comes_out(count: int) -> None:
    """One by one, by index, as slices and in reverse."""
    files = packed(count)

    assert (len(files), list(files)) == (count, FILES[:count])
    assert [files[index] for index in range(-count, count)] == FILES[:count] * 2
    assert (files[3 : count - 2], list(reversed(files))) == (
        FILES[:count][3 : count - 2],
        FILES[:count][::-1],
    )
    with pytest.raises(IndexError):
        files[count]


def test_a_drained_one_is_empty() -> None:
    """What was given out is forgotten."""
    files = packed(len(FILES))

    assert list(files.drain()) == FILES
    assert len(files) == 0
