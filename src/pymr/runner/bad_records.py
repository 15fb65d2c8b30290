"""The bad records of a run: of its result, or of what it has finished so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from pymr.core.events import AttemptFailed
from pymr.errors import BadRecordsError, ObjectMissingError, PymrError
from pymr.runner.find import FoundRun, committed_manifest, history_of
from pymr.runner.stored import read_stored
from pymr.store.base import ObjectStore
from pymr.task.bad_record import BadRecord, read_bad_records
from pymr.task.commit import open_part
from pymr.task.manifest import Manifest, bad_file


def bad_records_in(store: ObjectStore, manifest: Manifest) -> Iterator[BadRecord]:
    """Yield the bad records of a result, in the order of the input.

    Raises:
        CorruptDataError: they are not what was written.
    """
    for part in manifest.bad_records.files if manifest.bad_records is not None else ():
        yield from read_bad_records(open_part(store, part))


def bad_records_of(found: FoundRun) -> Iterator[BadRecord]:
    """Yield the bad records of a run; of one without a result those that it knows of.

    Those are the ones of finished tasks, and examples from a task that had too many.
    """
    store = found.place.objects
    manifest = committed_manifest(found.place)
    if manifest is not None and manifest.run == found.run:
        yield from bad_records_in(store, manifest)
        return
    finished = set()
    with suppress(PymrError):  # It has no plan, or one of another version.
        for receipt in read_stored(found.place, found.run).replay.committed.values():
            if receipt.bad_object is not None:
                finished.add(receipt.attempt.task)
                with suppress(ObjectMissingError):  # `pymr cancel` was here.
                    part = bad_file(receipt, receipt.bad_object)
                    yield from read_bad_records(open_part(store, part))
    yield from _examples(found, finished)


def _examples(found: FoundRun, finished: set[int]) -> Iterator[BadRecord]:
    """Yield what tasks that are not finished have told, each the last time."""
    told: dict[int, object] = {}
    for entry in history_of(found):
        match entry.event:
            case AttemptFailed(attempt, error) if error["type"] == BadRecordsError.__name__:
                told[attempt.task] = error["fields"].get("examples", [])
    for task in sorted(told.keys() - finished):
        yield from msgspec.convert(told[task], list[BadRecord])
