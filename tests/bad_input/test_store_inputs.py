"""Inputs in an object store that are not there, not readable, oddly named, or not what they were."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from cli import COPY_LINES, COUNT_WORDS
from pymr.records.discover import DiscoverRules, discover
from pymr.store.access import Access
from s3_request import Server
from stored_inputs import ManyObjects, StoredInputs, refusing, serving

pytestmark = pytest.mark.services

REPLACE_INPUT = """\
import os, obstore, pymr
from obstore.store import S3Store

def setup(ctx):
    store = S3Store(ctx.params["place"], config={"aws_endpoint": os.environ["AWS_ENDPOINT_URL"]},
                    client_options={"allow_http": True})
    obstore.put(store, "in.txt", b"other\\n")

def mapper(ctx, line):
    ctx.emit(line, 1)

job = pymr.Job(mapper=mapper, setup=setup, input=pymr.LINES)
"""


@pytest.fixture
def cli(tmp_path: Path, minio: Server) -> StoredInputs:
    """Return a folder of its own, the real command line in it, and a place in a store."""
    return StoredInputs(tmp_path, minio)


@pytest.fixture
def ceph_cli(tmp_path: Path, ceph: Server) -> StoredInputs:
    """Return the same, in a store that takes any key."""
    return StoredInputs(tmp_path, ceph)


def client_of(cli: StoredInputs) -> S3Store:
    """Return the library's own client of the store."""
    server = cli.server
    return S3Store(
        cli.place,
        endpoint=server.endpoint,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("address", ["s3://", "s3:///key", "s3://Upper/key", "s3://b/key"])
def test_b85_an_address_without_a_proper_store(cli: StoredInputs, address: str) -> None:
    """No request is made."""
    cli.start(f"--input={address}").refused(2, address, "s3://bucket/prefix")


def test_b85_what_stands_behind_the_store_is_literal(cli: StoredInputs) -> None:
    """`?`, `#` and `%` are characters of a key, and `?` is no wildcard."""
    for key in ("a?b#c", "100%25", "axb#c"):
        cli.put(key, f"{key}\n".encode())

    assert cli.read("a?b#c", worker=COPY_LINES).succeeded() == ["0\ta?b#c"]
    assert cli.run("start", "--output=2", f"--input={cli.url}/100%25", "worker.py").code == 0
    refused = cli.run("start", "--output=3", f"--input={cli.url}/a?b#", "worker.py")
    assert f"no such input: `{cli.url}/a?b#`" in refused.stderr


def test_b1_a_missing_object_is_named_with_what_is_there(cli: StoredInputs) -> None:
    """However unlike: not everybody has a program that lists a store."""
    said = cli.read("in/x").refused(3, f"no such input: `{cli.url}/in/x`")
    assert "hint: nothing is there: put the input there first" in said

    cli.put("in/words.txt")

    assert f"hint: there is `{cli.url}/in/words.txt`" in cli.read("in/x").refused(3)


def test_b86_b87_keys_with_control_characters(cli: StoredInputs) -> None:
    """They are read, and escaped wherever they are shown."""
    keys = ["\n", "-flag", "\x1b[31mred", "a\tb"]
    for key in keys:
        cli.put(f"in/{key}", b"%d\n" % keys.index(key))

    done = cli.read("in/", worker=COPY_LINES)

    assert sorted(done.succeeded()) == ["0\t0", "0\t1", "0\t2", "0\t3"]
    audit = cli.run("audit", "out").stdout
    assert [name in audit for name in (r"in/\n", r"in/\x1b[31mred", r"in/a\tb")] == [True] * 3
    cli.put("in/\x1b[31mzip", b"PK\x03\x04")
    said = cli.run("start", "--output=2", f"--input={cli.url}/in/", "worker.py").stderr
    assert rf"`{cli.url}/in/\x1b[31mzip` is a zip archive" in said
    assert "\x1b" not in done.stdout + done.stderr + audit + said


KEYS = ["a//b", "../x", "/x", "in/.", "in/..", "a\tb", "k" * 1024, "é/%/+ x"]


def test_b86_keys_are_opaque(ceph_cli: StoredInputs) -> None:
    """Where a store takes any text for a key, its objects are read by exactly that key."""
    cli = ceph_cli
    for number, key in enumerate(KEYS):
        cli.put(key, b"%d\n" % number)

    for number, key in enumerate(KEYS):
        done = cli.read(key, f"--output={number}", worker=COPY_LINES)
        assert (done.code, done.rows(str(number))) == (0, [f"0\t{number}"]), done.stderr

    done = cli.read("", "--recursive", "--overwrite", worker=COPY_LINES)
    found = [row.split("\t")[1] for row in done.rows()]
    assert found == [
        str(KEYS.index(key)) for key in sorted(KEYS, key=str.encode) if not is_hidden(key)
    ]


def is_hidden(key: str) -> bool:
    """Say whether a part of a key begins as names do that are left out of folders."""
    return any(part.startswith((".", "_")) for part in key.split("/"))


def test_b86_a_key_that_no_store_has(cli: StoredInputs) -> None:
    """It is named, and its limit."""
    cli.read("k" * 1025).refused(3, "has 1025 bytes, expected at most 1024")


def test_b89_b34_a_folder_in_a_store(cli: StoredInputs) -> None:
    """Markers are skipped, hidden names counted, folders inside named; `--recursive` reads them."""
    for key in ("in/b", "in/a", "in/_x", "in/a.crc", "in/deep/c", "in/deep/.y", "in/_temporary/z"):
        cli.put(key, f"{key}\n".encode())
    for marker in ("in/", "in/deep/", "in/nothing/"):
        cli.put(marker, b"")

    shallow = cli.read("in", worker=COPY_LINES)
    deep = cli.read("in/", "--recursive", "--output=2", worker=COPY_LINES)

    told = "3 names left out", f"`{cli.url}/in/deep`", f"`{cli.url}/in/nothing`", "--recursive"
    assert shallow.succeeded(*told) == ["0\tin/a", "0\tin/b"]
    assert "4 names left out" in deep.stderr
    assert deep.rows("2") == ["0\tin/a", "0\tin/b", "0\tin/deep/c"]


def test_b2_b31_globs_and_duplicates(cli: StoredInputs) -> None:
    """As for files."""
    for key in ("logs/a.gz", "logs/b.gz", "logs/c.txt", "logs/_SUCCESS", "logs/x/d.gz", "lo/e.gz"):
        cli.put(key, gzip.compress(f"{key}\n".encode()) if key.endswith("gz") else b"t\n")

    def rows(glob: str, output: str) -> list[str]:
        return cli.read(glob, f"--output={output}", worker=COPY_LINES).rows(output)

    assert rows("logs/*.gz", "1") == ["0\tlogs/a.gz", "0\tlogs/b.gz"]
    assert rows("lo*/[!ad]*", "2") == ["0\tlo/e.gz", "0\tlogs/b.gz", "0\tt", "0\tlogs/x/d.gz"]
    cli.put("lo/_pymr/run/e.gz", b"ours")
    assert rows("**/*[de].gz", "3") == ["0\tlo/e.gz", "0\tlogs/x/d.gz"]
    assert cli.read("logs/*.zip", "--output=4").stderr.count(f"`{cli.url}/logs/") == 4
    twice = cli.read("logs/c.txt", f"--input={cli.url}/logs/*.txt")
    assert f"input `{cli.url}/logs/c.txt` is given twice" in twice.stderr


LIST_ALL = r"""
import re, sys
from pathlib import Path
from pymr.records.discover import DiscoverRules, discover
from pymr.store.access import Access

access = Access(endpoint=sys.argv[1], access_key_id="k", secret_access_key="s")
found = discover(["s3://many/logs/"], DiscoverRules(access=access, recursive=True))
assert found.files[123_456].path == b"s3://many/logs/2026-11-26/0123456.txt"
# Not `ru_maxrss`, in which is what the process that has started this one had.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(len(found.files), int(peak[1]) << 10)
"""


@pytest.mark.timeout(600)
def test_b88_a_million_objects_under_a_prefix() -> None:
    """Listed page by page, in less than 200 MB."""
    with serving(ManyObjects) as url:
        done = subprocess.run(
            [sys.executable, "-c", LIST_ALL, url], capture_output=True, text=True, check=True
        )

    count, used_bytes = map(int, done.stdout.split())
    assert count == 1_000_000
    assert used_bytes < 200_000_000


def test_f47_a_listing_that_is_unordered_and_says_things_twice() -> None:
    """It is put in order, and each key counts once."""

    class Untidy(ManyObjects):
        pages = 3
        rows = "".join(
            f"<Contents><Key>logs/{key}</Key><Size>0</Size><ETag>&quot;e&quot;</ETag></Contents>"
            for key in ("b", "PAGE", "a", "b", "c%2Bd+e")
        )

    with serving(Untidy) as url:
        access = Access(endpoint=url, access_key_id="k", secret_access_key="s")
        found = discover(["s3://many/logs/"], DiscoverRules(access=access))

    keys = (b"0000", b"0001", b"0002", b"a", b"b", b"c+d e")
    assert [file.path for file in found.files] == [b"s3://many/logs/" + key for key in keys]


@pytest.fixture
def refused(cli: StoredInputs) -> Iterator[dict[str, tuple[int, str, str]]]:
    """Return keys that a store in between refuses, with status, code and words."""
    answers: dict[str, tuple[int, str, str]] = {}
    with serving(refusing(cli.server, cli.place, answers)) as url:
        cli.environ["AWS_ENDPOINT_URL"] = url
        yield answers


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((403, "InvalidObjectState", "restore it first"), ("archived", "restore-object")),
        ((400, "InvalidRequest", "server side encryption with a customer key"), ("SSE-C",)),
        ((403, "AccessDenied", "Access Denied"), ("requester", "AWS_REQUEST_PAYER")),
    ],
    ids=["archived", "encrypted", "requester-pays"],
)
def test_b90_objects_that_a_store_does_not_give_away(
    cli: StoredInputs,
    refused: dict[str, tuple[int, str, str]],
    answer: tuple[int, str, str],
    told: tuple[str, ...],
) -> None:
    """Its code, its words and what to do; before any work."""
    cli.put("in/a")
    refused["in/a"] = answer

    said = cli.read("in/a").refused(5, f"{cli.url}/in/a", answer[1], answer[2])

    assert any(word in said for word in told)


def test_b25_denied_on_some_of_many_objects(
    cli: StoredInputs, refused: dict[str, tuple[int, str, str]]
) -> None:
    """All of them are named at once."""
    for number in range(40):
        cli.put(f"in/{number:02d}")
    for number in (3, 17, 39):
        refused[f"in/{number:02d}"] = (403, "AccessDenied", "Access Denied")

    said = cli.read("in/").refused(5, "cannot read 3 inputs")

    assert [f"{cli.url}/in/{number:02d}" in said for number in (3, 4, 17, 39)] == [1, 0, 1, 1]


def test_b91_an_object_that_says_it_is_encoded(cli: StoredInputs) -> None:
    """The bytes as they are stored decide, not `Content-Encoding`."""
    encoded = {"Content-Encoding": "gzip"}
    obstore.put(client_of(cli), "in/a", gzip.compress(b"a\n"), attributes=encoded)
    obstore.put(client_of(cli), "in/b", b"b\n", attributes=encoded)

    assert cli.read("in/", worker=COPY_LINES).succeeded() == ["0\ta", "0\tb"]


def test_b92_an_object_that_was_uploaded_in_parts(cli: StoredInputs) -> None:
    """Its ETag is no digest of its bytes, and nobody takes it for one."""
    data = b"x" * 99 + b"\n"
    obstore.put(client_of(cli), "big", data * 120_000, chunk_size=5 << 20, use_multipart=True)
    assert "-" in (obstore.head(client_of(cli), "big")["e_tag"] or "")

    assert cli.read("big", worker=COUNT_WORDS).succeeded() == [f"{'x' * 99}\t120000"]


def test_f45_an_object_that_is_replaced_before_it_is_read(cli: StoredInputs) -> None:
    """Both versions are named, and nothing is published."""
    cli.put("in.txt", b"one\n")

    said = cli.read("in.txt", f"--set=place={cli.place}", worker=REPLACE_INPUT).refused(
        3, f"input changed: `{cli.url}/in.txt`", "it was replaced (ETag "
    )

    assert said.count('"') >= 4, "two ETags"


def test_f45_an_object_that_is_replaced_before_a_resume(cli: StoredInputs) -> None:
    """As files are: `--restart` reads it as it is now."""
    cli.put("in.txt", b"one\n")
    broken = COUNT_WORDS.replace("ctx.emit", "raise ValueError(1)\n        ctx.emit")
    assert cli.read("in.txt", "--name=again", worker=broken).code == 1
    cli.put("in.txt", b"other\n")
    cli.write("worker.py", COUNT_WORDS)

    said = cli.run("resume", "again")

    told = f"1 input changed since the run was planned: `{cli.url}/in.txt`: it was replaced (ETag"
    said.refused(3, told)
    assert cli.run("resume", "again", "--restart").succeeded() == ["other\t1"]


def test_f49_a_store_that_is_not_there_and_keys_that_do_not_fit(cli: StoredInputs) -> None:
    """Each in one line, before any work."""
    cli.put("k")
    wrong = cli.environ | {"AWS_SECRET_ACCESS_KEY": "wrong"}

    cli.start("--input=s3://no-such-place-here/k").refused(5, "no bucket `no-such-place-here`")
    cli.read("k", environ=wrong).refused(5, "the secret key does not fit", "SignatureDoesNotMatch")
    cli.read("", environ=wrong).refused(5, "the secret key does not fit")
