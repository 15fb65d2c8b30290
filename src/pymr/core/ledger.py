"""The books of a run: what is planned is read, and what is written is read.

    input ─► splits ─► mapper ─► emitted - combined_in + combined_out = written
                                                                          ║ each partition
    part ◄─ calls = groups ◄─ reduced = read - combined_in + combined_out ╝

Laws:
- only committed attempts are folded, and each task once;
- an account that does not balance is an IntegrityError that names the edge and both values;
- sums are kept for each partition and each input, never for each edge: tasks x partitions
  numbers would not fit in memory. The detail stands in the footers of the map outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import NoReturn

import msgspec

from pymr.core.spec import Attempt, EdgeSum, InputFile, MapTask, Receipt, Split, SplitReceipt
from pymr.errors import IntegrityError

_DIGEST_MODULUS = 1 << 128

# Field of a receipt: field of the summary.
_MAP_SUMS = {
    "bytes_in": "bytes_in",
    "records_in": "records_in",
    "calls": "map_calls",
    "emitted": "emitted",
    "combined_in": "combined_in",
    "combined_out": "combined_out",
    "records_out": "records_out",  # of a map-only job
    "bytes_out": "bytes_out",
    "skipped": "skipped",
    "bad_records": "bad_records",
    "replaced": "replaced",
    "carriage_returns": "carriage_returns",
}
_REDUCE_SUMS = {
    "combined_in": "reduce_combined_in",
    "combined_out": "reduce_combined_out",
    "reduced": "reduced",
    "calls": "reduce_calls",
    "groups": "groups",
    "records_out": "records_out",
    "bytes_out": "bytes_out",
}
# Of a split, of a receipt, in words; what is said of it is made only if it does not balance: this
# is done for each attempt of a run.
_IN_SPLITS = tuple(
    (attrgetter(of_split), attrgetter(of_receipt), of_split.replace("_", " "))
    for of_split, of_receipt in {
        "bytes": "bytes_in",
        "records": "records_in",
        "carriage_returns": "carriage_returns",
        "replaced": "replaced",
        "skipped": "skipped",
        "bad_records": "bad_records",
    }.items()
)


class InputSum(msgspec.Struct, frozen=True):
    """What was read of one input."""

    bytes: int = 0
    records: int = 0
    digest: int = 0  # Σ over its cells mod 2**128
    bad_records: int = 0  # of `records`


class LedgerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a run over its committed tasks, as they stand in the manifest."""

    bytes_in: int = 0
    records_in: int = 0
    map_calls: int = 0
    emitted: int = 0
    combined_in: int = 0
    combined_out: int = 0
    written: EdgeSum = EdgeSum()
    read: EdgeSum = EdgeSum()
    reduce_combined_in: int = 0
    reduce_combined_out: int = 0
    reduced: int = 0
    reduce_calls: int = 0
    groups: int = 0
    records_out: int = 0
    bytes_out: int = 0
    skipped: int = 0
    bad_records: int = 0  # of `records_in`, those the mapper raised for: it did not count them
    replaced: int = 0
    carriage_returns: int = 0
    counters: dict[str, int] = {}
    damaged_inputs: tuple[int, ...] = ()  # indexes of inputs with replaced or skipped records
    grown_inputs: tuple[int, ...] = ()  # … of inputs that became longer while they were read
    inputs: tuple[InputSum, ...] = ()
    partition_records: tuple[int, ...] = ()  # written to each partition


class Ledger:
    """Double-entry books over the receipts of committed tasks."""

    def __init__(
        self,
        inputs: Sequence[InputFile],
        tasks: Sequence[MapTask],
        partitions: int,
        *,
        is_by_record: bool = False,
    ) -> None:
        """Open the books; `is_by_record`: the mapper is called with one record at a time."""
        self._is_by_record = is_by_record
        self._inputs = inputs
        self._tasks = tasks
        self._input_sums = [InputSum()] * len(inputs)
        self._partitions = [EdgeSum()] * partitions
        self._folded: dict[str, set[int]] = {"map": set(), "reduce": set()}
        self._written = EdgeSum()
        self._read = EdgeSum()
        self._sums: Counter[str] = Counter()
        self._counters: Counter[str] = Counter()
        self._damaged: set[int] = set()
        self._grown: set[int] = set()

    def fold_map(
        self,
        receipt: Receipt,
        partitions: Sequence[EdgeSum],
        splits: Sequence[SplitReceipt],
    ) -> None:
        """Enter a committed map task.

        Raises:
            IntegrityError: an account does not balance, or the task was entered before.
        """
        edge = str(receipt.attempt)
        self._check_splits(receipt, splits)
        if self._is_by_record:
            good = receipt.records_in - receipt.bad_records
            label = f"good records ({receipt.records_in} read - {receipt.bad_records} bad)"
            _balance(edge, good, label, receipt.calls, "calls of the mapper")
        if self._partitions:
            _balance_combining(edge, receipt, receipt.emitted, "emitted", receipt.written.records)
            self._check_partitions(edge, receipt.written, partitions)
        else:
            _balance(edge, receipt.emitted, "records emitted", receipt.records_out, "in the part")
        self._enter(receipt, _MAP_SUMS)
        for index, edge_sum in enumerate(partitions):
            self._partitions[index] += edge_sum
        self._written += receipt.written
        for split in splits:
            self._input_sums[split.input] = _plus(self._input_sums[split.input], split)
        self._damaged.update(receipt.damaged_inputs)
        self._grown.update(split.input for split in splits if split.grown)

    @property
    def bad_records(self) -> int:
        """The records that were left out so far since the mapper raises for them."""
        return self._sums["bad_records"]

    @property
    def records_in(self) -> int:
        """All records that were read so far, bad ones too."""
        return self._sums["records_in"]

    def has(self, attempt: Attempt) -> bool:
        """Say whether the task of `attempt` was entered."""
        return attempt.task in self._folded[attempt.phase]

    def close_map(self) -> None:
        """Balance the inputs: the splits of all tasks tile each of them.

        Every byte was read then, since each split was entered with all of its bytes.

        Raises:
            IntegrityError: a task is missing, or an input was not read once from end to end.
        """
        self._check_all("map", len(self._tasks))
        reached = [0] * len(self._inputs)
        for task in self._tasks:
            for split in task.splits:
                edge = f"{self._name(split.input)} → {Attempt('map', task.index, 1)}"
                _balance(edge, reached[split.input], "bytes planned before", split.start, "start")
                reached[split.input] = split.end
        for index, file in enumerate(self._inputs):
            edge = f"{self._name(index)} → splits"
            _balance(edge, file.size, "bytes of input", reached[index], "planned")

    def fold_reduce(self, receipt: Receipt) -> None:
        """Enter a committed reduce task; all map tasks have been entered.

        Raises:
            IntegrityError: an account does not balance, or the task was entered before.
        """
        edge = str(receipt.attempt)
        partition = receipt.attempt.task
        _balance_edge(
            f"map tasks → partition {partition}", self._partitions[partition], receipt.read
        )
        _balance_combining(edge, receipt, receipt.read.records, "read", receipt.reduced)
        _balance(edge, receipt.groups, "groups merged", receipt.calls, "calls of the reducer")
        self._enter(receipt, _REDUCE_SUMS)
        self._read += receipt.read

    def close(self) -> None:
        """Balance the run: every partition was read, and so all that was written.

        Raises:
            IntegrityError: a partition was not read.
        """
        self._check_all("reduce", len(self._partitions))

    def summary(self) -> LedgerSummary:
        """Return the totals of what was entered so far."""
        return LedgerSummary(
            **self._sums,
            written=self._written,
            read=self._read,
            counters=dict(sorted(self._counters.items())),
            damaged_inputs=tuple(sorted(self._damaged)),
            grown_inputs=tuple(sorted(self._grown)),
            inputs=tuple(self._input_sums),
            partition_records=tuple(edge.records for edge in self._partitions),
        )

    def _check_splits(self, receipt: Receipt, splits: Sequence[SplitReceipt]) -> None:
        edge = f"splits → {receipt.attempt}"
        planned = self._tasks[receipt.attempt.task].splits
        _balance(edge, len(planned), "splits planned", len(splits), "read")
        for plan, split in zip(planned, splits, strict=True):
            if (plan.input, plan.start, plan.end) != (split.input, split.start, split.end):
                _refuse(edge, self._range(plan), "planned", self._range(split), "read")
            if plan.end - plan.start != split.bytes:
                within = f"{self._range(plan)} → {receipt.attempt}"
                _refuse(within, plan.end - plan.start, "bytes", split.bytes, "read")
            if not self._inputs[split.input].stream:
                self._check_offsets(receipt.attempt, split)
        for of_split, of_receipt, text in _IN_SPLITS:
            total = sum(map(of_split, splits))
            _balance(edge, total, f"{text} in splits", of_receipt(receipt), "in all")

    def _check_offsets(self, attempt: Attempt, split: SplitReceipt) -> None:
        """A record lies in the split that holds its first byte."""
        first, last = split.first_offset, split.last_offset
        if first is not None and first < split.start:
            name, seen = "start of the split", "start of its first record"
            _refuse(f"{self._range(split)} → {attempt}", split.start, name, first, seen)
        if last is not None and last >= split.end:
            name, seen = "end of the split", "start of its last record"
            _refuse(f"{self._range(split)} → {attempt}", split.end, name, last, seen)

    def _check_partitions(self, edge: str, written: EdgeSum, partitions: Sequence[EdgeSum]) -> None:
        edge = f"{edge} → partitions"
        _balance(edge, len(self._partitions), "partitions", len(partitions), "written")
        _balance_edge(edge, written, sum(partitions, EdgeSum()), "in partitions")

    def _enter(self, receipt: Receipt, sums: dict[str, str]) -> None:
        phase, task = receipt.attempt.phase, receipt.attempt.task
        if task in self._folded[phase]:
            _refuse(str(receipt.attempt), 1, "task committed", 2, "receipts")
        self._folded[phase].add(task)
        for field, total in sums.items():
            self._sums[total] += getattr(receipt, field)
        self._counters.update(receipt.counters)

    def _check_all(self, phase: str, count: int) -> None:
        missing = [task for task in range(count) if task not in self._folded[phase]]
        if missing:
            edge = f"the {phase} phase without {phase}-{missing[0]:04d}"
            _refuse(edge, count, "tasks planned", count - len(missing), "committed")

    def _name(self, index: int) -> str:
        return self._inputs[index].path.decode("utf-8", "backslashreplace")

    def _range(self, split: Split | SplitReceipt) -> str:
        return f"{self._name(split.input)}[{split.start}:{split.end}]"


def _plus(total: InputSum, split: SplitReceipt) -> InputSum:
    return InputSum(
        total.bytes + split.bytes,
        total.records + split.records,
        (total.digest + split.digest) % _DIGEST_MODULUS,
        total.bad_records + split.bad_records,
    )


def _balance_combining(edge: str, receipt: Receipt, before: int, name: str, after: int) -> None:
    """Balance a merge: what came in, less what was combined, plus what that gave."""
    left = before - receipt.combined_in + receipt.combined_out
    label = f"records {name}"
    if receipt.combined_in or receipt.combined_out:
        terms = f"{before} {name} - {receipt.combined_in} + {receipt.combined_out} combined"
        label = f"records left ({terms})"
    _balance(edge, left, label, after, "written" if name == "emitted" else "reduced")


def _balance_edge(edge: str, written: EdgeSum, read: EdgeSum, seen: str = "read") -> None:
    _balance(edge, written.records, "records written", read.records, seen)
    _balance(edge, written.bytes, "bytes written", read.bytes, seen)
    fingerprints = f"{written.fingerprint:032x}", f"{read.fingerprint:032x}"
    _balance(edge, fingerprints[0], "is the fingerprint written", fingerprints[1], seen)


def _balance(edge: str, left: int | str, name: str, right: int | str, other: str) -> None:
    if left != right:
        _refuse(edge, left, name, right, other)


def _refuse(edge: str, left: int | str, name: str, right: int | str, other: str) -> NoReturn:
    raise IntegrityError(
        f"books of {edge} do not balance: {left} {name}, {right} {other}",
        edge=edge,
        expected=left,
        seen=right,
    )
