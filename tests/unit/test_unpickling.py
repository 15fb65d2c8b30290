"""Values that cannot be unpickled, in both forms of the shuffle: no group ends there as if whole."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from memory_runs import MemoryObject, combine_by, reader_of
from pymr.core.spec import Limits
from pymr.errors import UserCodeError
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge

FORMS = [ReduceMerge, NativeReduceMerge]


class Broken:
    """Cannot be unpickled."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __reduce__(self) -> tuple[Callable[..., object], tuple[()]]:
        return (self._make, ())


def lost() -> object:
    """Raise what a class that is not there any more would."""
    raise LookupError("no such thing")


ASKED: list[Any] = []


def ask() -> int:
    """Hide that another value is not to be had."""
    with pytest.raises(RuntimeError, match="while one is decoded"):
        next(ASKED[0])
    return 4500


def empty() -> object:
    """Raise what taking the next of nothing does."""
    return next(iter(()))


def merge_of(
    make: Any, pairs: list[tuple[Any, Any]], folder: Path, blame: Any = None
) -> ReduceMerge:
    """Return the merge of one map task's records."""
    records = NativeMapBuffer(partitions=1, limits=Limits(), spill_folder=str(folder))
    for key, value in pairs:
        records.emit(key, value)
    target = MemoryObject()
    records.finish(target)
    merge: ReduceMerge = make(
        [reader_of(bytes(target.data))],
        0,
        limits=Limits(),
        spill_folder=str(folder),
        combine=None,
        blame=blame,
    )
    return merge


@pytest.mark.parametrize("make", FORMS)
@pytest.mark.parametrize("place", [0, 2])
def test_a_value_whose_code_raises_stop_iteration_does_not_end_its_group(
    make: Any, place: int, tmp_path: Path
) -> None:
    """Every iterator above it would take that for the end, and nobody would see an error."""
    values: list[Any] = [1, 2, 3]
    values.insert(place, Broken(empty))
    merge = merge_of(make, [("k", value) for value in values], tmp_path)

    with pytest.raises(RuntimeError, match="StopIteration"):
        _ = [(key, list(values)) for key, values in merge]


@pytest.mark.parametrize("make", FORMS)
@pytest.mark.parametrize("last", ["a", "b"])
@pytest.mark.parametrize("code", [lost, empty])
def test_a_merge_goes_on_behind_no_error_of_a_value_that_was_hidden(
    make: Any, last: str, code: Any, tmp_path: Path
) -> None:
    """The reducer has not seen the rest of the group, so what it made of it is no result."""
    pairs = [("a", 1), ("a", Broken(code)), ("a", 3), (last, 4)]
    found: list[Any] = []

    def reduce_all() -> None:
        for key, values in merge_of(make, pairs, tmp_path):
            with pytest.raises((LookupError, RuntimeError)):
                found.extend(values)
            found.append(key)

    with pytest.raises((LookupError, RuntimeError), match=r"no such thing|StopIteration"):
        reduce_all()
    assert found == [1, "a"]


@pytest.mark.parametrize("make", FORMS)
def test_whoever_gives_out_groups_is_told_whose_value_it_was(make: Any, tmp_path: Path) -> None:
    """So that the error can name the key."""

    def blame(error: BaseException, key: object) -> NoReturn:
        raise UserCodeError(f"{error} at {key}")

    groups = iter(merge_of(make, [("a", Broken(lost)), ("b", 4)], tmp_path, blame))
    _, values = next(groups)
    with pytest.raises(LookupError):
        next(values)

    with pytest.raises(UserCodeError, match="no such thing at a"):
        next(groups)


@pytest.mark.parametrize("make", FORMS)
def test_what_was_not_asked_for_does_no_harm(make: Any, tmp_path: Path) -> None:
    """A value behind those that were read may be as broken as it likes."""
    pairs = [("a", 1), ("a", Broken(lost)), ("a", 3), ("b", Broken(lost)), ("c", 4)]

    assert [
        (key, next(values)) for key, values in merge_of(make, pairs, tmp_path) if key != "b"
    ] == [("a", 1), ("c", 4)]


def test_whoever_asks_for_a_value_while_one_is_decoded_does_not_end_the_group(
    tmp_path: Path,
) -> None:
    """Whose iterator it is forgets the rest; a value, or a thread, may hide that it was refused."""
    values: list[Any] = list(range(10_000))
    values[4500] = Broken(ask)  # behind those that are decoded first
    groups = iter(merge_of(NativeReduceMerge, [("k", value) for value in values], tmp_path))
    ASKED[:] = [iter(next(groups)[1])]

    found = list(ASKED[0])
    with pytest.raises(RuntimeError, match="while one is decoded"):
        next(groups)

    assert found == list(range(len(found)))
    assert len(found) < len(values)


@pytest.mark.parametrize("make", [MapBuffer, NativeMapBuffer])
@pytest.mark.parametrize("limits", [Limits(), Limits(spill_bytes_max=0, merge_fan_in_max=2)])
def test_a_combiner_hides_no_error_of_a_value(make: Any, limits: Limits, tmp_path: Path) -> None:
    """What it makes of the values that it got would take the place of all of them."""

    def function(ctx: Any, key: Any, values: Any) -> None:
        with pytest.raises(LookupError):
            list(values)
        ctx.emit(key, 1)

    records = make(
        partitions=1,
        limits=limits,
        spill_folder=str(tmp_path),
        combine=combine_by(function, limits),
    )
    for value in (Broken(lost), 1, 2, 3):
        records.emit("k", value)

    with pytest.raises(UserCodeError, match="combiner raised LookupError: no such thing") as caught:
        records.finish(MemoryObject())
    assert caught.value.fields["key"] == "'k'"


def test_what_a_failed_combiner_was_called_with_is_freed() -> None:
    """The error has its frames, these the values, and the values no error."""

    class Kept:
        pass

    kept = [Kept()]
    gone = weakref.ref(kept[0])

    def function(_ctx: Any, _key: Any, values: Any) -> None:
        _local = kept.pop()
        list(values)

    def fail() -> None:
        records = NativeMapBuffer(
            partitions=1, limits=Limits(), spill_folder="", combine=combine_by(function)
        )
        records.emit("k", Broken(lost))
        records.emit("k", 1)
        with pytest.raises(UserCodeError):
            records.finish(MemoryObject())

    fail()

    assert gone() is None
