"""`_bad/`: it is published with the parts, replaced with them, and checked with them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pymr import names
from pymr.core.spec import Attempt, BadObject, Receipt
from pymr.errors import CorruptDataError, OutputError
from pymr.store.base import ObjectStore
from pymr.store.local import LocalStore
from pymr.task.commit import publish, remove_attempts, verify_attempt, verify_output
from pymr.task.manifest import Manifest, ManifestBadRecords, ManifestPart, read_manifest
from staged_run import NEW, OLD, keys, memory_store, published, read, shown, stage

ROWS = b'{"line":1}\n{"line":2}\n'


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


def bad_file(store: ObjectStore, run: str, task: int, rows: bytes = ROWS) -> ManifestPart:
    key = names.bad_key(run, task, 2, "nonce")
    store.put_if_absent(key, rows)
    return ManifestPart(
        name=names.bad_name(task),
        key=key,
        records=rows.count(b"\n"),
        bytes=len(rows),
        sha256=hashlib.sha256(rows).hexdigest(),
    )


def stage_bad(store: ObjectStore, run: str, *tasks: int, **changes: Any) -> Manifest:
    files = tuple(bad_file(store, run, task) for task in tasks)
    bad = ManifestBadRecords(count=2 * len(files), files=files)
    return stage(store, run, OLD, bad_records=bad, **changes)


def maps(store: ObjectStore) -> list[str]:
    return [key for key in keys(store) if names.is_map_output(key)]


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_bad_records_are_published_and_map_outputs_kept(store: LocalStore, kind: str) -> None:
    """Tools find them beside the parts; a replay finds what it needs."""
    target: ObjectStore = memory_store() if kind == "memory" else store

    publish(target, stage_bad(target, "r1", 0, 2))

    assert target.get("_bad/map-00000.jsonl") == ROWS
    assert target.get("_bad/map-00002.jsonl") == ROWS
    assert shown(target) == read(target) == OLD
    assert verify_output(target) == []
    assert len(maps(target)) == len(OLD)
    assert not [key for key in keys(target) if key.endswith("lost") or "tmp" in key]


def test_who_knows_which_map_outputs_count_may_remove_the_others(store: LocalStore) -> None:
    """The journal names them; what it does not name is no good for a replay."""
    publish(store, stage_bad(store, "r1", 0))
    kept = maps(store)[:1]

    remove_attempts(store, "r1", but=kept)

    assert maps(store) == kept
    assert verify_output(store) == []


def test_a_damaged_or_missing_file_of_bad_records_is_found(store: LocalStore) -> None:
    """They are part of the result."""
    publish(store, stage_bad(store, "r1", 0, 1))
    store.replace("_bad/map-00000.jsonl", b"{}\n")
    store.delete("_bad/map-00001.jsonl")
    store.put_if_absent("_bad/map-00007.jsonl", b"")

    found = {difference.key for difference in verify_output(store)}

    assert found == {"_bad/map-00000.jsonl", "_bad/map-00001.jsonl", "_bad/map-00007.jsonl"}


def test_an_overwritten_output_has_no_bad_records_of_the_old_one(store: LocalStore) -> None:
    """The folder goes, with its files; a file of the user in it stays."""
    publish(store, stage_bad(store, "r1", 0))

    published(store, "r2", NEW, replaces="r1")

    assert not (Path(store.root) / "_bad").exists()
    assert maps(store) == []


def test_a_file_of_the_user_in_the_folder_stays(store: LocalStore) -> None:
    """Only names that PyMR makes are PyMR's."""
    publish(store, stage_bad(store, "r1", 0))
    store.put_if_absent("_bad/notes.txt", b"mine")

    published(store, "r2", NEW, replaces="r1")

    assert [key for key in keys(store) if key.startswith("_bad/")] == ["_bad/notes.txt"]


def test_fewer_bad_records_replace_more(store: LocalStore) -> None:
    """A file without a successor goes."""
    publish(store, stage_bad(store, "r1", 0, 1))

    publish(store, stage_bad(store, "r2", 1, replaces="r1"))

    assert [key for key in keys(store) if key.startswith("_bad/")] == ["_bad/map-00001.jsonl"]
    assert verify_output(store) == []


def test_somebody_elses_file_is_not_replaced(store: LocalStore) -> None:
    """Without `--overwrite` a name that is taken stops the publication, before anything."""
    store.put_if_absent("_bad/map-00000.jsonl", b"other\n")

    with pytest.raises(OutputError, match=r"`_bad/map-00000\.jsonl`"):
        publish(store, stage_bad(store, "r1", 0))

    assert read(store) is None


def test_a_later_epoch_of_the_run_replaces_its_own_result(store: LocalStore) -> None:
    """As after a replay: readers see the old or the new, and the run's folder stays."""
    publish(store, stage_bad(store, "r1", 0))
    key = names.attempt_key("r1", "reduce", 0, 1001, "nonce")
    store.put_if_absent(key, b"a\t7\n")
    digest = hashlib.sha256(b"a\t7\n").hexdigest()
    part = ManifestPart(name="part-00000.tsv", key=key, records=1, bytes=4, sha256=digest)
    later = msgspec.structs.replace(
        read_manifest(store), epoch=2, replaces="r1", parts=(part,), bad_records=None, digest=""
    )

    publish(store, later)

    assert read(store) == shown(store) == [b"a\t7\n"]
    assert keys(store) == [
        "_SUCCESS",
        "_pymr/MANIFEST.json",
        "_pymr/r1/journal",
        key,
        "part-00000.tsv",
    ]
    assert publish(store, msgspec.structs.replace(later, epoch=1)).epoch == 2


def receipt_with_bad(store: ObjectStore, **changes: Any) -> Receipt:
    store.replace("part", b"a\t1\n")
    store.replace("bad", ROWS)
    fields = {"key": "bad", "size": len(ROWS), "sha256": hashlib.sha256(ROWS).hexdigest()}
    bad = BadObject(error="", **fields | changes)  # type: ignore[arg-type]
    return Receipt(
        attempt=Attempt("map", 0, 1),
        key="part",
        size=4,
        code_digest="",
        bad_records=2,
        bad_object=bad,
    )


def test_an_attempt_counts_with_its_bad_records_only(store: LocalStore) -> None:
    """What is left out must be there to be looked at."""
    receipt = receipt_with_bad(store)

    verify_attempt(store, receipt)

    for wrong, what in [
        (receipt_with_bad(store, key="gone"), "is missing"),
        (receipt_with_bad(store, size=5), "expected 5"),
        (receipt_with_bad(store, sha256="00"), "bad records `bad` are corrupt"),
        (msgspec.structs.replace(receipt, bad_records=3), "expected 3 with"),
    ]:
        with pytest.raises(CorruptDataError, match=what):
            verify_attempt(store, wrong)


@pytest.mark.parametrize(
    ("name", "is_bad"),
    [
        ("_bad/map-00000.jsonl", True),
        ("_bad/map-123456.jsonl", True),
        ("_bad/map-123.jsonl", False),
        ("_bad/map-0000x.jsonl", False),
        ("map-00000.jsonl", False),
        ("_bad/map-00000", False),
    ],
)
def test_names_of_bad_records_are_told_from_others(name: str, *, is_bad: bool) -> None:
    """Only those are PyMR's to remove."""
    assert names.is_bad_name(name) is is_bad
