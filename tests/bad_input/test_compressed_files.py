"""Inputs that are compressed, broken, or no text at all: told by their bytes, not their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from cli import COPY_LINES, COUNT_WORDS, CommandLine

READ_WHOLE = """\
import pymr

def mapper(ctx, data):
    ctx.emit(ctx.input.file, len(data))

job = pymr.Job(mapper=mapper, input=pymr.WHOLE)
"""
TEXT = b"b a\na\n"
ZEROS = b"\0" * 600


def random_text() -> bytes:
    """Return text that does not become much smaller."""
    return b"".join(b"%d\n" % pow(3, number, 2**61 - 1) for number in range(30_000))


def test_b36_b37_b40_b41_gzip_is_told_by_its_bytes(cli: CommandLine) -> None:
    """All members are read, zeros after them are padding, the name only makes a warning."""
    cli.write("1.gz", gzip.compress(TEXT) + gzip.compress(TEXT))
    cli.write("2.txt", gzip.compress(TEXT) + ZEROS)
    cli.write("3.gz", TEXT)

    outcome = cli.start("--input=[123].*", "--mappers=50")

    rows = outcome.succeeded(
        "`2.txt` is gzip data by its first bytes: it is decompressed",
        "`3.gz` is not gzip data, as its name says: it is read as it is",
    )
    assert rows == ["a\t8", "b\t4"]


def test_b36_a_compressed_file_is_one_task_and_says_so(cli: CommandLine) -> None:
    """However many mappers were wished for, and where it matters."""
    cli.write("in.gz", gzip.compress(bytes(65 << 20), compresslevel=0))
    cli.write("worker.py", COPY_LINES)

    planned = cli.run("plan", "--input=in.gz", "--mappers=9", "worker.py")

    assert "1 map" in planned.stdout
    assert "9 map tasks were wished for, the input can be cut into 1" in planned.stderr
    assert "`in.gz` can be read from the front only, so one map task reads it" in planned.stderr


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (lambda data: data[: len(data) // 2], ["at byte ", "it ends in the middle of the data"]),
        (lambda data: data[:-8] + b"????" + data[-4:], ["before byte ", "incorrect data check"]),
        (lambda data: data + b"garbage", ["at byte ", "`67 61 72 62` follows the data"]),
        (lambda data: data[:5000] + b"\xff" * 64 + data[5064:], ["before byte "]),
    ],
    ids=["b38 truncated", "b39 bad CRC", "b40 garbage after it", "b39 garbage in it"],
)
def test_b38_b39_b40_broken_gzip_commits_nothing(cli: CommandLine, broken, parts) -> None:
    """File and offset, and the command that checks the file."""
    cli.write("in.gz", broken(gzip.compress(random_text())))

    cli.start("--input=in.gz").refused(3, "broken gzip input `in.gz` ", "gzip -t in.gz", *parts)


def test_b42_a_decompression_bomb_is_refused(cli: CommandLine) -> None:
    """The file, what became of how much of it, and the setting that lets it pass."""
    cli.write("bomb.gz", gzip.compress(b"a" * 99 + b"\n" + bytes(24 << 20)))
    wide = ("--input=bomb.gz", "--max-expansion=2000:1")

    outcome = cli.start("--input=bomb.gz")

    outcome.refused(3, "input `bomb.gz` expands ", "expected at most 200:1", "--max-expansion")
    assert "17039360 bytes from its first" in outcome.stderr
    assert len(cli.start(*wide, worker=READ_WHOLE).succeeded()) == 1


def test_b42_a_small_file_may_expand_as_it_likes(cli: CommandLine) -> None:
    """A thousandfold of little is little."""
    line = b" " * 999 + b"a\n"
    cli.write("in.gz", gzip.compress(line * 16_000))

    assert cli.start("--input=in.gz", "--max-expansion=1").succeeded() == ["a\t16000"]


def zip_of(*, encrypted: bool = False) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("x.txt", TEXT)
    data = bytearray(body.getvalue())
    data[6] |= encrypted  # bit 0 of the flags
    return bytes(data)


def tar_of() -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../x"))
    return body.getvalue()


REFUSED = {
    "a.zip": (zip_of(), "is a zip archive", "unzip -p a.zip | pymr start"),
    "e.zip": (zip_of(encrypted=True), "is an encrypted zip archive", "unzip -P PASSWORD -p"),
    "a.tar": (tar_of(), "is a tar archive", "tar -xOf a.tar"),
    "a.tgz": (gzip.compress(tar_of()), "is a tar archive inside gzip data", "tar -xOf a.tgz"),
    "a.gz": (
        gzip.compress(gzip.compress(TEXT)),
        "is gzip data inside gzip data",
        "gzip -dc a.gz |",
    ),
    "a.lz4": (b"\x04\x22\x4d\x18" + ZEROS, "is lz4 data", "lz4 -dc a.lz4"),
    "a.parquet": (b"PAR1" + ZEROS + b"PAR1", "is a Parquet file", "input=pymr.WHOLE"),
    "a.avro": (b"Obj\x01" + ZEROS, "is an Avro file", "input=pymr.WHOLE"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_b43_b46_b47_archives_and_tables_are_not_read_as_text(cli: CommandLine, name: str) -> None:
    """Refused before any work, with the command or setting that reads them; nothing extracted."""
    data, reason, hint = REFUSED[name]
    cli.write(name, data)

    cli.start(f"--input={name}").refused(3, f"`{name}` {reason}", hint)

    assert {path.name for path in cli.folder.iterdir()} == {name, "worker.py"}


def test_b47_a_whole_file_may_be_any_bytes(cli: CommandLine) -> None:
    """What the hint says is so: WHOLE hands a table or an archive to the mapper."""
    for name in ("a.avro", "a.parquet", "a.zip"):
        cli.write(name, REFUSED[name][0])
    cli.write("utf-16", "x".encode("utf-16"))

    rows = cli.start("--input=a.*", "--input=utf-16", worker=READ_WHOLE).succeeded("4 records in")

    assert [row.split("\t")[0] for row in rows] == ["a.avro", "a.parquet", "a.zip", "utf-16"]
    assert rows[3] == "utf-16\t4"


def test_b45_other_compressions(cli: CommandLine) -> None:
    """bz2 and xz come with Python."""
    cli.write("1.bz2", bz2.compress(TEXT))
    cli.write("2.xz", lzma.compress(TEXT))

    assert cli.start("--input=[12].*").succeeded() == ["a\t4", "b\t2"]


def test_b45_a_decompressor_that_is_not_installed(cli: CommandLine) -> None:
    """The command that installs it."""
    cli.write("in.zst", b"\x28\xb5\x2f\xfd" + ZEROS)
    cli.write("hide/backports/__init__.py", "raise ImportError('hidden')")
    cli.write("hide/sitecustomize.py", "import sys\nsys.modules['compression.zstd'] = None\n")

    outcome = cli.start("--input=in.zst", environ={"PYTHONPATH": str(cli.folder / "hide")})

    outcome.refused(3, "`in.zst`: it is zstd data", "pip install 'pymr[zstd]'")


@pytest.mark.parametrize(
    ("module", "data", "command"),
    [
        ("zlib", gzip.compress(TEXT), "gzip"),
        ("bz2", bz2.compress(TEXT), "bzip2"),
        ("lzma", lzma.compress(TEXT), "xz"),
    ],
    ids=["gzip", "bzip2", "xz"],
)
@pytest.mark.parametrize("where", ["everywhere", "task process"])
def test_b45_a_python_without_a_decompressor(
    cli: CommandLine, where: str, module: str, data: bytes, command: str
) -> None:
    """A Python that was built without it is no bug of PyMR; the tool can stand in for it."""
    hide = f"import sys\nsys.modules['{module}'] = None\n"
    cli.write("in.txt", data)
    cli.write("hide/sitecustomize.py", hide if where == "everywhere" else "")

    outcome = cli.start(
        "--input=in.txt",
        worker=hide + COUNT_WORDS,
        environ={"PYTHONPATH": str(cli.folder / "hide")},
    )

    outcome.refused(3, "cannot read `in.txt`", f"{command} -dc in.txt | pymr start --input -")
