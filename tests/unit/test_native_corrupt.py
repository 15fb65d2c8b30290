"""What the compiled reader does with an index that cannot be, and after an error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from memory_runs import MemoryObject, reader_of
from pymr._native import GroupMerge, Run, xxh3_64
from pymr.core.spec import Limits
from pymr.errors import CorruptDataError, StoreUnavailableError
from pymr.shuffle.native_buffer import NativeMapBuffer


def run_of_one_key(folder: object, count: int) -> tuple[bytes, list[Any]]:
    """Return the bytes of a run with values 0, 1, … of one key, and its blocks."""
    records = NativeMapBuffer(
        partitions=1, limits=Limits(block_bytes=300), spill_folder=str(folder)
    )
    for number in range(count):
        records.emit("k", number)
    target = MemoryObject()
    records.finish(target)
    data = bytes(target.data)
    return data, list(reader_of(data).footer.index[0].blocks)


def merged(data: bytes, blocks: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Return the groups of a run with these blocks."""
    run = Run("it", [blocks], lambda at, size: data[at : at + size])
    return GroupMerge([run], 0, lambda: None, lambda: None)


@pytest.mark.parametrize(
    "changed",
    [
        {"offset": 0},
        {"offset": 1 << 40},
        {"offset": (1 << 64) - 1},
        {"size": 0},
        {"size": 5},
        {"size": (1 << 32) - 1},
        {"codec": 1},
        {"codec": 255},
        {"checksum": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [0, 1])
def test_an_index_that_is_not_of_the_run_is_corrupt(changed, number, tmp_path) -> None:
    """No place of it is trusted, nor any memory taken for a size that is none."""
    data, blocks = run_of_one_key(tmp_path, 300)
    good = blocks[number]
    blocks[number] = good._replace(**changed)
    if changed == {"codec": 255}:  # only the footer's reader knows what there is
        assert sum(len(list(values)) for _, values in merged(data, blocks)) == 300
        return

    with pytest.raises(CorruptDataError) as caught:
        _ = [list(values) for _, values in merged(data, blocks)]

    assert set(caught.value.fields) == {"path", "offset"}


def test_blocks_in_another_order_are_read_where_they_are(tmp_path) -> None:
    """What was read ahead is used for what lies in it only."""
    data, blocks = run_of_one_key(tmp_path, 300)
    assert len(blocks) > 2

    [values] = [list(values) for _, values in merged(data, blocks[::-1])]

    assert values != list(range(300))
    assert sorted(values) == list(range(300))


@pytest.mark.parametrize("codec", [0, 1])
def test_values_that_cannot_be_read_fail_the_merge_even_if_the_reducer_hides_it(
    codec, tmp_path
) -> None:
    """A group that ends early would be a wrong result; nothing is made of what is no entry."""
    data, blocks = run_of_one_key(tmp_path, 300)
    bad = b"\x20\0\0\0\xff\xff" if codec else b"\x02\x40k\x02\x02\x11\x91"
    blocks[1] = (len(data), len(bad), codec, xxh3_64(bad))
    groups = merged(data + bad, blocks)
    found: list[int] = []

    _, values = next(groups)
    with pytest.raises(CorruptDataError, match="is corrupt"):
        found.extend(values)
    for _ in range(3):
        with pytest.raises(CorruptDataError, match="is corrupt") as caught:
            next(groups)
        assert caught.value.fields["offset"] == len(data)

    assert found == list(range(len(found)))
    assert 0 < len(found) < 300


def test_a_store_that_did_not_answer_for_a_moment_fails_the_merge_too(tmp_path) -> None:
    """It could be read on, but the group was left before its end."""
    dice = random.Random(1)
    sent = [dice.randbytes(100_000) for _ in range(40)]  # more than is read ahead
    records = NativeMapBuffer(partitions=1, limits=Limits(), spill_folder=str(tmp_path))
    for value in sent:
        records.emit("k", value)
    target = MemoryObject()
    records.finish(target)
    blocks = reader_of(bytes(target.data)).footer.index[0].blocks
    answers = iter([True, False, True, True])

    def read_at(offset: int, length: int) -> bytes:
        if not next(answers):
            raise StoreUnavailableError("try again")
        return bytes(target.data[offset : offset + length])

    groups = GroupMerge([Run("it", [blocks], read_at)], 0, lambda: None, lambda: None)
    found: list[bytes] = []

    _, values = next(groups)
    with pytest.raises(StoreUnavailableError):
        found.extend(values)
    with pytest.raises(StoreUnavailableError):
        next(groups)

    assert 0 < len(found) < len(sent)
    assert found == sent[: len(found)]
