"""A whole job whose objects are in a store that has no files: the same bytes, and what it bears."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pymr
from inline_run import InlineRun
from pymr.core.spec import Limits, Receipt, ReduceWork
from pymr.store.local import LocalStore
from pymr.store.object_store import ObstoreStore
from pymr.task.attempt import run_attempt
from pymr.task.stored_object import put_sources

TEXT = "".join(f"{n % 977} {n}\n" for n in range(20_000))
LIMITS = Limits(spill_bytes_max=100_000, block_bytes=4_000, merge_fan_in_max=4)


def mapper(ctx: Any, line: str) -> None:
    word, number = line.split()
    ctx.emit(word, int(number))


def last_values(ctx: Any, key: str, values: Any) -> None:
    numbers = list(values)
    ctx.emit(key, (len(numbers), numbers[0], numbers[-1]))


def total(ctx: Any, key: str, values: Any) -> None:
    ctx.emit(key, sum(values))


class Remote(ObstoreStore):
    """A store in memory, which may read map outputs wrong."""

    def __init__(self) -> None:
        from obstore.store import MemoryStore

        super().__init__(MemoryStore())
        self.damage: Callable[[int, str, bytes], bytes] = lambda _number, _key, data: data
        self._reads = 0
        self._lock = threading.Lock()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return what was asked for, or what became of it on the way."""
        with self._lock:
            self._reads += 1
            number = self._reads
        return self.damage(number, key, super().get_range(key, start, length))


def run_of(tmp_path: Path, store: Any, **options: Any) -> InlineRun:
    path = tmp_path / "in.txt"
    path.write_text(TEXT)
    functions = {"mapper": mapper, "reducer": last_values, **options.pop("functions", {})}
    job = pymr.Job(input=pymr.LINES, **functions)
    return InlineRun(
        job, [path], store, tmp_path / "tmp", **{"mappers": 7, "limits": LIMITS} | options
    )


def expected(tmp_path: Path, **options: Any) -> list[bytes]:
    return run_of(tmp_path, LocalStore(str(tmp_path / "out")), **options).run()


@pytest.mark.parametrize(
    "functions", [{}, {"reducer": pymr.SUM}, {"reducer": total, "combiner": pymr.SUM}]
)
def test_the_bytes_are_those_of_a_folder(tmp_path: Path, functions: dict[str, Any]) -> None:
    """With more map outputs than are merged at once, and nothing left where spills go."""
    run = run_of(tmp_path, Remote(), functions=functions)

    assert run.run() == expected(tmp_path, functions=functions)

    assert sum(receipt.spills for receipt in run.receipts if receipt.attempt.phase == "reduce")
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert sum(receipt.healed for receipt in run.receipts) == 0


def test_sources_may_be_told_by_their_digest(tmp_path: Path) -> None:
    """As a master tells them to each worker."""
    run = run_of(tmp_path, Remote())
    parts = run.run()
    stored = put_sources(run.store, "run", run.core.map_sources())
    for receipt in run.receipts:
        if receipt.attempt.phase == "reduce":
            spec = run.attempt_spec(receipt.attempt)
            spec = type(spec)(
                spec.attempt, f"{spec.key}-x", spec.tmp, ReduceWork(receipt.attempt.task, stored)
            )

            again = run_attempt(run.job, run.spec, spec, run.store)

            assert run.store.get(again.key) == parts[receipt.attempt.task]


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_f43_a_byte_flipped_on_the_way_is_healed_and_counted(tmp_path: Path) -> None:
    """No attempt fails for it."""
    store = Remote()

    def at_times(number: int, key: str, data: bytes) -> bytes:
        return flip(data, len(data) // 2) if "map-" in key and number % 5 == 0 else data

    def between(receipt: Receipt) -> Receipt:
        is_last = receipt.attempt.phase == "map" and receipt.attempt.task == run.core.map.tasks - 1
        if is_last:
            store.damage = at_times
        return receipt

    run = run_of(tmp_path, store, between=between, reducers=1)

    assert run.run() == expected(tmp_path, reducers=1)
    assert sum(receipt.healed for receipt in run.receipts) > 0
    assert {receipt.attempt.number for receipt in run.receipts} == {1}


def test_f44_a_byte_flipped_at_rest_has_the_map_task_run_again(tmp_path: Path) -> None:
    """The error of the reduce attempt names the object, so that the core knows whose it is."""
    store = Remote()

    def between(receipt: Receipt) -> Receipt:
        if (receipt.attempt.phase, receipt.attempt.task, receipt.attempt.number) == ("map", 3, 1):
            store.replace(receipt.key, flip(store.get(receipt.key), 1_000))
        return receipt

    run = run_of(tmp_path, store, between=between)

    assert run.run() == expected(tmp_path)
    assert run.core.map.committed[3].attempt.number == 2
    assert [receipt.attempt.task for receipt in run.receipts if receipt.attempt.phase == "map"] == [
        *range(7),
        *[3] * 2,
    ]


def test_f46_a_map_output_that_is_gone_has_the_map_task_run_again(tmp_path: Path) -> None:
    """One partition had read it already."""
    store = Remote()

    def between(receipt: Receipt) -> Receipt:
        if (receipt.attempt.phase, receipt.attempt.task) == ("reduce", 0):
            store.delete(run.core.map.committed[5].key)
        return receipt

    run = run_of(tmp_path, store, between=between)

    assert run.run() == expected(tmp_path)
    assert run.core.map.committed[5].attempt.number == 2
