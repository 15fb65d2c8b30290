"""A job on inputs in an object store: the same bytes as from files, and the same commands."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from cli import COPY_LINES, COUNT_WORDS
from s3_request import Server
from stored_inputs import StoredInputs

pytestmark = pytest.mark.services

JSON_LINES = """\
import json, pymr

def mapper(ctx, line):
    row = json.loads(line)
    ctx.emit(row["k"], row["n"])

job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
"""
WHOLE_FILES = """\
import hashlib, pymr

def mapper(ctx, data):
    ctx.emit(hashlib.sha256(data).hexdigest(), len(data))

job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.WHOLE)
"""
ORDERED = COPY_LINES.replace("input=", "reducer=pymr.IDENTITY, input=").replace(
    "ctx.input.offset, line", "line, 1"
)
RAISES = COPY_LINES.replace(
    "    ctx.emit", '    if line == "bad":\n        raise ValueError\n    ctx.emit'
)
TEXT = "".join(f"{number % 977} {number}\n" for number in range(200_000)).encode()
ROWS = b"".join(b'{"k": "%d", "n": %d}\n' % (n % 31, n) for n in range(20_000))


@pytest.fixture
def cli(tmp_path: Path, minio: Server) -> StoredInputs:
    """Return a folder of its own, the real command line in it, and a place in a store."""
    return StoredInputs(tmp_path, minio)


def parts(folder: Path) -> dict[str, bytes]:
    """Return the parts of an output."""
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


@pytest.mark.parametrize(
    ("worker", "files", "flags"),
    [
        (COUNT_WORDS, {"a": TEXT, "b": TEXT[:70_000], "empty": b""}, ["--mappers=7"]),
        (COUNT_WORDS, {"a.gz": gzip.compress(TEXT), "b.bz2": bz2.compress(TEXT)}, []),
        (JSON_LINES, {"a.jsonl": ROWS, "b.jsonl": ROWS}, ["--reducers=3"]),
        (WHOLE_FILES, {"a": TEXT, "b": b"\x00\xff" * 999}, []),
        (ORDERED, {"a": TEXT, "b.gz": gzip.compress(TEXT)}, ["--sort", "--reducers=4"]),
        (COUNT_WORDS, {"a": TEXT.decode().encode("utf-16")}, ["--encoding=utf-16"]),
    ],
    ids=["text", "compressed", "jsonl", "whole", "sort", "transcoded"],
)
def test_the_output_is_the_same_bytes_as_from_files(
    cli: StoredInputs, worker: str, files: dict[str, bytes], flags: list[str]
) -> None:
    """Whatever the inputs are, and however they are cut."""
    for name, data in files.items():
        cli.put(f"in/{name}", data)
        cli.write(f"in/{name}", data)

    local = cli.start("--input=in", "--output=local", *flags, worker=worker)
    stored = cli.read("in/", "--workers=2", *flags, worker=worker)

    assert local.code == 0, local.stderr
    stored.succeeded()
    assert parts(cli.folder / "out") == parts(cli.folder / "local") != {}


def test_commands_that_read_inputs_read_those_in_a_store(cli: StoredInputs) -> None:
    """`plan`, `check`, a run that leaves bad records out, and `debug` of one that failed."""
    cli.put("in/a", b"good\nbad\ngood\n")
    cli.write("worker.py", RAISES)
    given = f"--input={cli.url}/in/"

    assert cli.run("plan", given, "worker.py").code == 0
    assert f"{cli.url}/in/a  line 2" in cli.run("check", given, "worker.py").stderr
    failed = cli.run("start", given, "--output=out", "--name=bad", "worker.py")
    assert f"record  {cli.url}/in/a  line 2 (byte 5)" in failed.stderr
    assert f"{cli.url}/in/a" in cli.run("debug", "bad", "--trace").stdout
    left_out = cli.run("resume", "bad", "--skip-bad-records=1")
    assert left_out.succeeded("1 record skipped") == ["0\tgood", "9\tgood"]
    (bad,) = (cli.folder / "out/_bad").iterdir()
    assert json.loads(bad.read_bytes())["file"] == f"{cli.url}/in/a"


def test_keys_of_the_store_stand_nowhere(cli: StoredInputs) -> None:
    """Not in the output, its journal and history, nor in what is printed."""
    cli.put("in/a", b"a\n")
    secret = cli.server.secret_access_key

    done = cli.read("in/", "--keep")

    done.succeeded()
    kept = [path.read_bytes() for path in cli.folder.rglob("*") if path.is_file()]
    assert len(kept) > 4
    assert not any(secret.encode() in data for data in kept)
    assert secret not in done.stdout + done.stderr
