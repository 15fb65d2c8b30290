"""Inputs that can be read only once, or have no size: rows B27 and B28."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path

import pytest

from input_samples import find, refused, write
from pymr.errors import ResourceError

original = os.open


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_b27_standard_input_is_spooled_once(monkeypatch, here):
    """The copy is what is read; the name stays `-`."""
    standard_input(monkeypatch, b"a\nb\n")

    [file] = find("-", spool_folder=str(here / "new" / "spool")).files

    assert (file.path, file.size) == (b"-", 4)
    assert file.spool is not None
    assert Path(os.fsdecode(file.spool)).read_bytes() == b"a\nb\n"
    assert Path(os.fsdecode(file.spool)).parent == here / "new" / "spool"


def test_b27_nobody_else_can_read_the_copy(monkeypatch, here):
    """Standard input may hold what no other user of the machine should see."""
    standard_input(monkeypatch, b"secret\n")

    [file] = find("-", spool_folder=str(here / "spool")).files

    assert file.spool is not None
    assert Path(os.fsdecode(file.spool)).stat().st_mode & 0o777 == 0o600
    assert (here / "spool").stat().st_mode & 0o777 == 0o700


def test_b27_the_spool_folder_is_not_made_when_it_is_not_needed(here):
    """A run of plain files leaves nothing behind."""
    write("a")

    find("a", spool_folder=str(here / "spool"))

    assert not (here / "spool").exists()


def test_b27_standard_input_twice_is_a_duplicate(monkeypatch, here):
    """It can be read only once; allowed, both read the one copy."""
    standard_input(monkeypatch, b"a\n")

    assert refused("-", "-", spool_folder=str(here)).message == "input `-` is given twice"
    first, second = find("-", "-", spool_folder=str(here), allow_duplicates=True).files
    assert first == second
    assert first.size == 2


def test_b27_compressed_standard_input_is_decompressed(monkeypatch, here):
    """It is looked at like any file, but has no name to compare with."""
    standard_input(monkeypatch, gzip.compress(b"a\n"))

    found = find("-", spool_folder=str(here))

    assert found.files[0].compression == "gzip"
    assert found.warnings == ()


def test_b27_without_a_standard_input_it_is_refused(monkeypatch, here):
    """A daemon has none."""
    monkeypatch.setattr(sys, "stdin", None)

    assert refused("-", spool_folder=str(here)).message == "input `-`: there is no standard input"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_b28_a_file_without_a_size_is_copied_with_a_warning(here):
    """Its size is known when it has been read."""
    found = find("/proc/self/status", spool_folder=str(here / "spool"))

    [file] = found.files
    assert (file.path, file.size > 100) == (b"/proc/self/status", True)
    assert file.spool is not None
    assert found.warnings == (
        "`/proc/self/status` has no size: a copy of what it holds now is read",
    )
    copies = find(*["/proc/self/status"] * 2, spool_folder=str(here / "2"), allow_duplicates=True)
    assert len({copy.spool for copy in copies.files}) == 1
    assert "cat '/proc/self/status' | pymr" in str(refused("/proc/self/status").hint)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_b27_a_full_disk_is_a_resource_error(monkeypatch, here):
    """Exit 6, with the setting that puts the copy elsewhere."""
    standard_input(monkeypatch, b"x" * 100_000)
    monkeypatch.setattr(os, "open", lambda *_: original("/dev/full", os.O_WRONLY))

    with pytest.raises(ResourceError) as caught:
        find("-", spool_folder=str(here / "spool"))

    assert caught.value.exit_code == 6
    assert caught.value.hint == "--tmp-dir with a directory on a larger disk"
