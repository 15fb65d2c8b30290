"""What the first bytes of an input say: rows B13, B41, B43, B46 and B47."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from input_samples import find, names, refused, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-16", "utf-16"), ("utf-16-be", None), ("utf-32", "utf-32"), ("utf-32-be", None)],
)
def test_b13_a_byte_order_mark_of_utf16_or_32_asks_for_the_encoding(encoding, said):
    """With the encoding given, the file is a stream."""
    mark = "" if said else "\ufeff"
    write("a", (mark + "text").encode(encoding))
    said = said or encoding.removesuffix("-be")

    error = refused("a")

    assert error.message == f"input `a` looks like {said.upper()}; use --encoding {said}"
    assert error.hint == f"--encoding {said}"
    [file] = find("a", encoding=encoding).files
    assert (file.stream, file.compression, file.step) == (True, None, 1 << 16)


def test_b13_a_mark_inside_compressed_data_is_seen():
    """What counts is the text."""
    write("a.gz", gzip.compress("text".encode("utf-16")))

    assert "looks like UTF-16" in refused("a.gz").message


def test_b41_the_first_bytes_decide_and_a_wrong_name_is_a_warning():
    """Both ways, with at most three names for each."""
    write("plain.gz", b"text\n")
    for number in range(5):
        write(f"packed{number}", gzip.compress(b"%d\n" % number))
    write("right.gz", gzip.compress(b"y\n"))
    write("empty.gz", b"")

    found = find("*", "empty.gz", allow_duplicates=True)

    assert [file.compression for file in found.files if file.size] == [*["gzip"] * 5, None, "gzip"]
    assert set(found.warnings) == {
        "`plain.gz` is not gzip data, as its name says: it is read as it is",
        "`packed0`, `packed1`, `packed2` and 2 more: is gzip data by its first bytes:"
        " it is decompressed",
    }


def archive(name: str, folder: Path) -> bytes:
    """Return an archive of the named kind."""
    member = folder / "member"
    member.write_bytes(b"text\n")
    buffer = io.BytesIO()
    if name == "zip":
        with zipfile.ZipFile(buffer, "w") as packed:
            packed.write(member, "member")
    else:
        with tarfile.open(fileobj=buffer, mode=name) as packed:
            packed.add(member, "../../member")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason", "hint"),
    [
        ("zip", "is a zip archive", "unzip -p in/x | pymr start --input - …"),
        ("w", "is a tar archive", "tar -xOf in/x | pymr start --input - …"),
        (
            "w:gz",
            "is a tar archive inside gzip data",
            "tar -xOf in/x | pymr start --input - …",
        ),
        (
            "w:bz2",
            "is a tar archive inside bz2 data",
            "tar -xOf in/x | pymr start --input - …",
        ),
    ],
)
def test_b43_an_archive_is_refused_with_the_command_that_reads_it(here, kind, reason, hint):
    """Nothing is extracted, so no member can lead anywhere."""
    write("in/x", archive(kind, here))

    error = refused("in/x")

    assert error.message == f"input `in/x` {reason}"
    assert error.hint == hint


def test_b43_compressed_data_inside_compressed_data_is_refused():
    """One layer is decoded, never two."""
    write("x.gz", gzip.compress(bz2.compress(b"a\n")))

    assert refused("x.gz").message == "input `x.gz` is bz2 data inside gzip data"


def test_b46_an_encrypted_zip_is_refused_as_such():
    """The flag stands in the first header."""
    write("x", b"PK\x03\x04\x14\x00\x01\x00" + bytes(30))

    assert refused("x").message == "input `x` is an encrypted zip archive"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PAR1\x15\x04 ... PAR1", "is a Parquet file"),
        (b"Obj\x01\x04\x14avro.codec", "is an Avro file"),
        (b"SQLite format 3\0....", "is an SQLite database"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "is a rar archive"),
        (b"\x04\x22\x4d\x18....", "is lz4 data, which is not supported"),
        (b"\x7fELF\x02\x01", "is a program (ELF)"),
    ],
)
def test_b47_tables_and_programs_are_no_text(data, reason):
    """They are known by their first bytes, and read whole if the job asks for it."""
    write("x", data)

    assert refused("x").message == f"input `x` {reason}"
    assert names("x", input_format="whole") == [b"x"]


def test_b47_text_that_begins_like_parquet_is_text():
    """The four letters stand at both ends of a Parquet file."""
    write("x", b"PAR1,PAR2\n1,2\n")

    assert names("x") == [b"x"]


def test_a_broken_compressed_file_is_refused_before_any_work():
    """Its first bytes are decoded to look at them."""
    write("x.gz", b"\x1f\x8b\x08" + bytes(20))

    assert refused("x.gz").message.startswith("broken gzip input `x.gz` before byte 23: ")


def test_whole_files_are_one_cell():
    """A whole file is one record, so there is nothing to split."""
    write("x", b"y" * 5000)

    assert find("x", input_format="whole").files[0].step == 5000
