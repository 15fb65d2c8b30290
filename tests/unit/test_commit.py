"""Commit and publish: nothing before the manifest, all of it after, from any crash on."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pymr import names
from pymr.errors import (
    CorruptDataError,
    ObjectExistsError,
    OutputError,
    ResourceError,
    StoreError,
)
from pymr.store.base import ObjectStore
from pymr.store.journal import Journal
from pymr.store.local import LocalStore
from pymr.store.object_store import ObstoreStore
from pymr.task.commit import is_shown, publish, remove_attempts, verify_output
from pymr.task.manifest import (
    ManifestPart,
    encode_manifest,
    read_manifest,
)
from staged_run import NEW, OLD, keys, memory_store, published, read, shown, stage


class StoppedError(BaseException):
    """The process dies here."""


class StoppingStore:
    """A store that dies before or after its `number`-th change (from 1)."""

    def __init__(self, store: ObjectStore, number: int, *, after: bool) -> None:
        self._store = store
        self._left = number
        self._after = after
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name not in {"put_if_absent", "replace", "copy", "delete", "delete_folder", "sync"}:
            return call

        def change(*arguments: Any, **options: Any) -> None:
            self.changes.append(f"{name} {arguments[0]}")
            self._left -= 1
            if self._left == 0 and not self._after:
                raise StoppedError
            call(*arguments, **options)
            if self._left == 0:
                raise StoppedError

        return change


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


@pytest.mark.parametrize("make_store", [None, memory_store])
def test_a_published_output_is_read_by_both_contracts(
    store: LocalStore, make_store: Callable[[], ObstoreStore] | None
) -> None:
    """The manifest, the parts and `_SUCCESS` say the same; nothing else of the run stays."""
    target: ObjectStore = make_store() if make_store else store

    manifest = published(target, "r1", OLD)

    assert read(target) == OLD
    assert shown(target) == OLD
    assert verify_output(target) == []
    assert manifest == read_manifest(target)
    assert keys(target) == [
        "_SUCCESS",
        "_pymr/MANIFEST.json",
        "_pymr/r1/journal",
        *(part.key for part in manifest.parts),
        "part-00000.tsv",
        "part-00001.tsv",
        "part-00002.tsv",
    ]


def test_intermediate_data_stays_when_it_is_to_be_kept(store: LocalStore) -> None:
    """`keep` removes nothing."""
    manifest = stage(store, "r1", OLD)
    before = keys(store)

    publish(store, manifest, keep=True)

    assert set(before) < set(keys(store))


def test_the_parts_of_a_map_only_job_stay(store: LocalStore) -> None:
    """What the manifest names is kept wherever it lies, in the map folder too."""
    key = names.attempt_key("r1", "map", 0, 1, "nonce")
    manifest = stage(store, "r1", [])
    store.put_if_absent(key, b"a\t1\n")
    part = ManifestPart(
        name="part-00000.tsv",
        key=key,
        records=1,
        bytes=4,
        sha256=hashlib.sha256(b"a\t1\n").hexdigest(),
    )

    publish(store, msgspec.structs.replace(manifest, parts=(part,)))

    assert read(store) == [b"a\t1\n"]


def test_the_manifest_that_is_visible_stands(store: LocalStore) -> None:
    """A later life may have lost the end of its journal, and have other attempts to show."""
    first = published(store, "r1", OLD)
    key = names.attempt_key("r1", "reduce", 0, 1001, "nonce")
    store.put_if_absent(key, b"z\t9\n")
    digest = hashlib.sha256(b"z\t9\n").hexdigest()
    other = ManifestPart(name="part-00000.tsv", key=key, records=1, bytes=4, sha256=digest)

    again = publish(store, msgspec.structs.replace(first, parts=(other,)))

    assert again == first
    assert read(store) == shown(store) == OLD


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_first_publish_may_die_anywhere(tmp_path: Path, *, after: bool) -> None:
    """At every step a reader sees no output or all of it; a second try completes it."""
    reached = set()
    for number in range(1, 100):
        store = LocalStore(str(tmp_path / str(number)))
        manifest = stage(store, "r1", OLD)
        stopping = StoppingStore(store, number, after=after)
        try:
            publish(stopping, manifest)
        except StoppedError:
            seen = read(store)
            assert seen in (None, OLD)
            assert shown(store) in (None, OLD)
            reached.add((seen is None, shown(store) is None))
            later = msgspec.structs.replace(manifest, finished=99.5)
            first = later if seen is None else manifest  # The first to commit stands.
            assert publish(store, later).finished == first.finished
        else:
            break
        assert read(store) == shown(store) == OLD
        assert verify_output(store) == []
        assert not any("/map/" in key or "/tmp/" in key or "-lost" in key for key in keys(store))

    assert number >= 7
    assert reached >= {(False, True), (False, False)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_overwriting_publish_may_die_anywhere(tmp_path: Path, *, after: bool) -> None:
    """At every step a reader of the manifest sees the old output or the new, never a mix.

    Other tools see `_SUCCESS` only with a whole output. The second try may start from the
    visible manifest alone.
    """
    reached = set()
    for number in range(1, 100):
        store = LocalStore(str(tmp_path / str(number)))
        published(store, "r1", OLD)
        manifest = stage(store, "r2", NEW, replaces="r1")
        stopping = StoppingStore(store, number, after=after)
        try:
            publish(stopping, manifest)
        except StoppedError:
            seen = read(store)
            assert seen in (OLD, NEW)
            assert shown(store) in (None, OLD, NEW)
            reached.add((seen == OLD, shown(store) is None))
            publish(store, manifest if seen == OLD else read_manifest(store))
        else:
            break
        assert read(store) == shown(store) == NEW
        assert verify_output(store) == []
        assert not any(key.startswith("_pymr/r1") for key in keys(store))

    assert number >= 9
    assert reached >= {(True, True), (False, True), (False, False)}


def test_a_run_commits_once(store: LocalStore) -> None:
    """Whoever publishes a committed run again, with other attempts, gets what was committed."""
    first = stage(store, "r1", OLD)
    key = names.attempt_key("r1", "reduce", 0, 7, "later")
    store.put_if_absent(key, OLD[0])
    part = msgspec.structs.replace(first.parts[0], key=key)
    second = msgspec.structs.replace(first, parts=(part, *first.parts[1:]))
    committed = publish(store, first, keep=True)

    assert publish(store, second) == committed

    assert read(store) == shown(store) == OLD
    assert key not in keys(store)


def test_the_order_of_a_publish(store: LocalStore) -> None:
    """Commit, parts, stale parts, `_SUCCESS`, one sync; what is removed goes after that."""
    published(store, "r1", OLD)
    manifest = stage(store, "r2", NEW, replaces="r1")
    stopping = StoppingStore(store, 0, after=False)

    publish(stopping, manifest)

    assert stopping.changes == [
        "delete _SUCCESS",
        "replace _pymr/MANIFEST.json",
        f"copy {manifest.parts[0].key}",
        f"copy {manifest.parts[1].key}",
        "delete part-00002.tsv",
        "copy _pymr/MANIFEST.json",
        "sync ",
        "delete_folder _pymr/r2",
        "delete_folder _pymr/r1",
    ]


def test_a_part_that_is_missing_or_cut_is_not_published(store: LocalStore) -> None:
    """Every object that the manifest names is there in full, or there is no manifest."""
    manifest = stage(store, "r1", OLD)
    store.replace(manifest.parts[1].key, b"c")

    with pytest.raises(CorruptDataError, match="it has 1 bytes, expected 4"):
        publish(store, manifest)
    store.delete(manifest.parts[1].key)
    with pytest.raises(CorruptDataError, match="is missing"):
        publish(store, manifest)

    assert read(store) is None
    assert [key for key in keys(store) if key.startswith("part-")] == []


@pytest.mark.parametrize("name", ["part-00001.tsv", "_SUCCESS", "_pymr/MANIFEST.json"])
def test_what_is_not_ours_is_left_alone(store: LocalStore, name: str) -> None:
    """A foreign object under a name that we need stops the publish before the commit."""
    body = b"mine\n"
    if name == names.MANIFEST:
        body = encode_manifest(stage(store, "r0", []))
    manifest = stage(store, "r1", OLD)
    store.put_if_absent(name, body)

    with pytest.raises(OutputError, match=f"`{name}` in output .* is not of this run") as caught:
        publish(store, manifest)

    assert caught.value.exit_code == 4
    assert store.get(name) == body
    assert not any(key.startswith("part-") for key in keys(store) if key != name)


def test_of_two_runs_that_publish_at_once_one_wins(store: LocalStore) -> None:
    """A manifest that appears between the look and the put is not replaced."""
    first, second = stage(store, "r1", OLD), stage(store, "r2", NEW)

    class OvertakenStore(LocalStore):
        def put_if_absent(self, key: str, body: bytes) -> None:
            """Be overtaken."""
            publish(store, first)
            super().put_if_absent(key, body)

    with pytest.raises(OutputError, match=r"MANIFEST\.json") as caught:
        publish(OvertakenStore(store.root), second)

    assert isinstance(caught.value.__cause__, ObjectExistsError)
    assert read(store) == OLD


def test_only_the_run_that_was_to_be_replaced_is_replaced(store: LocalStore) -> None:
    """If a third run has replaced the output meanwhile, it stays."""
    published(store, "r1", OLD)
    manifest = stage(store, "r3", NEW, replaces="r1")
    published(store, "r2", [b"x\n"], replaces="r1")

    with pytest.raises(OutputError, match=r"MANIFEST\.json"):
        publish(store, manifest)

    assert read(store) == shown(store) == [b"x\n"]


def test_an_output_that_is_gone_can_still_be_overwritten(store: LocalStore) -> None:
    """`--overwrite` of what somebody has removed meanwhile publishes as if it were new."""
    manifest = stage(store, "r2", NEW, replaces="r1")

    publish(store, manifest)

    assert read(store) == shown(store) == NEW


def test_overwriting_takes_stale_parts_and_nothing_else(store: LocalStore) -> None:
    """Parts of the old output go, whatever their format; files of the user stay."""
    published(store, "r1", OLD)
    for name in ["part-notes.txt", "part-1.tsv", "notes/part-00009.tsv", "part-00009"]:
        store.put_if_absent(name, b"mine")
    store.put_if_absent("part-00007.jsonl", b"stale")

    published(store, "r2", NEW, replaces="r1")

    root = [key for key in keys(store) if not key.startswith("_")]
    assert root == [
        "notes/part-00009.tsv",
        "part-00000.tsv",
        "part-00001.tsv",
        "part-00009",
        "part-1.tsv",
        "part-notes.txt",
    ]


@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_f102_with_a_full_disk_no_part_is_shown(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """The run is committed, but nothing named `part-*` stays; later it can go on."""
    manifest = stage(store, "r1", OLD)
    link, calls = os.link, []

    def fill(source: str, target: str) -> None:
        if target.startswith(f"{store.root}/.tmp-"):
            calls.append(target)
            if len(calls) == failing_call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fill)
        with pytest.raises(ResourceError) as caught:
            publish(store, manifest)

    assert caught.value.message.startswith("the result is committed, but its parts cannot be shown")
    assert caught.value.fields["is_committed"] is True
    assert not is_shown(store)
    assert [key for key in keys(store) if "/" not in key] == []
    assert read(store) == OLD
    publish(store, manifest)
    assert shown(store) == OLD
    assert is_shown(store)


def test_what_cannot_be_cleaned_up_does_not_fail_a_run(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `_SUCCESS` there the run is done; old objects that stay take space only."""
    published(store, "r1", OLD)
    manifest = stage(store, "r2", NEW, replaces="r1")

    def refuse(prefix: str, **_: object) -> None:
        raise StoreError(f"cannot delete `{prefix}`: Input/output error")

    monkeypatch.setattr(store, "delete_folder", refuse)

    assert publish(store, manifest) == read_manifest(store)
    assert read(store) == shown(store) == NEW


@pytest.fixture
def fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one with each fsync."""
    seen: list[int] = []
    fsync = os.fsync

    def count(descriptor: int) -> None:
        seen.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    return seen


def test_a_publish_costs_three_fsyncs(store: LocalStore, fsyncs: list[int]) -> None:
    """Manifest, its folder, and the folder of the parts, for any number of parts."""
    manifest = stage(store, "r1", OLD)
    fsyncs.clear()

    publish(store, manifest)
    assert len(fsyncs) == 3

    replacing = stage(store, "r2", NEW, replaces="r1")
    fsyncs.clear()
    publish(store, replacing)
    assert len(fsyncs) == 3


def test_a_run_of_two_tasks_costs_eight_fsyncs(store: LocalStore, fsyncs: list[int]) -> None:
    """The plan 1, map output 2, part 2, publish 3; decisions within a second none.

    And one for each folder that is made: the output, `_pymr` and that of the run.
    """
    journal = Journal.create(f"{store.root}/{names.journal_key('r1')}")
    journal.append(b"planned")
    journal.sync()
    with store.create(names.attempt_key("r1", "map", 0, 1, "nonce")) as writer:
        writer.write(b"sorted run")
        writer.commit()
    journal.append(b"map committed")
    key = names.attempt_key("r1", "reduce", 0, 1, "nonce")
    with store.create(key) as writer:
        writer.write(OLD[0])
        writer.commit()
    journal.append(b"reduce committed")
    digest = hashlib.sha256(OLD[0]).hexdigest()
    part = ManifestPart(name="part-00000.tsv", key=key, records=2, bytes=8, sha256=digest)
    plan = msgspec.structs.replace(stage(memory_store(), "r1", []), parts=(part,))

    publish(store, plan)
    journal.close()

    assert len(fsyncs) == 8 + 3
    assert read(store) == [OLD[0]]


def test_a_run_that_fails_while_it_publishes_keeps_what_its_manifest_names(store) -> None:
    """What a visible manifest names is never removed, whatever the failing run believes."""
    publish(store, stage(store, "r1", OLD), keep=True)

    remove_attempts(store, "r1")

    assert read(store) == OLD
    assert sorted(key for key in keys(store) if "map-" in key or "/tmp/" in key) == []


def test_a_failed_run_leaves_its_journal_only(store) -> None:
    """Without a manifest all attempts and spills go."""
    stage(store, "r1", OLD)

    remove_attempts(store, "r1")

    assert keys(store) == [names.journal_key("r1")]
