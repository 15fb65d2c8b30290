"""What the local store promises beyond the contract: durability, leftovers, typed errors."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    ResourceError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store.disk import free_bytes, translated
from pymr.store.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "root"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of what was fsynced, in order."""
    seen: list[str] = []
    fsync = os.fsync

    def count(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        seen.append("folder" if mode & 0o170000 == 0o040000 else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    return seen


def files(store: LocalStore) -> list[str]:
    return sorted(path.name for path in Path(store.root).rglob("*") if path.is_file())


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_put_syncs_the_file_and_then_its_folder(store: LocalStore, synced: list[str]) -> None:
    """Two fsyncs for each durable write, in the order that makes it durable; folders before."""
    store.put_if_absent("a/b/c", b"x")
    folders = ["folder"] * 3  # the names of the root, of `a` and of `b`
    assert synced == [*folders, "file", "folder"]

    store.replace("a/b/c", b"y")
    assert synced == [*folders, *["file", "folder"] * 2]

    with store.create("a/b/d") as writer:
        writer.write(b"z" * 3_000_000)
        writer.commit()
    assert synced == [*folders, *["file", "folder"] * 3]


def test_copies_and_deletions_are_synced_by_the_folder(
    store: LocalStore, synced: list[str]
) -> None:
    """A copy is a link and costs no fsync; one `sync` makes any number durable."""
    store.put_if_absent("source", b"x")
    synced.clear()

    store.copy("source", "target")
    store.copy("source", "other")
    store.delete("source")
    assert synced == []

    store.sync("")
    assert synced == ["folder"]


def test_a_copy_is_a_link(store: LocalStore) -> None:
    """Showing a part takes no space, and showing it again leaves nothing behind."""
    store.put_if_absent("source", b"x")

    for _ in range(2):
        store.copy("source", "folder/target")

    root = Path(store.root)
    assert (root / "source").samefile(root / "folder/target")
    assert files(store) == ["source", "target"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_f103_where_links_fail_a_copy_has_its_own_bytes(
    store: LocalStore, synced: list[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system without hard links gets a synced copy of the bytes."""
    store.put_if_absent("source", b"x" * 3_000_000)
    synced.clear()
    monkeypatch.setattr(os, "link", failing(number))

    store.copy("source", "target")

    root = Path(store.root)
    assert store.get("target") == b"x" * 3_000_000
    assert not (root / "source").samefile(root / "target")
    assert synced == ["file"]


def test_a_copy_that_fails_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space for the link: the target is as it was, and no temporary file stays."""
    store.put_if_absent("source", b"x")
    monkeypatch.setattr(os, "link", failing(errno.ENOSPC))

    with pytest.raises(ResourceError):
        store.copy("source", "target")

    assert files(store) == ["source"]


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_write_that_fails_at_the_end_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """After a failed fsync or link the object is not there, nor a temporary file."""
    monkeypatch.setattr(os, call, failing(errno.EIO))

    with pytest.raises(StoreError, match=r"cannot write `.*key`: Input/output error"):
        store.put_if_absent("key", b"x")

    assert files(store) == []


def test_a_failed_replace_leaves_the_old_object(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replace that cannot be made durable does not happen."""
    store.replace("key", b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))

    with pytest.raises(StoreError):
        store.replace("key", b"new")

    assert store.get("key") == b"old"
    assert files(store) == ["key"]


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """No file may grow over 100 kB: a full disk, for this process."""
    import signal

    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old_limit[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
    signal.signal(signal.SIGXFSZ, old_handler)


def test_a_file_that_cannot_grow_is_a_resource_error(
    store: LocalStore, file_size_limit: int
) -> None:
    """A real write that the system cuts off: typed, with the need, and nothing is left."""
    with pytest.raises(ResourceError) as caught:
        store.put_if_absent("key", b"x" * (file_size_limit + 1))

    assert caught.value.exit_code == 6
    assert caught.value.retryable
    assert caught.value.fields == {"need": file_size_limit + 1, "where": f"{store.root}/key"}
    assert files(store) == []


def test_running_out_of_descriptors_is_a_resource_error(store: LocalStore) -> None:
    """EMFILE is answered with the setting to change."""
    store.put_if_absent("key", b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    held = []

    def create_many() -> None:
        for _ in range(10):
            held.append(store.create(f"new-{len(held)}"))

    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 3, hard))
    try:
        with pytest.raises(ResourceError, match="Too many open files") as caught:
            create_many()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for writer in held:
            writer.__exit__(None, None, None)

    assert caught.value.hint == "raise the limit of open files: ulimit -n 65536"


@pytest.mark.parametrize(
    ("number", "verb", "error_class"),
    [
        (errno.ENOENT, "read", ObjectMissingError),
        (errno.ENOTDIR, "read", ObjectMissingError),
        (errno.EISDIR, "read", ObjectMissingError),
        (errno.ENOENT, "write", StoreError),
        (errno.EISDIR, "write", StoreError),
        (errno.EEXIST, "write", ObjectExistsError),
        (errno.ENOSPC, "write", ResourceError),
        (errno.EDQUOT, "write", ResourceError),
        (errno.EMFILE, "read", ResourceError),
        (errno.EACCES, "read", StoreError),
        (errno.EROFS, "write", StoreError),
        (errno.EIO, "sync", StoreError),
        (errno.ESTALE, "read", StoreUnavailableError),
    ],
)
def test_each_error_of_the_system_has_one_class(
    number: int, verb: str, error_class: type[PymrError]
) -> None:
    """The table of the border, row by row; the cause is kept."""
    error = OSError(number, os.strerror(number))

    with pytest.raises(PymrError) as caught, translated(verb, "/o/k", key="k"):  # type: ignore[arg-type]
        raise error

    assert type(caught.value) is error_class
    assert caught.value.__cause__ is error
    assert "/o/k" in caught.value.message


def test_a_read_that_is_cut_short_goes_on(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system call may return less than asked for; a range has all its bytes."""
    store.put_if_absent("digits", b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, start: pread(fd, min(length, 3), start))

    assert store.get_range("digits", 1, 8) == b"12345678"
    assert store.get_range("digits", 8, 8) == b"89"


def test_what_a_crash_left_is_in_no_listing_and_can_be_swept(store: LocalStore) -> None:
    """`.tmp-*` files are no objects; `sweep` removes those of one folder and nothing else."""
    store.put_if_absent("a/key", b"x")
    for name in [".tmp-1", "a/.tmp-2", "a/b.tmp-3"]:
        (Path(store.root) / name).write_bytes(b"half")

    assert [entry.key for entry in store.list("")] == ["a/b.tmp-3", "a/key"]
    store.sweep("")
    assert files(store) == [".tmp-2", "b.tmp-3", "key"]
    store.sweep("a")
    assert files(store) == ["b.tmp-3", "key"]


def test_a_temporary_name_is_no_key(store: LocalStore) -> None:
    """Half an object cannot be read under its temporary name."""
    with pytest.raises(StoreError, match="name of a temporary file"):
        store.get("a/.tmp-1")


def test_a_deleted_folder_takes_leftovers_and_empty_folders_with_it(store: LocalStore) -> None:
    """Nothing stays on the disk of a folder that was deleted."""
    store.put_if_absent("a/b/key", b"x")
    store.put_if_absent("a/kept", b"x")
    (Path(store.root) / "a/b/.tmp-1").write_bytes(b"half")

    store.delete_folder("a", but=["a/kept"])
    assert sorted(path.name for path in Path(store.root).rglob("*")) == ["a", "kept"]

    store.delete_folder("a")
    assert list(Path(store.root).iterdir()) == []


def test_listing_what_is_no_folder_is_an_error(store: LocalStore) -> None:
    """A file where a folder should be is not an empty folder."""
    store.put_if_absent("file", b"x")

    with pytest.raises(StoreError, match=r"cannot list `.*file`: Not a directory"):
        list(store.list("file"))


def test_hostile_paths_are_escaped_in_messages(tmp_path: Path) -> None:
    """A terminal escape in the name of the output does not reach the terminal."""
    store = LocalStore(str(tmp_path / "a\x1b[31m\nb"))

    with pytest.raises(ObjectMissingError, match=r"a\\x1b\[31m\\nb/key"):
        store.get("key")


def test_what_is_free_is_told_of_a_disk_and_of_what_is_to_be_made_on_it(tmp_path: Path) -> None:
    """Not of a path that no system can look up."""
    seen = os.statvfs(tmp_path)
    total = seen.f_blocks * seen.f_frsize

    assert 0 < (free_bytes(str(tmp_path)) or 0) <= total
    assert 0 < (free_bytes(str(tmp_path / "not" / "there")) or 0) <= total
    (tmp_path / "loop").symlink_to("loop")
    assert free_bytes(str(tmp_path / "loop")) is None


def test_what_a_probe_left_is_swept_too(store: LocalStore) -> None:
    """It is a folder; a link to one is only a link."""
    store.put_if_absent("key", b"x")
    probe = Path(store.root, ".tmp-probe-abc")
    probe.mkdir()
    (probe / "written").write_text("x")
    Path(store.root, ".tmp-link").symlink_to(store.root)

    store.sweep("")

    assert files(store) == ["key"]
