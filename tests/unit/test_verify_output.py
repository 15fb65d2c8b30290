"""The reader's side: parts are checked as they are read, and `verify` finds what differs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pymr import names
from pymr.errors import (
    CorruptDataError,
    ObjectMissingError,
    RunNotFoundError,
)
from pymr.store.local import LocalStore
from pymr.task.commit import open_part, verify_output
from staged_run import NEW, OLD, published


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


def test_a_part_is_read_in_pieces_and_checked_at_its_end(store: LocalStore) -> None:
    """A large part comes in pieces; a reader who stops early is not made to read the rest."""
    body = b"x" * 2_500_000
    manifest = published(store, "r1", [body])

    chunks = open_part(store, manifest.parts[0])

    assert len(next(chunks)) < len(body)
    assert b"".join(open_part(store, manifest.parts[0])) == body


def test_a_part_that_was_changed_is_not_passed_off(store: LocalStore) -> None:
    """Whoever reads a part to its end learns that it is not what was committed."""
    manifest = published(store, "r1", OLD)
    store.replace(manifest.parts[0].key, b"a\t1\nb\t3\n")

    with pytest.raises(CorruptDataError, match="its SHA-256 is") as caught:
        list(open_part(store, manifest.parts[0]))

    assert caught.value.fields["key"] == manifest.parts[0].key


def test_a_reader_of_a_replaced_output_is_told(store: LocalStore) -> None:
    """An old manifest names objects that are gone, never objects that are other ones."""
    old = published(store, "r1", OLD)
    published(store, "r2", NEW, replaces="r1")

    with pytest.raises(ObjectMissingError):
        list(open_part(store, old.parts[0]))


def test_each_difference_is_found_and_named(store: LocalStore) -> None:
    """`verify` reads all again: objects, shown parts, extra and missing ones, `_SUCCESS`."""
    manifest = published(store, "r1", OLD)
    store.replace(manifest.parts[0].key, b"a\t1\nb\t9\n")
    store.replace("part-00001.tsv", b"c\t3\nd\t4\n")
    store.delete("part-00002.tsv")
    store.put_if_absent("part-00003.tsv", b"")
    store.delete(names.SUCCESS)

    found = [(d.key, d.what, d.found) for d in verify_output(store)]

    sha256 = [hashlib.sha256(body).hexdigest() for body in (b"a\t1\nb\t9\n", b"c\t3\nd\t4\n")]
    assert found == [
        (manifest.parts[0].key, "sha256", sha256[0]),
        ("part-00001.tsv", "bytes", "8"),
        ("part-00001.tsv", "records", "2"),
        ("part-00001.tsv", "sha256", sha256[1]),
        ("part-00002.tsv", "object", "missing"),
        ("part-00003.tsv", "object", "extra"),
        ("_SUCCESS", "object", "missing"),
    ]
    assert str(verify_output(store)[-1]) == "`_SUCCESS`: object missing, expected present"


def test_a_success_of_another_run_is_a_difference(store: LocalStore) -> None:
    """`_SUCCESS` holds the manifest's bytes, so it says which run the parts are of."""
    published(store, "r1", OLD)
    store.replace(names.SUCCESS, b"")

    [difference] = verify_output(store)

    assert str(difference) == (
        "`_SUCCESS`: content other bytes, expected that of _pymr/MANIFEST.json"
    )


def test_a_changed_manifest_is_a_difference(store: LocalStore) -> None:
    """With a corrupt manifest nothing else can be said about the output."""
    published(store, "r1", OLD)
    store.replace(names.MANIFEST, store.get(names.MANIFEST).replace(b"name-r1", b"name-r9"))

    [difference] = verify_output(store)

    said = str(difference)
    assert said.startswith("`_pymr/MANIFEST.json`: content corrupt (its digest is `")
    assert said.endswith("`), expected what was written")


def test_verifying_nothing_is_an_error(store: LocalStore) -> None:
    """No output is not an output without differences."""
    with pytest.raises(RunNotFoundError):
        verify_output(store)
