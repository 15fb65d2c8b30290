"""The groups of a sample: what keys and values there are, and what the reducer does with them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Any

from pymr._native import decode_key, decode_value, encode_key, encode_value, xxh3_64
from pymr.api import Job
from pymr.core.spec import JobSpec
from pymr.core.trial import Difference, Kind, Law, ReduceTrial, ReduceTrialWork
from pymr.records.column import type_name
from pymr.records.part import PartWriter
from pymr.shuffle.partition import partition_of
from pymr.shuffle.value_codec import is_pickled
from pymr.shuffle.values import GroupValues, short_repr
from pymr.task import forked
from pymr.task.attempt import Ticker
from pymr.task.blame import key_fields, user_error
from pymr.task.call import combine_of, emit_all, reduce_of
from pymr.task.context import TaskContext
from pymr.task.law import LAW_KEYS_MAX, Reduced, check_law

KINDS_SHOWN = 5
LARGEST_SHOWN = 3
ROWS_SHOWN = 3

Group = tuple[bytes, list[bytes]]


def try_groups(
    job: Job,
    spec: JobSpec,
    groups: dict[bytes, list[bytes]],
    work: ReduceTrialWork,
    ticker: Ticker,
    *,
    is_cut: bool,
) -> ReduceTrial:
    """Return what is in `groups`, and what the functions of the job make of them."""
    in_order = sorted(groups.items())
    partition, partition_values = _largest_partition(job, spec, in_order)
    found: dict[str, Any] = {
        "pairs": sum(len(values) for _, values in in_order),
        "keys": len(in_order),
        "is_cut": is_cut,
        "key_kinds": _key_kinds(in_order),
        "value_kinds": _value_kinds(in_order),
        "pickled": _pickled(in_order),
        "largest": _largest(in_order),
        "partition": partition,
        "partition_values": partition_values,
    }
    if spec.shape.reducer is None:
        return ReduceTrial(**found)
    reducing = _Reducing(job, spec, work, ticker)
    reducing.run(in_order)
    law = None
    if not work.expected and work.shown_group is None:
        law = _law(job, spec, _Reducing(job, spec, work, ticker), in_order)
    return ReduceTrial(**found, **reducing.totals(), law=law)


def _key_kinds(groups: list[Group]) -> tuple[Kind, ...]:
    return _kinds((key, 1, "key") for key in (decode_key(key) for key, _ in groups))


def _value_kinds(groups: list[Group]) -> tuple[Kind, ...]:
    plain = (data for _, values in groups for data in values if not is_pickled(data))
    counts = Counter(plain)
    return _kinds((decode_value(data), count, "value") for data, count in counts.items())


def _kinds(cells: Iterable[tuple[Any, int, str]]) -> tuple[Kind, ...]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for cell, count, role in cells:
        name = type_name(cell, role)
        counts[name] += count
        examples.setdefault(name, short_repr(cell))
    return tuple(Kind(name, n, examples[name]) for name, n in counts.most_common(KINDS_SHOWN))


def _pickled(groups: list[Group]) -> tuple[Kind, ...]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for _, values in groups:
        for data in values:
            if is_pickled(data):
                value = decode_value(data)
                name = type(value).__qualname__
                counts[name] += 1
                examples.setdefault(name, short_repr(value))
    return tuple(Kind(name, n, examples[name]) for name, n in counts.most_common(KINDS_SHOWN))


def _largest(groups: list[Group]) -> tuple[Kind, ...]:
    largest = nlargest(LARGEST_SHOWN, groups, key=lambda group: len(group[1]))
    return tuple(Kind(short_repr(decode_key(key)), len(values), "") for key, values in largest)


def _largest_partition(job: Job, spec: JobSpec, groups: list[Group]) -> tuple[int, int]:
    """Return the partition with the most values, and how many those are."""
    counts: Counter[int] = Counter()
    for key, values in groups:
        if job.partitioner is not None:
            counts[job.partitioner(decode_key(key), spec.reducers)] += len(values)
        elif spec.reducers:
            counts[partition_of(key, spec.reducers, spec.partition_seed)] += len(values)
    return max(counts.items(), key=lambda entry: (entry[1], -entry[0]), default=(0, 0))


class _Reducing:
    """Calls the reducer with groups, and takes note of each call."""

    def __init__(self, job: Job, spec: JobSpec, work: ReduceTrialWork, ticker: Ticker) -> None:
        self._job = job
        self._work = work
        self._ticker = ticker
        self._reduce = reduce_of(job)
        self._part = PartWriter(lambda _: None, spec.output_format)
        self._ctx = TaskContext(self._emit, spec.params)
        self._rows: Reduced = []
        self._digests = bytearray()
        self._difference: Difference | None = None
        self._examples: list[str] = []
        self._read = 0  # values that the call has taken
        self._calls = self._values = self._unread = 0
        self._cpu_s = 0.0

    def run(self, groups: list[Group]) -> None:
        """Reduce the groups, up to the limits of the trial."""
        work = self._work
        until = time.monotonic() + work.seconds_max
        began = time.process_time()
        for number, (key, values) in enumerate(groups[: work.groups_max]):
            if number and time.monotonic() > until:
                break
            if work.shown_group in (None, number):
                rows = self.reduce(key, values)
                self._note(number, key, rows)
                self._values += len(values)
                self._unread += self._read == 0
                self._calls += 1
        self._cpu_s = time.process_time() - began

    def reduce(self, key: bytes, values: list[bytes]) -> Reduced:
        """Return what the reducer emits for one group.

        Raises:
            UserCodeError: it raised; the field `key` names the group.
        """
        self._rows, self._read = [], 0
        decoded = decode_key(key)
        try:
            pairs = self._reduce(self._ctx, decoded, GroupValues(self._counted(values)))
            if pairs is not None:
                emit_all(self._ctx.emit, pairs, "reducer")
        except BaseException as error:
            forked.leave()
            raise user_error(error, "reducer", self._job.reducer, **key_fields(decoded)) from error
        if forked.is_child:
            forked.leave()
        self._ticker.tick(0, self._calls)
        return self._rows

    def totals(self) -> dict[str, Any]:
        """Return what was seen, as fields of a ReduceTrial."""
        totals = self._part.finish()
        return {
            "calls": self._calls,
            "values": self._values,
            "unread_calls": self._unread,
            "rows": totals.records,
            "row_bytes": totals.bytes,
            "examples": tuple(self._examples),
            "cpu_s": round(self._cpu_s, 6),
            "digests": bytes(self._digests),
            "difference": self._difference,
        }

    def _counted(self, values: Iterable[bytes]) -> Iterator[bytes]:
        for value in values:
            self._read += 1
            yield value

    def _emit(self, key: Any, value: Any) -> None:
        self._part.emit(key, value)
        self._rows.append((encode_key(key), encode_value(value)))  # Now: it may be changed later.

    def _note(self, number: int, key: bytes, rows: Reduced) -> None:
        work = self._work
        digest = xxh3_64(b"".join(map(b"".join, rows))).to_bytes(8, "little")
        self._digests += digest
        self._examples += show_rows(rows)[: ROWS_SHOWN - len(self._examples)]
        known = work.expected[8 * number :][:8]
        is_other = self._difference is None and bool(known) and known != digest
        if is_other or work.shown_group == number:
            where = f"key {short_repr(decode_key(key))}"
            self._difference = Difference(number=number, where=where, pairs=show_rows(rows))


def show_rows(rows: Reduced) -> tuple[str, ...]:
    """Return the first rows, for people."""
    return tuple(
        f"{short_repr(decode_key(key))}  {short_repr(decode_value(value))}"
        for key, value in rows[:ROWS_SHOWN]
    )


def _law(job: Job, spec: JobSpec, reducing: _Reducing, groups: list[Group]) -> Law | None:
    """Return whether the combiner keeps its law; None without one, or where the engine has it."""
    combine = combine_of(job, spec)
    if combine is None or job.combiner is None:
        return None
    several = [group for group in groups if len(group[1]) > 1]
    half = LAW_KEYS_MAX // 2
    stride = -(-len(several) // half)
    chosen = {
        **dict(nlargest(half, several, key=lambda group: len(group[1]))),
        **dict(several[:: stride or 1]),
    }
    return check_law(
        combine,
        reducing.reduce,
        sorted(chosen.items()),
        show_rows,
        lambda key: short_repr(decode_key(key)),
    )
