"""The map side by example: what it refuses, when it spills, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, reader_of, records_of, shuffle
from pymr.core.spec import Limits
from pymr.errors import CorruptDataError, ResourceError
from pymr.shuffle.buffer import GROUP_BYTES, RECORD_BYTES, MapBuffer
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.codec import decode_key, decode_value, encode_key, encode_value
from pymr.shuffle.partition import partition_of

SMALL = Limits(spill_bytes_max=2000, merge_fan_in_max=2, block_bytes=100)


def buffer(folder: Path, **changes: Any) -> MapBuffer:
    """Return a buffer with one partition and default limits, but for `changes`."""
    options: dict[str, Any] = {"partitions": 1, "limits": Limits(), "spill_folder": str(folder)}
    return MapBuffer(**(options | changes))


def finish(filled: MapBuffer) -> list[tuple[int, Any, Any]]:
    """Return the decoded records of the sorted run."""
    target = MemoryObject()
    filled.finish(target)
    return [
        (partition, decode_key(key), decode_value(value))
        for partition, key, value in records_of(bytes(target.data))
    ]


def test_records_leave_sorted_and_values_in_order_of_emission(tmp_path: Path) -> None:
    """Equal keys keep their order, and nothing touches the disk while there is room."""
    records = buffer(tmp_path / "spills")
    for key, value in [("b", 1), ("a", "x"), ("b", 0), (1, 2), (True, 3), (1.0, 4), ("b", 1)]:
        records.emit(key, value)

    assert finish(records) == [
        (0, True, 3),
        (0, 1, 2),
        (0, 1.0, 4),
        (0, "a", "x"),
        (0, "b", 1),
        (0, "b", 0),
        (0, "b", 1),
    ]
    assert not (tmp_path / "spills").exists()


def test_totals_say_what_was_written(tmp_path: Path) -> None:
    """The receipt's numbers, and the digest that binds the footer with its extra bytes."""
    records = buffer(tmp_path, combine=combine_for("sum"))
    for key in "abab":
        records.emit(key, 1)
    records.emit("c", 5)
    target = MemoryObject()

    totals = records.finish(target, b"extra")

    assert (totals.emitted, totals.combined_in, totals.combined_out) == (5, 4, 2)
    assert totals.written.records == 3
    assert totals.written.bytes == 3 * 3
    assert totals.size == len(target.data)
    assert totals.spills == 0
    assert reader_of(bytes(target.data), totals.footer_digest).footer.extra == b"extra"


def test_a_full_buffer_spills_and_the_spills_are_gone_at_the_end(tmp_path: Path) -> None:
    """Records in memory stay below the limit; the folder is made when needed, and private."""
    folder = tmp_path / "a" / "spills"
    records = buffer(folder, limits=SMALL, partitions=3)
    for number in range(1000):
        records.emit(number % 7, number)

    names = [path.name for path in folder.iterdir()]
    assert len(names) > 20
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in names)

    assert sorted(finish(records), key=lambda record: record[1]) == [
        (partition_of(encode_key(key), 3), key, number)
        for key in range(7)
        for number in range(key, 1000, 7)
    ]
    assert list(folder.iterdir()) == []


def test_another_seed_gives_keys_other_partitions(tmp_path: Path) -> None:
    """Those of the hash with that seed."""
    records = buffer(tmp_path, partitions=3, partition_seed=7)
    for number in range(50):
        records.emit(number, None)

    partitions = {key: partition for partition, key, _ in finish(records)}

    assert partitions == {key: partition_of(encode_key(key), 3, 7) for key in range(50)}
    assert partitions != {key: partition_of(encode_key(key), 3) for key in range(50)}


def test_the_buffer_is_full_at_an_exact_number_of_bytes(tmp_path: Path) -> None:
    """Where it spills is a function of encoded bytes, so a second run spills there too."""
    size = (2 + GROUP_BYTES) + 2 * (1 + RECORD_BYTES)  # a key of 2 bytes, two values of 1
    for limit, spills in ((size, 0), (size - 1, 1)):
        records = buffer(tmp_path, limits=Limits(spill_bytes_max=limit))
        records.emit("k", 1)
        records.emit("k", 2)

        assert len(list(tmp_path.iterdir())) == spills
        records.discard()


def test_a_combiner_that_makes_room_saves_the_spill(tmp_path: Path) -> None:
    """Summing few keys needs no disk, however many records there are."""
    records = buffer(tmp_path, limits=SMALL, combine=combine_for("sum"))
    for number in range(10_000):
        records.emit(number % 2, 1)

    target = MemoryObject()
    totals = records.finish(target)

    assert totals.spills == 0
    assert totals.written.records == 2
    assert totals.emitted - totals.combined_in + totals.combined_out == 2
    assert records_of(bytes(target.data)) == [
        (0, encode_key(key), encode_value(5000)) for key in (0, 1)
    ]


def test_spills_are_combined_again_when_they_are_merged(tmp_path: Path) -> None:
    """With too many keys for the buffer, one value a key is left all the same."""
    records = buffer(tmp_path, limits=SMALL, combine=combine_for("sum"))
    for number in range(2000):
        records.emit(number % 50, 1)

    target = MemoryObject()
    totals = records.finish(target)

    assert totals.spills > 10
    assert totals.written.records == 50
    assert totals.emitted - totals.combined_in + totals.combined_out == 50


def test_a_combiner_that_makes_no_room_does_not_save_the_spill(tmp_path: Path) -> None:
    """Memory is bounded whatever the combiner does."""
    records = buffer(tmp_path, limits=SMALL, combine=lambda _, values: list(values))
    for number in range(1000):
        records.emit("k", number)

    totals = records.finish(MemoryObject())

    assert totals.spills > 20
    assert totals.written.records == 1000


def test_a_combiner_gets_two_values_or_more(tmp_path: Path) -> None:
    """In memory, in merges of spills and in merges of a reduce task."""
    sizes: list[int] = []

    def combine(_: bytes, values: Iterator[bytes]) -> list[bytes]:
        group = list(values)
        sizes.append(len(group))
        return group[:1]

    tasks = [[(n % 20, n) for n in range(50)], [(n, n) for n in range(15, 60)]] * 2
    result = shuffle(tasks, tmp_path, limits=SMALL, combine=combine)

    assert result.merges[0].combined_in > 0
    assert min(sizes) == 2


def test_a_combiner_that_stops_early_has_still_been_given_the_group(tmp_path: Path) -> None:
    """The books count what went in, read or not; a group that leaves nothing is gone."""

    def first(_: bytes, values: Iterator[bytes]) -> list[bytes]:
        return [next(values)]

    for limits in (Limits(), SMALL):
        result = shuffle(
            [[(n % 20, n) for n in range(500)]], tmp_path, limits=limits, combine=first
        )
        totals = result.totals[0]

        assert result.groups == [(key, [key]) for key in range(20)]
        assert totals.emitted - totals.combined_in + totals.combined_out == totals.written.records

        nothing = shuffle(
            [[(n % 20, n) for n in range(500)]], tmp_path, limits=limits, combine=lambda *_: []
        )
        assert all(len(values) == 1 for _, values in nothing.groups)


def test_count_only_replaces_every_value(tmp_path: Path) -> None:
    """COUNT needs no value, so it may be anything, even what cannot be encoded."""
    records = buffer(tmp_path, count_only=True, limits=Limits(value_bytes_max=1))
    for value in (7, "text", lambda: None, b"x" * 100):
        records.emit("k", value)

    assert finish(records) == [(0, "k", 1)] * 4


def test_b58_str_keys_are_normalized_on_request_also_in_tuples(tmp_path: Path) -> None:
    """Composed and decomposed forms are two keys, unless --normalize joins them."""
    pairs = [("e\u0301", 1), ("\u00e9", 2), (("e\u0301", b"e"), 3), (("\u00e9", b"e"), 4), (5, 5)]

    apart, joined = buffer(tmp_path), buffer(tmp_path, normalize="NFC")
    for key, value in pairs:
        apart.emit(key, value)
        joined.emit(key, value)

    assert len({repr(record[1]) for record in finish(apart)}) == 5
    assert finish(joined) == [
        (0, 5, 5),
        (0, "\u00e9", 1),
        (0, "\u00e9", 2),
        (0, ("\u00e9", b"e"), 3),
        (0, ("\u00e9", b"e"), 4),
    ]


def test_a_partitioner_decides_where_a_key_goes(tmp_path: Path) -> None:
    """It sees the key and the number of partitions."""
    records = buffer(tmp_path, partitions=3, partitioner=lambda key, partitions: key % partitions)
    for number in range(6):
        records.emit(number, "v")

    assert finish(records) == [(n % 3, n, "v") for n in (0, 3, 1, 4, 2, 5)]


@pytest.mark.parametrize(
    ("result", "shown"),
    [(3, "3"), (-1, "-1"), (None, "None"), (1.0, "1.0"), ("x" * 90, "'" + "x" * 78 + "…")],
)
def test_a_partitioner_must_return_a_partition(tmp_path: Path, result: Any, shown: str) -> None:
    """The message shows what it returned and what was expected."""
    records = buffer(tmp_path, partitions=3, partitioner=lambda *_: result)

    with pytest.raises(ValueError, match="partitioner returned") as caught:
        records.emit("k", 1)
    assert str(caught.value) == f"partitioner returned {shown}, expected an int from 0 to 2"
    assert finish(records) == []


def test_b61_b74_a_key_or_value_over_its_limit_is_refused(tmp_path: Path) -> None:
    """The message has both sizes, and nothing of the record stays."""
    records = buffer(tmp_path, limits=Limits(key_bytes_max=10, value_bytes_max=10))
    records.emit("k" * 9, "v" * 8)

    with pytest.raises(ValueError, match="a key of 11 bytes is larger than the limit of 10 bytes"):
        records.emit("k" * 10, 1)
    with pytest.raises(ValueError, match="a value of 11 bytes is larger than the limit of 10"):
        records.emit("k", "v" * 9)

    assert finish(records) == [(0, "k" * 9, "v" * 8)]


def test_what_is_no_key_is_refused_at_emit(tmp_path: Path) -> None:
    """B60, with normalization too, and however deep."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = (deep,)
    for normalize in (None, "NFC"):
        records = buffer(tmp_path, normalize=normalize)

        with pytest.raises(TypeError, match=r"of type `list`.* use a tuple"):
            records.emit(["a"], 1)
        with pytest.raises(ValueError, match="nested deeper than 100 tuples"):
            records.emit(deep, 1)
        records.emit("a", 1)
        with pytest.raises(TypeError, match=r"of type `Text`.* use str"):
            records.emit(type("Text", (str,), {})("a"), 1)  # equal to the key before
        assert finish(records) == [(0, "a", 1)]


def test_another_thread_may_not_emit(tmp_path: Path) -> None:
    """A mapper that starts threads gets an error, and no result even if it hides the error."""
    records = buffer(tmp_path)
    errors: list[BaseException] = []

    def emit() -> None:
        try:
            records.emit("k", 1)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=emit)
    thread.start()
    thread.join()

    assert "by another thread" in str(errors[0])
    with pytest.raises(RuntimeError, match="by another thread"):
        finish(records)


def test_a_finished_buffer_takes_nothing_more(tmp_path: Path) -> None:
    """Neither a record nor a second finish."""
    records = buffer(tmp_path)
    finish(records)

    with pytest.raises(RuntimeError, match="or is finished"):
        records.emit("k", 1)
    with pytest.raises(RuntimeError, match="or is finished"):
        finish(records)


def test_a_combiner_may_not_emit_into_the_buffer_that_calls_it(tmp_path: Path) -> None:
    """The dict it iterates over would change; afterwards the buffer works on."""
    caught: list[str] = []

    def combine(_: bytes, values: Iterator[bytes]) -> list[bytes]:
        try:
            records.emit("x", 1)
        except RuntimeError as error:
            caught.append(str(error))
        return list(values)[:1]

    records = buffer(tmp_path, limits=SMALL, combine=combine)
    for _ in range(100):
        records.emit("k", 1)

    assert "while the buffer combines" in caught[0]
    assert finish(records) == [(0, "k", 1)]


class Emits:
    """Emits when it is pickled."""

    target: MapBuffer

    def __reduce__(self) -> tuple[Callable[..., object], tuple[()]]:
        self.target.emit("inner", 2)
        return (Emits, ())


def test_code_of_the_user_may_emit_while_a_record_is_encoded(tmp_path: Path) -> None:
    """Pickling and partitioners are such code; a spill in between loses nothing."""

    def partitioner(key: Any, _: int) -> int:
        if key == "outer":
            records.emit("middle", 3)
        return 0

    records = buffer(tmp_path, limits=Limits(spill_bytes_max=0), partitioner=partitioner)
    Emits.target = records
    records.emit("outer", Emits())

    target = MemoryObject()
    totals = records.finish(target)
    assert totals.emitted == 3
    assert [decode_key(key) for _, key, _ in records_of(bytes(target.data))] == [
        "inner",
        "middle",
        "outer",
    ]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "free some space there, or choose another folder with --tmp-dir"),
        (errno.EACCES, "choose another folder with --tmp-dir"),
    ],
)
def test_f14_a_full_disk_is_a_resource_error_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    """Exit 6, can be tried again, and the half spill is gone."""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", refuse)
    records = buffer(tmp_path, limits=SMALL)

    records.emit("k", 1)
    with pytest.raises(ResourceError, match=f"cannot write a spill in `{tmp_path}`") as caught:
        records.emit("k", "v" * 2000)

    assert os.strerror(code) in caught.value.message
    has_room = {"have"} if code == errno.ENOSPC else set()
    assert caught.value.fields.keys() == {"path", *has_room}
    assert caught.value.fields["path"] == str(tmp_path)
    assert caught.value.hint == hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_resource_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_bytes(b"")
    records = buffer(tmp_path / "file" / "spills", limits=Limits(spill_bytes_max=0))

    with pytest.raises(ResourceError, match="cannot write a spill"):
        records.emit("k", 1)


def test_a_spill_that_vanished_is_a_resource_error(tmp_path: Path) -> None:
    """Somebody cleaned the temporary folder."""
    records = buffer(tmp_path, limits=Limits(spill_bytes_max=0))
    records.emit("k", 1)
    next(tmp_path.iterdir()).unlink()

    with pytest.raises(ResourceError, match="cannot read a spill"):
        finish(records)


def test_a_spill_that_rots_is_corrupt(tmp_path: Path) -> None:
    """The local disk is not trusted either."""
    records = buffer(tmp_path, limits=Limits(spill_bytes_max=0))
    records.emit("k", "value")
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes().replace(b"value", b"velue"))

    with pytest.raises(CorruptDataError, match="checksum of a block differs"):
        finish(records)
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.write` may take less than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))

    result = shuffle([[(n % 5, n) for n in range(200)]], tmp_path, limits=SMALL)

    assert result.groups == [(key, list(range(key, 200, 5))) for key in range(5)]


def test_a_discarded_buffer_leaves_no_spills(tmp_path: Path) -> None:
    """An attempt that failed cleans up, also twice."""
    records = buffer(tmp_path, limits=SMALL)
    for number in range(1000):
        records.emit(number, number)
    assert list(tmp_path.iterdir())

    records.discard()
    records.discard()

    assert list(tmp_path.iterdir()) == []


def test_a_value_that_cannot_be_pickled_is_refused_at_emit(tmp_path: Path) -> None:
    """The user's own frame is in the traceback, and the record is not counted."""
    records = buffer(tmp_path)

    with pytest.raises(TypeError, match="cannot be pickled"):
        records.emit("k", pickle)

    assert finish(records) == []
