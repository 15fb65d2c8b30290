"""The books: what balances is folded, and one record more or less on any edge is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from core_samples import attempt, edge_sum, files, map_verified, receipt, reduce_verified
from pymr.core.events import Verified
from pymr.core.ledger import InputSum, Ledger, LedgerSummary
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import EdgeSum, InputFile, MapTask
from pymr.errors import IntegrityError

INPUTS = files(20, 6)
TASKS = plan_map_tasks(INPUTS, 2)  # 0.txt[0:13] and 0.txt[13:20] + 1.txt[0:6]
REDUCERS = 3


def books(
    inputs: Sequence[InputFile] = INPUTS,
    tasks: Sequence[MapTask] = TASKS,
    partitions: int = REDUCERS,
) -> Ledger:
    return Ledger(inputs, tasks, partitions)


def mapped(task: int, reducers: int = REDUCERS) -> Verified:
    return map_verified(attempt(task), TASKS[task], reducers)


def reduced(partition: int) -> Verified:
    return reduce_verified(attempt(partition, name="reduce"), len(TASKS))


def fold(ledger: Ledger, event: Verified) -> None:
    """Fold what the edge verified."""
    if event.receipt.attempt.phase == "map":
        ledger.fold_map(event.receipt, event.partitions, event.splits)
    else:
        ledger.fold_reduce(event.receipt)


def filled() -> Ledger:
    """Books with all map tasks in them."""
    ledger = books()
    for task in range(len(TASKS)):
        fold(ledger, mapped(task))
    ledger.close_map()
    return ledger


def told(event: Verified, **fields: object) -> Verified:
    """The event with fields of its receipt changed."""
    return msgspec.structs.replace(event, receipt=msgspec.structs.replace(event.receipt, **fields))


def split_told(event: Verified, index: int, **fields: object) -> Verified:
    """The event with fields of one split changed."""
    splits = list(event.splits)
    splits[index] = msgspec.structs.replace(splits[index], **fields)
    return msgspec.structs.replace(event, splits=tuple(splits))


def partition_told(event: Verified, index: int, sums: EdgeSum) -> Verified:
    """The event with the sums of one partition changed."""
    partitions = list(event.partitions)
    partitions[index] = sums
    return msgspec.structs.replace(event, partitions=tuple(partitions))


def shifted(sums: EdgeSum, records: int = 0, size: int = 0, fingerprint: int = 0) -> EdgeSum:
    return EdgeSum(sums.records + records, sums.bytes + size, sums.fingerprint ^ fingerprint)


def refusal(act: Callable[[], object]) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        act()
    return caught.value


# -- books that balance ----------------------------------------------------------------------


def test_a_whole_run_balances_and_adds_up() -> None:
    """Every number of the summary is a sum over the receipts."""
    ledger = filled()
    for partition in range(REDUCERS):
        fold(ledger, reduced(partition))

    ledger.close()

    written = sum((edge_sum(t, p) for t in range(2) for p in range(REDUCERS)), EdgeSum())
    assert ledger.summary() == LedgerSummary(
        bytes_in=26,
        records_in=26,
        map_calls=26,
        emitted=27,
        written=written,
        read=written,
        reduced=27,
        reduce_calls=6,
        groups=6,
        records_out=6,
        counters={"mapped": 2, "reduced": 3},
        inputs=(InputSum(20, 20, (33 << 123) % (1 << 128)), InputSum(6, 6, 6 << 123)),
        partition_records=(7, 9, 11),
    )


def test_combiners_take_records_away_on_both_sides() -> None:
    """Emitted - combined_in + combined_out = written; the same on the reduce side."""
    ledger = books(tasks=TASKS, partitions=1)
    for task in range(2):
        event = mapped(task, reducers=1)
        fold(ledger, told(event, emitted=100, combined_in=100, combined_out=3 + task))
    ledger.close_map()

    fold(ledger, told(reduced(0), combined_in=7, combined_out=2, reduced=2))

    ledger.close()
    summary = ledger.summary()
    assert (summary.emitted, summary.combined_in, summary.combined_out) == (200, 200, 7)
    assert (summary.reduce_combined_in, summary.reduce_combined_out) == (7, 2)
    assert (summary.written.records, summary.read.records, summary.reduced) == (7, 7, 2)


def test_the_parts_of_a_map_only_job_hold_what_was_emitted() -> None:
    """There is no shuffle, and nothing to close but the inputs."""
    ledger = books(partitions=0)
    for task in range(2):
        fold(ledger, mapped(task, reducers=0))

    ledger.close_map()
    ledger.close()

    assert ledger.summary().records_out == 10


def test_b6_a_run_without_map_tasks_has_empty_partitions() -> None:
    """All inputs are empty, and each partition is read all the same."""
    ledger = books(inputs=files(0, 0), tasks=[], partitions=1)
    ledger.close_map()

    ledger.fold_reduce(receipt(attempt(name="reduce")))

    ledger.close()
    assert ledger.summary() == LedgerSummary(
        inputs=(InputSum(), InputSum()),
        partition_records=(0,),
        **dict.fromkeys(("reduced", "groups", "records_out"), 0),
    )


def test_damage_is_added_up_by_input() -> None:
    """Replaced and skipped records and carriage returns, and where they were."""
    ledger = books()
    event = split_told(mapped(1), 0, replaced=2, carriage_returns=4)
    event = split_told(event, 1, skipped=1)

    fold(ledger, told(event, replaced=2, carriage_returns=4, skipped=1, damaged_inputs=(1, 0)))

    summary = ledger.summary()
    assert (summary.replaced, summary.carriage_returns, summary.skipped) == (2, 4, 1)
    assert summary.damaged_inputs == (0, 1)


def test_offsets_of_a_stream_are_not_those_of_its_file() -> None:
    """A compressed file of 20 bytes may hold a record at offset 10,000."""
    inputs = [InputFile(b"a.gz", 20, 1, stream=True)]
    tasks = plan_map_tasks(inputs, 1)
    ledger = books(inputs, tasks, 1)
    event = split_told(map_verified(attempt(), tasks[0], 1), 0, last_offset=10_000)

    fold(ledger, event)
    ledger.close_map()


def test_a_split_without_records_has_no_offsets() -> None:
    """The one line of the file begins before it."""
    ledger = books()
    event = split_told(mapped(0), 0, records=0, first_offset=None, last_offset=None)

    fold(ledger, told(event, records_in=0))


# -- books that do not -----------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda e, by: told(e, emitted=e.receipt.emitted + by), id="emitted"),
        pytest.param(lambda e, by: told(e, combined_in=1, combined_out=1 + by), id="combined"),
        pytest.param(
            lambda e, by: told(e, written=shifted(e.receipt.written, records=by)), id="written"
        ),
        pytest.param(
            lambda e, by: told(e, written=shifted(e.receipt.written, size=by)), id="written bytes"
        ),
        pytest.param(
            lambda e, by: partition_told(e, 1, shifted(e.partitions[1], records=by)),
            id="partition",
        ),
        pytest.param(
            lambda e, by: partition_told(e, 1, shifted(e.partitions[1], size=by)),
            id="partition bytes",
        ),
        pytest.param(
            lambda e, by: partition_told(e, 1, shifted(e.partitions[1], fingerprint=2 + by)),
            id="flipped record",
        ),
        pytest.param(lambda e, by: told(e, records_in=e.receipt.records_in + by), id="records in"),
        pytest.param(lambda e, by: told(e, bytes_in=e.receipt.bytes_in + by), id="bytes in"),
        pytest.param(lambda e, by: split_told(e, 1, bytes=6 + by), id="split bytes"),
        pytest.param(lambda e, by: split_told(e, 1, records=6 + by), id="split records"),
        pytest.param(lambda e, by: split_told(e, 1, end=6 + by), id="split end"),
        pytest.param(lambda e, by: split_told(e, 0, start=13 + by), id="split start"),
        pytest.param(lambda e, by: told(e, replaced=by), id="replaced"),
        pytest.param(lambda e, by: told(e, skipped=by), id="skipped"),
        pytest.param(lambda e, by: told(e, carriage_returns=by), id="carriage returns"),
    ],
)
def test_one_more_or_less_in_a_map_task_is_refused(
    change: Callable[[Verified, int], Verified], by: int
) -> None:
    """Dropped, doubled or flipped: the books name the task, and nothing is entered."""
    ledger = books()

    error = refusal(lambda: fold(ledger, change(mapped(1), by)))

    assert "map-0001" in error.message
    assert "do not balance" in error.message
    assert error.fields["expected"] != error.fields["seen"]
    assert ledger.summary() == books().summary()


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(
    ("change", "edge"),
    [
        pytest.param(
            lambda e, by: told(e, read=shifted(e.receipt.read, records=by)),
            "map tasks → partition 1",
            id="read",
        ),
        pytest.param(
            lambda e, by: told(e, read=shifted(e.receipt.read, size=by)),
            "map tasks → partition 1",
            id="read bytes",
        ),
        pytest.param(
            lambda e, by: told(e, read=shifted(e.receipt.read, fingerprint=2 + by)),
            "map tasks → partition 1",
            id="flipped record",
        ),
        pytest.param(
            lambda e, by: told(e, reduced=e.receipt.reduced + by), "reduce-0001", id="reduced"
        ),
        pytest.param(
            lambda e, by: told(e, combined_in=3, combined_out=3 + by), "reduce-0001", id="combined"
        ),
        pytest.param(lambda e, by: told(e, calls=e.receipt.calls + by), "reduce-0001", id="calls"),
        pytest.param(
            lambda e, by: told(e, groups=e.receipt.groups + by), "reduce-0001", id="groups"
        ),
    ],
)
def test_one_more_or_less_in_a_reduce_task_is_refused(
    change: Callable[[Verified, int], Verified], by: int, edge: str
) -> None:
    """Dropped, doubled or flipped: the books name the edge, and nothing is entered."""
    ledger = filled()
    before = ledger.summary()

    error = refusal(lambda: fold(ledger, change(reduced(1), by)))

    assert error.fields["edge"] == edge
    assert ledger.summary() == before


def test_the_message_names_the_edge_and_both_values() -> None:
    """It is what the user sees beside exit code 7."""
    event = told(reduced(1), read=shifted(reduced(1).receipt.read, records=-1))

    error = refusal(lambda: fold(filled(), event))

    assert error.exit_code == 7
    assert error.message == (
        "books of map tasks → partition 1 do not balance: 9 records written, 8 read"
    )


def test_a_balance_with_combining_shows_its_terms() -> None:
    """So that the reader can add up."""
    event = told(mapped(0), emitted=20, combined_in=10, combined_out=3)

    error = refusal(lambda: fold(books(), event))

    assert error.message == (
        "books of map-0000 do not balance:"
        " 13 records left (20 emitted - 10 + 3 combined), 12 written"
    )


def test_the_part_of_a_map_only_task_holds_each_record_once() -> None:
    """Here one is missing."""
    event = told(mapped(0, reducers=0), records_out=4)

    error = refusal(lambda: fold(books(partitions=0), event))

    assert error.message.endswith("5 records emitted, 4 in the part")


@pytest.mark.parametrize("count", [2, 4])
def test_a_missing_or_extra_partition_is_refused(count: int) -> None:
    """Even if it is empty."""
    partitions = (*mapped(0).partitions, EdgeSum())[:count]
    event = msgspec.structs.replace(mapped(0), partitions=partitions)

    error = refusal(lambda: fold(books(), event))

    assert error.message.endswith(f"3 partitions, {count} written")


def test_a_split_that_was_not_read_is_refused() -> None:
    """The task read one of its two splits."""
    event = msgspec.structs.replace(mapped(1), splits=mapped(1).splits[:1])

    error = refusal(lambda: fold(books(), event))

    assert error.message.endswith("2 splits planned, 1 read")


def test_a_split_of_another_input_is_refused() -> None:
    """The message shows both ranges."""
    error = refusal(lambda: fold(books(), split_told(mapped(0), 0, input=1)))

    assert error.message == (
        "books of splits → map-0000 do not balance: 0.txt[0:13] planned, 1.txt[0:13] read"
    )


@pytest.mark.parametrize("offsets", [{"first_offset": 12}, {"last_offset": 20}])
def test_a_record_of_a_neighbouring_split_is_refused(offsets: dict[str, int]) -> None:
    """A record belongs to the split that holds its first byte, so this one was read twice."""
    error = refusal(lambda: fold(books(), split_told(mapped(1), 0, **offsets)))

    assert error.fields["edge"] == "0.txt[13:20] → map-0001"


@pytest.mark.parametrize("event", [mapped(0), reduced(0)], ids=["map", "reduce"])
def test_a_task_is_entered_once(event: Verified) -> None:
    """A second receipt, even the same, would double its records."""
    ledger = filled()
    if event.receipt.attempt.phase == "reduce":
        fold(ledger, event)

    error = refusal(lambda: fold(ledger, event))

    assert error.message.endswith("1 task committed, 2 receipts")


def test_the_map_phase_closes_with_all_tasks_only() -> None:
    """The first one that is missing is named."""
    ledger = books()
    fold(ledger, mapped(0))

    error = refusal(ledger.close_map)

    assert "without map-0001 do not balance: 2 tasks planned, 1 committed" in error.message


def test_the_run_closes_with_all_partitions_only() -> None:
    """A partition that nobody read is lost data."""
    ledger = filled()
    fold(ledger, reduced(0))
    fold(ledger, reduced(2))

    error = refusal(ledger.close)

    assert "without reduce-0001 do not balance: 3 tasks planned, 2 committed" in error.message


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (21, "books of 0.txt → splits do not balance: 21 bytes of input, 20 planned"),
        (19, "books of 0.txt → splits do not balance: 19 bytes of input, 20 planned"),
    ],
)
def test_the_splits_must_reach_the_end_of_the_input(size: int, message: str) -> None:
    """Neither short nor beyond."""
    ledger = books(inputs=files(size, 6))
    for task in range(2):
        fold(ledger, mapped(task))

    assert refusal(ledger.close_map).message == message


@pytest.mark.parametrize("start", [12, 14])
def test_a_gap_or_overlap_of_the_plan_is_refused(start: int) -> None:
    """However well the tasks did what was planned."""
    split = msgspec.structs.replace(TASKS[1].splits[0], start=start)
    task = MapTask(1, (split, TASKS[1].splits[1]))
    ledger = books(tasks=[TASKS[0], task])
    fold(ledger, mapped(0))
    fold(ledger, map_verified(attempt(1), task, REDUCERS))

    error = refusal(ledger.close_map)

    assert error.fields["edge"] == "0.txt → map-0001"
    assert (error.fields["expected"], error.fields["seen"]) == (13, start)


def test_a_name_that_is_no_text_is_shown_escaped() -> None:
    """A path is bytes."""
    inputs = [InputFile(b"\xff.txt", 4, 1)]
    tasks = plan_map_tasks(inputs, 1)
    event = map_verified(attempt(), tasks[0], 1)

    error = refusal(lambda: fold(books(inputs, tasks, 1), split_told(event, 0, bytes=3)))

    assert error.fields["edge"] == "\\xff.txt[0:4] → map-0000"
