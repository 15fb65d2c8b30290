"""A record that is lost, doubled or changed on any edge stops the run: exit 7, no result.

Checksums guard bytes at rest, the books guard what code does between them. So a fault that
leaves every checksum right (a bug of ours would) has to be seen by the books alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pymr
from cli import CommandLine
from inline_run import InlineRun
from pymr.core.spec import EdgeSum, Receipt
from pymr.errors import CorruptDataError, InputError, IntegrityError
from pymr.records.source import RangeReader
from pymr.shuffle.codec import encode_value
from pymr.shuffle.sorted_run import Entry, SortedRunReader, SortedRunWriter
from pymr.store.base import ObjectStore
from pymr.store.local import LocalStore
from pymr.task import reduce_attempt

TEXT = "".join(f"{n % 7} {n}\n" for n in range(200))
BLOCK_BYTES = 512

Fault = Callable[[list[Entry]], None]


def drop(entries: list[Entry]) -> None:
    entries[0][1].pop()


def double(entries: list[Entry]) -> None:
    entries[0][1].append(entries[0][1][0])


def flip(entries: list[Entry]) -> None:
    values = entries[0][1]
    values[0] = encode_value(12345)
    assert len(values[0]) == 3  # as long as before: only the fingerprint can see it


def swap(entries: list[Entry]) -> None:
    """Exchange values of two keys: every sum but the fingerprint is as it was."""
    first, second = entries[0][1], entries[1][1]
    first[0], second[0] = second[0], first[0]


FAULTS = [drop, double, flip, swap]


def mapper(ctx: Any, line: str) -> None:
    word, number = line.split()
    ctx.emit(word, int(number) + 10_000)


def inline(tmp_path: Path, **options: Any) -> InlineRun:
    path = tmp_path / "in.txt"
    path.write_text(TEXT)
    job = pymr.Job(
        mapper=mapper,
        reducer=lambda ctx, key, values: ctx.emit(key, sum(values)),
        input=pymr.LINES,
    )
    store = LocalStore(str(tmp_path / "out"))
    return InlineRun(job, [path], store, tmp_path / "tmp", **{"reducers": 1, **options})


def open_run(store: ObjectStore, key: str) -> SortedRunReader:
    return SortedRunReader(partial(store.get_range, key), store.size(key), key)


def rewritten(reader: SortedRunReader, fault: Fault) -> tuple[bytes, str, EdgeSum]:
    """Return a sorted run with `fault` in its first partition that is sound in itself."""
    pieces: list[bytes] = []
    writer = SortedRunWriter(pieces.append, len(reader.footer.index), BLOCK_BYTES)
    for partition in range(len(reader.footer.index)):
        entries = list(reader.entries(partition))
        if partition == 0:
            fault(entries)
        for key, values in entries:
            writer.add_group(partition, key, values)
    digest = writer.finish(reader.footer.extra)
    return b"".join(pieces), digest, writer.written


def refused(run: InlineRun, error_class: type[Exception], *parts: str) -> None:
    """Assert that the run stops with exit 7, names what it saw, and publishes nothing."""
    with pytest.raises(error_class) as caught:
        run.run()

    assert [part for part in parts if part not in str(caught.value)] == []
    assert caught.value.exit_code == 7
    assert not run.is_published


def test_without_a_fault_the_books_balance(tmp_path: Path) -> None:
    """The run that the others disturb, and a rewriting that changes nothing."""

    def between(receipt: Receipt) -> Receipt:
        if receipt.attempt.phase == "map":
            body, digest, written = rewritten(open_run(run.store, receipt.key), lambda _: None)
            assert written == receipt.written
            run.store.replace(receipt.key, body)
            return msgspec.structs.replace(receipt, size=len(body), footer_digest=digest)
        return receipt

    run = inline(tmp_path, between=between)
    (part,) = run.run()

    assert run.is_published
    assert part.decode() == "".join(
        f"{key}\t{sum(n + 10_000 for n in range(200) if n % 7 == key)}\n" for key in range(7)
    )


# -- input → map -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("short", InputError, "input changed"),
        ("miscounted", IntegrityError, "do not balance"),
    ],
)
def test_input_that_is_not_read_whole_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, error: type[Any], message: str
) -> None:
    """A short read is seen at once; bytes that were lost on the way, by the books."""
    read = os.pread
    if fault == "short":
        monkeypatch.setattr("os.pread", lambda fd, size, at: read(fd, size, at)[: 700 - at])
    else:
        monkeypatch.setattr(
            RangeReader, "bytes_read", property(lambda _self: 5, lambda _self, _value: None)
        )
    run = inline(tmp_path)

    with pytest.raises(error, match=message):
        run.run()

    assert not run.is_published


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"records_in": 1}, ["splits → map-0000", "records in splits, 1 in all"]),
        ({"bytes_in": 1}, ["splits → map-0000", "bytes in splits, 1 in all"]),
        ({"emitted": 1}, ["map-0000", "1 records emitted", "written"]),
    ],
)
def test_a_map_task_that_miscounts_stops_the_run(
    tmp_path: Path, change: dict[str, int], parts: list[str]
) -> None:
    """What it read and emitted must be what its splits and its object say."""
    run = inline(tmp_path, between=lambda receipt: msgspec.structs.replace(receipt, **change))

    refused(run, IntegrityError, *parts)


# -- map → shuffle object ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_an_object_that_holds_other_records_than_were_written_stops_the_run(
    tmp_path: Path, fault: Fault
) -> None:
    """It is sound in itself, and the receipt names its digest: only the books can see it."""

    def between(receipt: Receipt) -> Receipt:
        body, digest, _ = rewritten(open_run(run.store, receipt.key), fault)
        run.store.replace(receipt.key, body)
        return msgspec.structs.replace(receipt, size=len(body), footer_digest=digest)

    run = inline(tmp_path, between=between)

    refused(run, IntegrityError, "books of map-0000 → partitions do not balance")


@pytest.mark.parametrize("fault", [drop, double])
def test_a_map_task_that_writes_other_records_than_it_emitted_stops_the_run(
    tmp_path: Path, fault: Fault
) -> None:
    """Object and receipt agree; what the mapper emitted does not."""

    def between(receipt: Receipt) -> Receipt:
        body, digest, written = rewritten(open_run(run.store, receipt.key), fault)
        run.store.replace(receipt.key, body)
        return msgspec.structs.replace(
            receipt, size=len(body), footer_digest=digest, written=written
        )

    run = inline(tmp_path, between=between)

    refused(run, IntegrityError, "books of map-0000 do not balance", "records emitted", "written")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_object_that_is_not_the_receipts_is_refused(tmp_path: Path, fault: Fault) -> None:
    """Sound in itself, but the committed digest is another: tried again, then exit 7."""
    seen: list[int] = []

    def between(receipt: Receipt) -> Receipt:
        seen.append(receipt.attempt.number)
        body, _, _ = rewritten(open_run(run.store, receipt.key), fault)
        run.store.replace(receipt.key, body)
        return receipt

    run = inline(tmp_path, mappers=1, between=between)

    refused(run, CorruptDataError, "corrupt")
    assert seen == [1, 2]


# -- shuffle → reduce --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_records_that_change_on_the_way_to_the_reducer_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """A reader that hands out other records than were written is seen by the books alone."""

    def tampered(store: ObjectStore, source: Any) -> SortedRunReader:
        if source.task == 0:
            body, _, _ = rewritten(open_run(store, source.key), fault)
            store.replace(source.key, body)
        return open_run(store, source.key)

    monkeypatch.setattr(reduce_attempt, "open_source", tampered)

    refused(
        inline(tmp_path), IntegrityError, "books of map tasks → partition 0 do not balance", "read"
    )


def test_a_partition_that_reads_anothers_records_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record would be reduced, once, by the wrong task."""
    monkeypatch.setattr(
        "pymr.task.reduce_attempt.reduce_merge",
        lambda sources, partition, **options: _merge(sources, 1 - partition, **options),
    )

    refused(inline(tmp_path, reducers=2), IntegrityError, "map tasks → partition 0")


_merge = reduce_attempt.reduce_merge


@pytest.mark.parametrize("change", [{"groups": 3}, {"calls": 8}, {"reduced": 199}])
def test_a_reduce_task_that_miscounts_stops_the_run(tmp_path: Path, change: dict[str, int]) -> None:
    """A call for each group, and each record in one of them."""

    def between(receipt: Receipt) -> Receipt:
        is_reduce = receipt.attempt.phase == "reduce"
        return msgspec.structs.replace(receipt, **change) if is_reduce else receipt

    refused(inline(tmp_path, between=between), IntegrityError, "books of reduce-0000 do not")


# -- on the command line -----------------------------------------------------------------------


# A job whose `setup` changes the map outputs on disk as {change} says: for each reduce attempt.
TAMPERING = """\
import glob, os
import pymr

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

def setup(ctx):
    for path in glob.glob("out/_pymr/*/map-*"):
        os.chmod(path, 0o600)
        data = bytearray(open(path, "rb").read())
        {change}
        open(path, "wb").write(data)

job = pymr.Job(mapper=mapper, reducer=reducer, setup=setup)
"""

# A process whose map attempts report a sound object with one record less than they wrote.
FORGING = """\
import msgspec
import pymr
from functools import partial
from pymr.shuffle.sorted_run import SortedRunReader, SortedRunWriter
from pymr.task import attempt as seam

real = seam.run_attempt

def forged(job, spec, attempt, store, *more):
    receipt = real(job, spec, attempt, store, *more)
    read_at = partial(store.get_range, receipt.key)
    reader = SortedRunReader(read_at, receipt.size, receipt.key)
    pieces = []
    writer = SortedRunWriter(pieces.append, 1, 1024)
    entries = list(reader.entries(0))
    entries[0][1].pop()
    for key, values in entries:
        writer.add_group(0, key, values)
    digest = writer.finish(reader.footer.extra)
    store.replace(receipt.key, b"".join(pieces))
    return msgspec.structs.replace(receipt, size=writer.size, footer_digest=digest)

seam.run_attempt = forged

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data[20] = 255", "the checksum of a block differs"),
        ("del data[20:]", "bytes where"),
    ],
)
def test_f21_bytes_that_change_on_disk_are_read_again_then_refused(
    tmp_path: Path, change: str, said: str
) -> None:
    """Checksums see it, for each attempt; after the last one the run stops without a result.

    The first two are the map output's failures, which is then written again; the others count.
    """
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "b a a\n" * 50)

    outcome = cli.start(
        "--input=in.txt", "--attempts=3", worker=TAMPERING.replace("{change}", change)
    )

    outcome.refused(7, "corrupt", said)
    failures = cli.run("errors", "out").stdout
    assert "reduce-0000 attempt 1  tried again" in failures
    assert "reduce-0000 attempt 5  not tried again" in failures


def test_f21_bytes_that_were_wrong_once_cost_one_attempt(tmp_path: Path) -> None:
    """What a cable or a memory chip did to one read is read again; the result is right."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "b a a\n" * 50)

    outcome = cli.start("--input=in.txt", worker=TAMPERING.replace("{change}", "data[20] ^= 1"))

    assert outcome.succeeded("1 attempt tried again") == ["a\t100", "b\t50"]
    assert cli.run("verify", "out").code == 0


def test_an_object_with_a_record_less_stops_the_command(tmp_path: Path) -> None:
    """Every checksum is right; the books name the edge; it is not tried again."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "b a a\n" * 50)

    outcome = cli.start("--input=in.txt", worker=FORGING)

    outcome.refused(7, "books of map-0000 → partitions do not balance", "150", "149")
    assert cli.run("head", "out").code == 4


def test_an_object_that_is_not_the_receipts_stops_the_command(tmp_path: Path) -> None:
    """The runner checks what a task process reports; each attempt reports the same untruth."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "b a a\n" * 50)
    worker = FORGING.replace("size=writer.size, footer_digest=digest", "size=receipt.size + 1")

    outcome = cli.start("--input=in.txt", worker=worker)

    outcome.refused(7, "is corrupt", "expected")
    assert "map-0000 attempt 1  tried again" in cli.run("errors", "out").stdout
