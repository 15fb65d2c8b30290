"""A compiled module that was cut works as before, and is smaller; what is none is left alone."""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pymr import _native
from pymr.kubernetes.images.shared_object import without_names

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ELF files")


def test_a_module_that_was_cut_is_imported_and_works(tmp_path: Path) -> None:
    """In a process of its own: this one has it already."""
    original = Path(_native.__file__)
    body = original.read_bytes()

    cut = without_names(body)

    assert len(cut) < len(body)
    (tmp_path / original.name).write_bytes(cut)
    script = "import _native; print(_native.__file__, _native.trim_memory())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))
    assert without_names(cut) == cut


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils is not installed")
def test_names_of_functions_are_gone_and_what_is_loaded_is_not(tmp_path: Path) -> None:
    """As binutils, which we have not written, reads it."""
    spec = importlib.util.find_spec("cryptography.hazmat.bindings._rust")
    assert spec is not None
    assert spec.origin is not None
    cut = tmp_path / "cut.so"
    cut.write_bytes(without_names(Path(spec.origin).read_bytes()))

    sections = _readelf("--section-headers", cut)
    programs = _readelf("--program-headers", spec.origin).splitlines()

    assert "There are no sections in this file." in sections
    loaded = [line for line in programs if line.split()[:1] == ["LOAD"]]
    assert loaded
    assert [line for line in loaded if line not in _readelf("--program-headers", cut)] == []


def _readelf(option: str, path: Path | str) -> str:
    command = ["readelf", "--wide", option, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x7fELF",
        b"\x7fELF\x01\x01" + bytes(200),  # of 32 bits
        b"MZ" + bytes(200),
        b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HHIQQQIHHHHHH", *[0xFFFF] * 13),
        Path(_native.__file__).read_bytes()[:5000],  # half a file
    ],
)
def test_what_is_no_whole_shared_object_is_left_as_it_is(body: bytes) -> None:
    """Not a byte less."""
    assert without_names(body) == body
