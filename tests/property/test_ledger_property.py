"""Any traffic of records balances; any one record dropped, doubled or flipped does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from core_samples import attempt, files, receipt
from pymr.core.ledger import Ledger
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import EdgeSum, SplitReceipt
from pymr.errors import IntegrityError

TASKS, PARTITIONS = 3, 2
PLAN = plan_map_tasks(files(30), TASKS)

record = st.tuples(st.integers(2, 50), st.integers(0, (1 << 128) - 1))  # bytes, fingerprint
Record = tuple[int, int]
Edges = list[list[list[Record]]]  # by map task, then partition
edges = st.lists(
    st.lists(st.lists(record, max_size=4), min_size=PARTITIONS, max_size=PARTITIONS),
    min_size=TASKS,
    max_size=TASKS,
)


def sums(records: Sequence[Record]) -> EdgeSum:
    """What crossed: counted apart from the code under test."""
    return EdgeSum(
        len(records), sum(size for size, _ in records), sum(f for _, f in records) % (1 << 128)
    )


def keep_books(emitted: list[int], written: Edges, listed: Edges, read: Edges) -> Ledger:
    """Books over what mappers emitted, buffers wrote, footers list and reducers read."""
    ledger = Ledger(files(30), PLAN, PARTITIONS)
    for index, task in enumerate(PLAN):
        [split] = task.splits
        size = split.end - split.start
        told = receipt(
            attempt(index),
            bytes_in=size,
            emitted=emitted[index],
            written=sums([r for records in written[index] for r in records]),
        )
        read_split = SplitReceipt(input=0, start=split.start, end=split.end, bytes=size, records=0)
        ledger.fold_map(told, [sums(records) for records in listed[index]], [read_split])
    ledger.close_map()
    for partition in range(PARTITIONS):
        crossed = sums([r for task in read for r in task[partition]])
        of = attempt(partition, name="reduce")
        ledger.fold_reduce(receipt(of, read=crossed, reduced=crossed.records))
    ledger.close()
    return ledger


def spoil(traffic: Edges, how: str, where: int) -> Edges | None:
    """Drop, double or flip one record, if there is one."""
    places = [
        (task, partition, n)
        for task in range(TASKS)
        for partition in range(PARTITIONS)
        for n in range(len(traffic[task][partition]))
    ]
    if not places:
        return None
    task, partition, n = places[where % len(places)]
    spoilt = [[list(records) for records in row] for row in traffic]
    size, fingerprint = spoilt[task][partition][n]
    if how == "drop":
        del spoilt[task][partition][n]
    elif how == "double":
        spoilt[task][partition].append((size, fingerprint))
    else:
        spoilt[task][partition][n] = (size, fingerprint ^ 1)
    return spoilt


@given(edges)
def test_any_traffic_that_arrives_balances(traffic: Edges) -> None:
    """And the totals are those of the records."""
    emitted = [sum(map(len, row)) for row in traffic]

    summary = keep_books(emitted, traffic, traffic, traffic).summary()

    everything = sums([r for row in traffic for records in row for r in records])
    assert summary.written == summary.read == everything
    assert summary.partition_records == tuple(
        sum(len(row[partition]) for row in traffic) for partition in range(PARTITIONS)
    )


@given(
    edges,
    st.sampled_from(("drop", "double", "flip")),
    st.sampled_from(("written", "listed", "read")),
    st.integers(0, 99),
)
def test_one_spoilt_record_on_any_edge_is_refused(
    traffic: Edges, how: str, where: str, which: int
) -> None:
    """Between mapper and buffer, buffer and footer, footer and reducer."""
    spoilt = spoil(traffic, how, which)
    if spoilt is None:
        event("no record to spoil")
        return
    event(f"{how} {where}")
    emitted = [sum(map(len, row)) for row in traffic]
    sides = {"written": traffic, "listed": traffic, "read": traffic, where: spoilt}

    with pytest.raises(IntegrityError, match="do not balance"):
        keep_books(emitted, **sides)


@given(edges, st.integers(0, TASKS - 1), st.sampled_from((-1, 1)))
def test_one_record_more_or_less_emitted_is_refused(traffic: Edges, task: int, by: int) -> None:
    """What the mapper says must be what was written."""
    emitted = [sum(map(len, row)) for row in traffic]
    emitted[task] += by

    with pytest.raises(IntegrityError, match=f"map-000{task} do not balance"):
        keep_books(emitted, traffic, traffic, traffic)
