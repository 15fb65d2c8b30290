"""Footers: the plain reader and the compiled one, on good ones and on any damage."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from pymr import _native
from pymr.core.spec import EdgeSum
from pymr.errors import CorruptDataError
from pymr.shuffle.footer import Block, Footer, PartitionIndex, decode_footer, encode_footer

NUMBERS = st.integers(0, 300) | st.integers(0, (1 << 64) - 1)
SUMS = st.builds(EdgeSum, NUMBERS, NUMBERS, st.integers(0, (1 << 128) - 1))
BLOCKS = st.lists(
    st.builds(
        Block, st.just(0), st.integers(0, 1 << 20), st.sampled_from([0, 1]), st.integers(0, 1 << 63)
    ),
    max_size=3,
)
PARTITIONS = st.lists(st.tuples(SUMS, NUMBERS, BLOCKS, NUMBERS), max_size=4)
HEADER_BYTES = 12


def footer_of(partitions: list[Any], extra: bytes) -> tuple[bytes, int]:
    """Return the bytes of a footer, and where its blocks end."""
    end = HEADER_BYTES + sum(block.size for _, _, blocks, _ in partitions for block in blocks)
    index = (
        PartitionIndex(written, groups, tuple(blocks), longest)
        for written, groups, blocks, longest in partitions
    )
    return encode_footer(Footer(tuple(index), extra)), end


def plainly(data: bytes, end: int) -> Any:
    """Return the sums and the rest, or why there are none."""
    try:
        footer = decode_footer(data, HEADER_BYTES, end)
    except CorruptDataError as error:
        return error.message
    return footer.partitions, footer.extra


def natively(data: bytes, end: int) -> Any:
    """Return what `plainly` does."""
    try:
        sums, extra = _native.footer_sums("run", data, end)
    except CorruptDataError as error:
        if error.fields != {"path": "run", "offset": end}:
            return error.fields
        return error.message.removeprefix(f"sorted run `run` is corrupt at byte {end}: ")
    return tuple(EdgeSum(*each) for each in sums), extra


@given(PARTITIONS, st.binary(max_size=5))
def test_a_footer_says_the_same_to_both_readers(partitions: list[Any], extra: bytes) -> None:
    """Sums, the longest block of each partition, and what the writer added."""
    data, end = footer_of(partitions, extra)

    assert natively(data, end) == plainly(data, end) == (tuple(p[0] for p in partitions), extra)
    for index, (_, _, _, longest) in enumerate(partitions):
        if longest < 1 << 63:  # twice as much is a number still
            assert _native.Run("run", data, end, index, bytes).merge_bytes == 2 * longest


@given(PARTITIONS, st.binary(max_size=5), st.data())
def test_a_damaged_footer_is_refused_by_both_or_read_by_both(
    partitions: list[Any], extra: bytes, draw: st.DataObject
) -> None:
    """A byte that is another one, and an end that comes early."""
    data, end = footer_of(partitions, extra)
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    damaged = damaged[: draw.draw(st.integers(len(data) - 3, len(data)))]

    found = natively(bytes(damaged), end)

    event(f"refused: {isinstance(found, str)}")
    assert isinstance(found, str) == isinstance(plainly(bytes(damaged), end), str)
    if isinstance(found, str):
        assert _refused_as_a_run(bytes(damaged), end)


def _refused_as_a_run(data: bytes, end: int) -> bool:
    try:
        _native.Run("run", data, end, 0, bytes)
    except CorruptDataError:
        return True
    return False
