"""An output directory before a run: claimed, emptied of dead runs, or refused with a reason."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from pymr import names
from pymr.errors import OutputError, ResourceError
from pymr.store.claim import ClaimRecord, read_claim
from pymr.store.folder_place import FolderPlace
from pymr.store.local import LocalStore
from pymr.store.object_place import ObjectPlace
from pymr.store.object_store import ObstoreStore
from pymr.task.commit import publish, verify_output
from pymr.task.manifest import Manifest, read_manifest
from pymr.task.output import claim_output, prepare_output, reclaim_output
from staged_run import NEW, OLD, published, read, shown, stage


def publish_run(root: Path) -> Manifest:
    """Put a published output of one row there."""
    return published(LocalStore(str(root)), "r1", [b"a\t1\n"], finished=1_700_000_000.5)


def refused(root: Path | str, **options: bool) -> OutputError:
    with pytest.raises(OutputError) as caught:
        prepare_output(FolderPlace(str(root)), run="r2", name="new", **options)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir])
def test_a_new_or_empty_directory_is_claimed(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The output is made, is ours while we hold it, and then free."""
    root = tmp_path / "out"
    make(root)

    with prepare_output(FolderPlace(str(root)), run="r1", name="wc") as output:
        record, is_held = read_claim(str(root))
        assert record is not None
        assert (record.run, record.name, record.pid, is_held) == ("r1", "wc", os.getpid(), True)
        assert output.previous is None
        assert str(output.store) == str(root)

    assert read_claim(str(root)) == (None, False)


def test_f98_a_claimed_output_is_refused(tmp_path: Path) -> None:
    """The second run is told which run owns the output."""
    with prepare_output(FolderPlace(str(tmp_path)), run="r1", name="wc"):
        error = refused(tmp_path, overwrite=True)

    assert "is claimed by run r1 (pid" in error.message


def test_f104_a_file_is_no_output(tmp_path: Path) -> None:
    """A file in place of the output stays as it is."""
    path = tmp_path / "out"
    path.write_bytes(b"mine")

    assert "is a file, expected a new or empty directory" in refused(path).message

    assert path.read_bytes() == b"mine"


def test_f104_a_link_that_leads_nowhere_is_no_output(tmp_path: Path) -> None:
    """What it should lead to is named, and not made: it may be a disk that is not mounted."""
    path = tmp_path / "out"
    path.symlink_to(tmp_path / "disk/out")

    message = refused(path).message

    assert message.endswith(f"is a symbolic link to `{tmp_path}/disk/out`, which does not exist")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_directory_is_an_output(tmp_path: Path) -> None:
    """It is written where it leads."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")

    with prepare_output(FolderPlace(str(tmp_path / "out")), run="r1", name="wc"):
        assert (tmp_path / "disk/_pymr/CLAIM").exists()


def test_a_file_above_the_output_is_named_by_the_system(tmp_path: Path) -> None:
    """The words of the system say what is wrong with the path."""
    (tmp_path / "file").write_bytes(b"")

    assert refused(tmp_path / "file" / "out").message.endswith("cannot be used: Not a directory")


def test_f100_files_of_the_user_are_listed_and_left(tmp_path: Path) -> None:
    """A directory with other files is refused, five of them named, and nothing is made."""
    for name in ["g", "f", "e", "d", "c\n", "b", "a"]:
        (tmp_path / name).write_bytes(b"mine")

    message = refused(tmp_path, overwrite=True).message

    assert "not PyMR's: `a`, `b`, `c\\n` and 4 more" in message
    assert len(list(tmp_path.iterdir())) == 7


def test_a_single_foreign_file_is_enough(tmp_path: Path) -> None:
    """Also beside what a dead run left: it may be the user's only copy."""
    with prepare_output(FolderPlace(str(tmp_path)), run="r1", name="wc"):
        (tmp_path / "part-00000.tsv").write_bytes(b"mine")

    assert "not PyMR's: `part-00000.tsv`, expected" in refused(tmp_path).message


def test_f99_an_output_that_exists_is_refused_with_what_it_is(tmp_path: Path) -> None:
    """The message says which run, when and how much; the hint, how to go on."""
    publish_run(tmp_path)

    error = refused(tmp_path)

    assert f"output `{tmp_path}` exists: run name-r1 of 2023-11-1" in error.message
    assert error.message.endswith(", parts: 1, rows: 1")
    assert "--overwrite" in (error.hint or "")
    assert read_claim(str(tmp_path)) == (None, False)


def test_an_output_to_be_overwritten_stays_until_then(tmp_path: Path) -> None:
    """With `overwrite` the old manifest is handed over and nothing of it is touched."""
    manifest = publish_run(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"mine")

    with prepare_output(FolderPlace(str(tmp_path)), run="r2", name="new", overwrite=True) as output:
        assert output.previous == manifest
        assert output.store.get(manifest.parts[0].key) == b"a\t1\n"
        assert (tmp_path / "_SUCCESS").exists()
        assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_damaged_output_is_left_to_the_user(tmp_path: Path, *, overwrite: bool) -> None:
    """An output whose manifest cannot be read is neither overwritten nor taken for none."""
    publish_run(tmp_path)
    (tmp_path / names.MANIFEST).write_bytes(b"{}")

    assert "exists, and cannot be read: manifest" in refused(tmp_path, overwrite=overwrite).message


@pytest.fixture
def unshown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """An output whose second run found the disk full when it had replaced the manifest."""
    store = LocalStore(str(tmp_path))
    published(store, "r1", OLD)
    manifest = stage(store, "r2", NEW, replaces="r1")
    with monkeypatch.context() as patch:
        fill_disk(patch)
        with pytest.raises(ResourceError):
            publish(store, manifest)
    assert read(store) == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["_pymr"]
    return store


def fill_disk(patch: pytest.MonkeyPatch) -> None:
    """Let no more file have a second name."""

    def refuse(*_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "link", refuse)


def test_a_committed_run_whose_parts_are_not_shown_is_finished_first(unshown: LocalStore) -> None:
    """Starting again is all that it takes; the refusal says what has been done."""
    error = refused(unshown.root)

    assert error.message.endswith("it was committed without showing its parts, they are shown now")
    assert shown(unshown) == NEW
    assert verify_output(unshown) == []
    assert "committed without" not in refused(unshown.root).message


def test_a_committed_run_is_finished_before_it_is_overwritten(unshown: LocalStore) -> None:
    """So the old output is there as a whole, should the new run fail."""
    with prepare_output(FolderPlace(unshown.root), run="r3", name="new", overwrite=True) as output:
        assert output.previous is not None
        assert output.previous.run == "r2"
        assert verify_output(unshown) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_that_is_still_full_says_so_again(
    unshown: LocalStore, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    """With the error that will be there as long as the disk is full; nothing is lost."""
    fill_disk(monkeypatch)

    with pytest.raises(ResourceError, match="the result is committed, but its parts cannot"):
        prepare_output(FolderPlace(unshown.root), run="r3", name="new", overwrite=overwrite)

    assert read(unshown) == NEW
    assert read_claim(unshown.root) == (None, False)


def test_a_part_that_cannot_be_shown_is_named(unshown: LocalStore) -> None:
    """A damaged result is refused with its damage; `--overwrite` is the way out."""
    unshown.delete(read_manifest(unshown).parts[1].key)

    error = refused(unshown.root)

    assert "exists, and its parts cannot be shown: object `_pymr/r2/reduce-00001" in error.message
    assert "--overwrite" in (error.hint or "")
    with prepare_output(FolderPlace(unshown.root), run="r3", name="new", overwrite=True) as output:
        assert output.previous is not None


def test_f100_what_a_dead_run_left_is_removed(tmp_path: Path) -> None:
    """Objects, spills, journal and half-written files of uncommitted runs go."""
    store = LocalStore(str(tmp_path))
    store.put_if_absent(names.attempt_key("r0", "map", 0, 1, "nonce"), b"x")
    store.put_if_absent(names.journal_key("r0"), b"x")
    for folder in ["", "_pymr/", "_pymr/r0/"]:
        (tmp_path / f"{folder}.tmp-1").write_bytes(b"half")

    with prepare_output(FolderPlace(str(tmp_path)), run="r1", name="wc"):
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["CLAIM", "_pymr"]


def test_dead_runs_beside_an_output_are_removed_too(tmp_path: Path) -> None:
    """Of an output to be overwritten only the run that its manifest names stays."""
    manifest = publish_run(tmp_path)
    store = LocalStore(str(tmp_path))
    store.put_if_absent(names.journal_key("r0"), b"x")

    with prepare_output(FolderPlace(str(tmp_path)), run="r2", name="new", overwrite=True):
        assert {entry.key for entry in store.list("_pymr")} == {
            "_pymr/CLAIM",
            "_pymr/MANIFEST.json",
            "_pymr/r1/journal",
            manifest.parts[0].key,
        }


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A directory that we own as a user whom permissions stop (root passes them all)."""
    path = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        os.seteuid(65534)
    yield path
    os.seteuid(os.getuid())
    shutil.rmtree(path)


@pytest.mark.parametrize("below", [".", "out", "out/deep"])
def test_f104_a_directory_without_write_permission_is_refused(
    folder_of_nobody: Path, below: str
) -> None:
    """Before any work, with the system's words."""
    folder_of_nobody.chmod(0o555)

    message = refused(folder_of_nobody / below).message

    assert message.endswith("cannot be used: Permission denied")
    assert list(folder_of_nobody.iterdir()) == []


def test_a_directory_that_cannot_be_read_is_refused(folder_of_nobody: Path) -> None:
    """What is in it is unknown, so it may hold anything."""
    folder_of_nobody.chmod(0o333)

    assert refused(folder_of_nobody).message.endswith("cannot be used: Permission denied")


def test_f104_an_output_made_read_only_is_found_out_at_once(folder_of_nobody: Path) -> None:
    """`_pymr` may be written, but the parts could not be shown in the end."""
    (folder_of_nobody / "_pymr").mkdir()
    folder_of_nobody.chmod(0o555)

    assert refused(folder_of_nobody).message.endswith("the directory is read-only")

    assert read_claim(str(folder_of_nobody)) == (None, False)


# -- again, for a later process --------------------------------------------------------------------


def unfinished_run(root: Path) -> LocalStore:
    """Leave what a process that died leaves of run r1."""
    store = LocalStore(str(root))
    store.put_if_absent(names.journal_key("r1"), b"journal")
    store.put_if_absent(names.attempt_key("r1", "map", 0, 1, "n"), b"map output")
    for folder in ("", "_pymr/", "_pymr/r1/"):
        (root / f"{folder}.tmp-x").touch()
    return store


def test_an_output_is_claimed_again_with_all_that_is_in_it(tmp_path: Path) -> None:
    """But for halves of objects, which nobody writes any more."""
    store = unfinished_run(tmp_path)
    before = list(store.list(""))

    with reclaim_output(FolderPlace(str(tmp_path)), run="r1", name="wc") as output:
        record, is_held = read_claim(str(tmp_path))
        assert record is not None
        assert (record.run, is_held) == ("r1", True)
        assert output.previous is None

    assert [entry for entry in store.list("") if entry.key != names.CLAIM] == before
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_a_run_that_still_runs_is_not_claimed_again(tmp_path: Path) -> None:
    """It is told by its own name, another one by whose the output is."""
    with prepare_output(FolderPlace(str(tmp_path)), run="r1", name="wc"):
        with pytest.raises(OutputError, match=r"^run wc still runs \(pid \d+ on ") as own:
            reclaim_output(FolderPlace(str(tmp_path)), run="r1", name="wc")
        with pytest.raises(OutputError, match="is claimed by run r1"):
            reclaim_output(FolderPlace(str(tmp_path)), run="r2", name="other")

    assert own.value.hint == "pymr attach wc"


def test_of_two_starts_at_once_in_a_store_the_later_waits() -> None:
    """The other has claimed it, and had no time yet to show that it lives."""
    place = ObjectPlace(ObstoreStore(MemoryStore()), "s3://bucket/out")
    claim_output(place, "r1", "first")

    with pytest.raises(OutputError, match="is claimed by run r1") as caught:
        claim_output(place, "r2", "second")

    assert str(caught.value.hint).startswith("pymr attach s3://bucket/out ")


def test_who_holds_an_output_in_a_store_without_a_sign_of_life_is_named_by_address() -> None:
    """Its name may be that of another run here, which `pymr cancel` would end."""
    place = ObjectPlace(ObstoreStore(MemoryStore()), "s3://bucket/my out")
    place.claim(ClaimRecord(run="r1", name="first", pid=1, host="elsewhere", started=1.0))

    with pytest.raises(OutputError, match=r"held by run first .* which shows no sign") as got:
        claim_output(place, "r2", "second")

    assert got.value.hint == (
        "pymr resume 's3://bucket/my out'   goes on with it;"
        " pymr cancel 's3://bucket/my out'   gives it up"
    )


def test_a_publication_that_was_stopped_is_brought_to_its_end(tmp_path: Path) -> None:
    """There is nothing else to do: the result is the run's own."""
    store = LocalStore(str(tmp_path))
    manifest = published(store, "r1", OLD)
    for name in [names.SUCCESS, *(part.name for part in manifest.parts)]:
        store.delete(name)

    with reclaim_output(FolderPlace(str(tmp_path)), run="r1", name="wc") as output:
        assert output.previous is not None
        assert output.previous.run == "r1"

    assert shown(store) == OLD


def test_the_result_that_a_run_was_to_replace_is_there_when_it_goes_on(tmp_path: Path) -> None:
    """It stays readable until then."""
    store = unfinished_run(tmp_path)
    published(store, "r0", OLD)

    with reclaim_output(FolderPlace(str(tmp_path)), run="r1", name="wc") as output:
        assert output.previous is not None
        assert output.previous.run == "r0"

    assert read(store) == OLD
    assert store.get(names.journal_key("r1")) == b"journal"
