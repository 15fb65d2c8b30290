"""Which inputs are no longer those that were planned: files by `stat`, objects by their ETag."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from pymr.core.spec import InputFile
from pymr.errors import ObjectMissingError
from pymr.records.source import compare
from pymr.store.access import Access
from pymr.text_form import show_path

LOOKED_UP_MAX: Final = 16  # objects that are looked up at a time

Change = tuple[str, str]  # the name of an input, and what has become of it


def changes(inputs: Sequence[InputFile], folder: str, access: Access) -> Iterator[Change]:
    """Yield the inputs that have changed; relative names of files are looked up in `folder`.

    Raises:
        StoreError: the store of an object refused or failed.
    """
    place = os.fsencode(folder)
    files = (file for file in inputs if file.etag is None)
    yield from filter(None, (_changed_file(file, place) for file in files))
    objects = [file for file in inputs if file.etag is not None]
    if not objects:
        return
    from concurrent.futures import ThreadPoolExecutor

    left = iter(objects)
    with ThreadPoolExecutor(LOOKED_UP_MAX, thread_name_prefix="pymr-look") as pool:
        while some := list(islice(left, 64 * LOOKED_UP_MAX)):
            yield from filter(None, pool.map(lambda file: _changed_object(file, access), some))


def _changed_file(file: InputFile, folder: bytes) -> Change | None:
    try:
        seen = os.stat(file.spool or os.path.join(folder, file.path))
    except OSError as error:
        return show_path(file.name), error.strerror or "it cannot be found"
    difference = compare(seen, file)
    return difference and _change(file, *difference)


def _changed_object(file: InputFile, access: Access) -> Change | None:
    from pymr.records.object_source import compare_version, locate

    objects, key = locate(file.path, access)
    try:
        difference = compare_version(objects.look(key), file)
    except ObjectMissingError:
        return show_path(file.name), "it is gone"
    return difference and _change(file, *difference)


def _change(file: InputFile, seen: str, expected: str) -> Change:
    return show_path(file.name), f"{seen}, expected {expected}"
