"""Combiners that do more than combine: threads, emits from elsewhere, failures on the way."""

from __future__ import annotations

import gc
import os
import resource
import signal
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, combine_by, records_of
from pymr.core.spec import Limits
from pymr.errors import ResourceError, UserCodeError
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer

SMALL = Limits(spill_bytes_max=2000, merge_fan_in_max=2, block_bytes=100)
Function = Callable[[Any, Any, Any], Any]


def buffer(folder: Path, function: Function, **changes: Any) -> NativeMapBuffer:
    """Return a buffer with one partition and default limits, but for `changes`."""
    combine = combine_by(function, changes.get("limits"))
    options: dict[str, Any] = {"partitions": 1, "limits": Limits(), "spill_folder": str(folder)}
    return NativeMapBuffer(combine=combine, **(options | changes))


def finish(filled: NativeMapBuffer) -> list[tuple[Any, Any]]:
    """Return the decoded records of the sorted run."""
    target = MemoryObject()
    filled.finish(target)
    records = records_of(bytes(target.data))
    return [(decode_key(key), decode_value(value)) for _, key, value in records]


def add(ctx: Any, key: Any, values: Any) -> None:
    """Emit the sum."""
    ctx.emit(key, sum(values))


def test_a_combiner_may_not_emit_into_the_buffer_that_calls_it(tmp_path: Path) -> None:
    """Nor may a thread of its; afterwards the buffer works on, unless it was a thread."""
    refused: list[str] = []

    def emit() -> None:
        try:
            records.emit("x", 1)
        except RuntimeError as error:
            refused.append(str(error))

    def function(ctx: Any, key: Any, values: Any) -> None:
        emit()
        with pytest.raises(RuntimeError):
            records.spill()
        calls.append(key)
        add(ctx, key, values)

    calls: list[Any] = []
    records = buffer(tmp_path, function, limits=SMALL)
    for _ in range(1000):
        records.emit("k", 1)
    spills = len(calls)
    assert finish(records) == [("k", 1000)]
    assert len(refused) == len(calls) > spills > 0
    assert all("while the buffer combines, spills" in text for text in refused)

    def threaded(ctx: Any, key: Any, values: Any) -> None:
        thread = threading.Thread(target=emit)
        thread.start()
        thread.join()
        add(ctx, key, values)

    for limits in (Limits(), SMALL):
        records = buffer(tmp_path, threaded, limits=limits)
        for _ in range(50):
            records.emit("k", 1)
        with pytest.raises(RuntimeError, match="by another thread"):
            finish(records)


def test_threads_of_a_combiner_may_emit_until_it_returns(tmp_path: Path) -> None:
    """All of theirs is taken; one that is late gets an error, whichever key is open then."""
    late: list[Any] = []
    errors: list[str] = []

    def function(ctx: Any, key: Any, values: Any) -> None:
        listed = list(values)
        threads = [
            threading.Thread(target=lambda: [ctx.emit(key, value) for value in listed])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for emit in late:
            try:
                emit()
            except (RuntimeError, ValueError) as error:
                errors.append(str(error))
        late[:] = [lambda: ctx.emit(key, "late")]

    records = buffer(tmp_path, function)
    for number in range(5000):
        records.emit(number % 2, "v" * 50)

    assert finish(records) == [(key, "v" * 50) for key in (0, 1) for _ in range(10_000)]
    assert "own key only" in errors[0]
    with pytest.raises(RuntimeError, match="while its combiner does not run"):
        late[0]()


def test_a_value_that_is_encoded_for_too_long_is_too_late(tmp_path: Path) -> None:
    """A thread of the combiner was still pickling it when the combiner returned."""
    begun, returned = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    errors: list[str] = []

    class Slow:
        def __reduce__(self) -> tuple[type, tuple[int]]:
            begun.set()
            returned.wait(30)
            return (int, (7,))

    def emit(ctx: Any, key: Any) -> None:
        try:
            ctx.emit(key, Slow())
        except RuntimeError as error:
            errors.append(str(error))

    def function(ctx: Any, key: Any, values: Any) -> None:
        for thread in threads:
            returned.set()
            thread.join()
        threads[:] = [threading.Thread(target=emit, args=(ctx, "a"))] if key == "a" else []
        for thread in threads:
            thread.start()
            begun.wait(30)
        add(ctx, key, values)

    records = buffer(tmp_path, function)
    for key in "aabb":
        records.emit(key, 1)

    assert finish(records) == [("a", 2), ("b", 2)]
    assert len(errors) == 1
    assert "while its combiner does not run" in errors[0]


def test_a_writer_of_python_may_not_emit(tmp_path: Path) -> None:
    """A signal handler or finalizer could, within it: an error, and no lock that waits for itself."""
    contexts: list[Any] = []
    refused: list[str] = []

    class Watched(MemoryObject):
        def write(self, data: bytes) -> None:
            for ctx in contexts:
                try:
                    ctx.emit("k", 1)
                except RuntimeError as error:
                    refused.append(str(error))
            super().write(data)

    def function(ctx: Any, key: Any, values: Any) -> None:
        contexts[:] = [ctx]
        for value in values:
            ctx.emit(key, value)
        contexts.clear()

    records = buffer(tmp_path, function)
    for _ in range(30):
        records.emit("k", os.urandom(100_000))
    target = Watched()
    records.finish(target)

    assert len(records_of(bytes(target.data))) == 30
    assert set(refused) == {"emit was called while what was emitted before is written"}


def test_values_that_emit_while_they_are_pickled_are_taken_first(tmp_path: Path) -> None:
    """And one that is unpickled may ask for the next one, which is refused."""

    class Emits:
        def __reduce__(self) -> tuple[type, tuple[str]]:
            emit[0](1)
            return (str, ("outer",))

    emit: list[Any] = []

    def function(ctx: Any, key: Any, _values: Any) -> None:
        emit[:] = [lambda value: ctx.emit(key, value)]
        ctx.emit(key, Emits())

    records = buffer(tmp_path, function)
    records.emit("k", 0)
    records.emit("k", 0)

    assert finish(records) == [("k", 1), ("k", "outer")]


def test_a_combiner_that_fails_once_loses_no_record(tmp_path: Path) -> None:
    """A mapper that hides the error of a spill gets all records into the next one."""
    failures = [True]

    def function(ctx: Any, key: Any, values: Any) -> None:
        if key == 7 and failures:
            failures.pop()
            raise ValueError("for once")
        add(ctx, key, values)

    records = buffer(tmp_path, function, limits=Limits(spill_bytes_max=8000))
    hidden = 0
    for number in range(2000):
        try:
            records.emit(number % 20, 1)
        except UserCodeError:
            hidden += 1

    assert finish(records) == [(key, 100) for key in range(20)]
    assert hidden == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_not_hidden_by_the_combiner(tmp_path: Path) -> None:
    """What it emitted was not written, whatever it makes of the error."""
    hidden: list[BaseException] = []

    def function(ctx: Any, key: Any, values: Any) -> None:
        for value in values:
            try:
                ctx.emit(key, value)
            except (ResourceError, RuntimeError) as error:
                hidden.append(error)

    records = buffer(tmp_path, function)
    for number in range(40):
        records.emit("k", os.urandom(100_000) + bytes([number]))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ResourceError, match=f"cannot write a spill in `{tmp_path}`"):
            records.spill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(hidden[0], ResourceError)
    assert list(tmp_path.iterdir()) == []

    records.spill()
    assert len(finish(records)) == 0  # they are in that spill, which nobody asked for


def test_buffers_and_what_they_combine_with_are_freed(tmp_path: Path) -> None:
    """No cycle goes through a compiled object, also where a combiner failed."""

    class Function:
        def __call__(self, ctx: Any, key: Any, values: Any) -> None:
            if key == "bad":
                raise ValueError
            add(ctx, key, values)

    gc.disable()
    try:
        for key in ("good", "bad"):
            function = Function()
            records = buffer(tmp_path, function)
            records.emit(key, 1)
            records.emit(key, 1)
            if key == "good":
                finish(records)
            else:
                with pytest.raises(UserCodeError):
                    finish(records)
            gone = weakref.ref(function), weakref.ref(records)
            del function, records
            assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
