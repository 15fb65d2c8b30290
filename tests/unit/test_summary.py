"""The summary of a committed run."""

import msgspec
import pytest

from pymr.core.events import Entry, TaskCommitted, UploadProgressed, Warned
from pymr.core.spec import Attempt, EdgeSum, Receipt, TextRules
from pymr.observe.snapshot import BackupWin, Snapshot, fold
from pymr.observe.summary import LINES_MAX, render_success
from pymr.task.manifest import (
    Columns,
    Manifest,
    ManifestMemory,
    ManifestPart,
    ManifestWorker,
    Settings,
    Versions,
)

LEDGER = {
    "bytes_in": 18_400_000_000,
    "records_in": 181_000_000,
    "emitted": 181_004_113,
    "combined_in": 0,
    "combined_out": 0,
    "written": {"records": 181_004_113, "bytes": 1, "fingerprint": "00"},
    "read": {"records": 181_004_113, "bytes": 1, "fingerprint": "00"},
    "reduce_combined_in": 0,
    "reduce_combined_out": 0,
    "reduced": 181_004_113,
    "skipped": 0,
    "replaced": 0,
    "carriage_returns": 0,
    "damaged_inputs": [],
    "partition_records": [90_000_000, 91_004_113],
}


def manifest(ledger=None, settings=None, **fields):
    """Return the manifest of a run; name what differs."""
    part = ManifestPart(
        name="part-00000.tsv", key="k", records=2_100_000, bytes=48_000_000, sha256=""
    )
    values = {
        "run": "r",
        "name": "wc-7f3a",
        "created": 100.0,
        "finished": 158.0,
        "versions": Versions(pymr="1", python="3"),
        "worker": ManifestWorker(file="worker.py", digest="d"),
        "settings": Settings(
            **{
                "input_format": "text",
                "output_format": "tsv",
                "reducers": 2,
                "reducer": "function",
                "combiner": "sum",
                **(settings or {}),
            }
        ),
        "inputs": (),
        "parts": (part, msgspec.structs.replace(part, name="part-00001.tsv")),
        "ledger": {**LEDGER, **(ledger or {})},
        **fields,
    }
    return Manifest(**values)


def render(shown, snapshot=None, rows=()):
    """Return the lines of the summary."""
    return render_success(shown, snapshot, "./pymr-out/wc-7f3a", rows).splitlines()


def snapshot_of(*receipts, phase="reduce"):
    """Return the snapshot of a run in which these were committed, one for each task."""
    snapshot = Snapshot()
    for task, fields in enumerate(receipts):
        receipt = Receipt(
            attempt=Attempt(phase, task, 1), key="k", size=1, code_digest="d", **fields
        )
        fold(snapshot, Entry(1, task + 1, 0.0, TaskCommitted(receipt)))
    return snapshot


def test_the_summary_says_how_much_the_books_and_what_next():
    """Nothing else where nothing else is to be said."""
    assert render(manifest(), Snapshot()) == [
        "✓ wc-7f3a done in 0:58   18.4 GB, 181 M records in → 4.2 M records out, 2 parts, 96 MB",
        "  books balance: 18.4 GB read once, 181,004,113 emitted = shuffled = reduced",
        "  output ./pymr-out/wc-7f3a/",
        "  next: pymr head wc-7f3a · pymr verify wc-7f3a",
    ]


def test_a_run_that_was_resumed_says_how_long_all_of_it_took_and_its_last_life():
    """It may have begun days ago. Of a replay nobody asks how long the run was done before."""
    resumed = Snapshot(epoch=3, resumed=149.0)
    replayed = Snapshot(epoch=3, resumed=149.0, is_replay=True)
    of_a_first_master = Snapshot(epoch=1, started=149.0)

    assert " done in 0:58 (9.0 s since its last resume)   18.4 GB" in render(manifest(), resumed)[0]
    assert " done in 9.0 s   18.4 GB" in render(manifest(), replayed)[0]
    assert " done in 0:58   18.4 GB" in render(manifest(), of_a_first_master)[0]


def test_the_first_rows_are_shown_under_the_name_of_their_part():
    """At most three, cut and escaped; empty parts are passed over."""
    shown = manifest()
    empty = msgspec.structs.replace(shown.parts[0], records=0, bytes=0)
    shown = msgspec.structs.replace(shown, parts=(empty, shown.parts[1]))

    lines = render(shown, rows=[b"the\t12", b"\x1b[31m\xff\t" + b"x" * 200, b"a\\tb\t1", b"d\t1"])

    assert lines[2:6] == [
        "  first records of ./pymr-out/wc-7f3a/part-00001.tsv",
        "    the    12",
        "    " + r"\x1b[31m\xff    " + "x" * 63 + "…",
        r"    a\tb    1",
    ]
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("ledger", "books"),
    [
        (
            {
                "combined_in": 1000,
                "combined_out": 10,
                "emitted": 1000,
                "written": {"records": 10},
                "reduced": 10,
            },
            "1,000 emitted - 990 combined = 10 shuffled = reduced",
        ),
        (
            {
                "combined_in": 1000,
                "combined_out": 10,
                "emitted": 1000,
                "written": {"records": 10},
                "reduce_combined_in": 8,
                "reduce_combined_out": 3,
                "reduced": 5,
            },
            "1,000 emitted - 990 combined = 10 shuffled - 5 combined = 5 reduced",
        ),
    ],
)
def test_what_was_combined_stands_in_the_books(ledger, books):
    """So that both sides add up for who reads them."""
    assert render(manifest(ledger))[1] == f"  books balance: 18.4 GB read once, {books}"


def test_a_map_only_run_shuffles_nothing():
    """What was emitted was written."""
    shown = manifest({"partition_records": []}, {"reducers": 0, "reducer": None, "combiner": None})

    assert render(shown)[1] == ("  books balance: 18.4 GB read once, 181,004,113 emitted = written")


@pytest.mark.parametrize(
    ("memory", "lines"),
    [
        (ManifestMemory(limit_bytes=512 << 20, peak_bytes=(325 << 20) + 1), ["326M of 512M"]),
        (ManifestMemory(limit_bytes=2 << 30, peak_bytes=1 << 30), ["1G of 2G"]),
        (ManifestMemory(limit_bytes=512 << 20, peak_bytes=None), []),
        (None, []),  # an older run
    ],
)
def test_the_peak_of_the_memory_is_said_if_it_is_known(memory, lines):
    """In the units of the setting, rounded up."""
    shown = render(manifest(memory=memory))

    assert [line for line in shown if "memory" in line] == [f"  memory peak {m}" for m in lines]


@pytest.mark.parametrize(
    ("ledger", "line"),
    [
        (
            {"replaced": 12, "damaged_inputs": [0, 3, 4, 9]},
            "  4 files had bytes that are not UTF-8: 12 records replaced",
        ),
        (
            {"replaced": 1, "skipped": 2, "damaged_inputs": [0]},
            "  1 file had bytes that are not UTF-8: 1 record replaced, 2 left out",
        ),
        ({"skipped": 2, "damaged_inputs": [0]}, "  1 file had bad records: 2 left out"),
        (
            {"carriage_returns": 3},
            r"  3 lines ended in \r\n: the \r was removed (--newline lf keeps it)",
        ),
    ],
)
def test_b9_b14_b18_what_was_changed_on_the_way_in_is_said(ledger, line):
    """A result of damaged input is not a silent one."""
    assert line in render(manifest(ledger, {"text": TextRules(errors="replace")}))


@pytest.mark.parametrize(
    ("columns", "output_format", "line"),
    [
        (Columns(value_mixed=True), "tsv", "  values have several types: they read back as text"),
        (
            Columns(key_mixed=True, value_mixed=True),
            "jsonl",
            "  keys and values have several types: they read back as JSON values",
        ),
    ],
)
def test_mixed_columns_are_said(columns, output_format, line):
    """Their types are lost to a reader."""
    shown = manifest(None, {"output_format": output_format}, columns=columns)

    assert line in render(shown)


@pytest.mark.parametrize(
    ("ledger", "why"),
    [
        ({"emitted": 0}, "the mapper emitted nothing"),
        ({"reduced": 0}, "the combiner emitted nothing"),
        ({}, "the reducer emitted nothing"),
    ],
)
def test_b6_b72_an_empty_output_is_warned_of(ledger, why):
    """It may be right, and often is not."""
    empty = ManifestPart(name="part-00000.tsv", key="k", records=0, bytes=0, sha256="")

    lines = render(manifest(ledger, parts=(empty,)))

    assert f"  warning: the output is empty: {why}" in lines


def test_an_empty_input_is_warned_of_once():
    """The plan has said it; that nothing came of it is no second piece of news."""
    empty = ManifestPart(name="part-00000.tsv", key="k", records=0, bytes=0, sha256="")
    warning = "all inputs are empty: there are no records"
    shown = manifest({"bytes_in": 0, "emitted": 0}, parts=(empty,), warnings=(warning,))

    lines = render(shown)

    assert [line for line in lines if "empty" in line] == [f"  warning: {warning}"]


def test_b63_b64_a_partition_with_most_of_the_data_is_named_with_its_key():
    """And what would help."""
    snapshot = snapshot_of(
        {"read": EdgeSum(3, 0, 0)},
        {
            "read": EdgeSum(997, 0, 0),
            "largest_key": "'the'",
            "largest_group": 900,
        },
    )
    shown = manifest({"partition_records": [3, 997]}, {"combiner": None})

    assert (
        "  warning: reducer 1 has 99 % of data (key 'the': 90 % of records);"
        " a combiner would make it less"
    ) in render(shown, snapshot)


MANY_KEYS = {"read": EdgeSum(997, 0, 0), "groups": 900, "largest_key": "1", "largest_group": 9}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "its 900 keys hash alike: --partition-seed 1 would part them"),
        ({"combiner": None}, "its 900 keys hash alike: --partition-seed 1 would part them"),
        ({"partition_seed": 4}, "its 900 keys hash alike: --partition-seed 5 would part them"),
        ({"partitioner": "function"}, "the job's partitioner gave it 900 keys"),
    ],
)
def test_b65_many_keys_in_one_partition_are_told_from_one_large_key(settings, why):
    """No combiner helps them; another seed does, or the user's own partitioner."""
    snapshot = snapshot_of({"read": EdgeSum(3, 0, 0)}, MANY_KEYS)

    lines = render(manifest({"partition_records": [3, 997]}, settings), snapshot)

    assert f"  warning: reducer 1 has 99 % of data; {why}" in lines


def test_as_few_keys_as_partitions_do_not_hash_alike():
    """Chance put them together, and may do so again."""
    few = {**MANY_KEYS, "groups": 2}

    lines = render(manifest({"partition_records": [997, 3]}), snapshot_of(few))

    assert "  warning: reducer 0 has 99 % of data" in lines


def test_the_key_of_another_partition_is_not_blamed():
    """What was combined away makes another partition the largest."""
    other = {"read": EdgeSum(997, 0, 0), "largest_key": "'the'", "largest_group": 900}

    lines = render(manifest({"partition_records": [3, 997, 0]}), snapshot_of(other))

    assert "  warning: reducer 1 has 99 % of data" in lines


@pytest.mark.parametrize("records", [[500, 500], [260, 740], [1000], [1, 0], [], [0, 0]])
def test_no_skew_is_seen_where_there_is_none(records):
    """Hashing is never quite even; one partition has all; too few records tell nothing."""
    assert not any("of data" in line for line in render(manifest({"partition_records": records})))


@pytest.mark.parametrize(
    ("boundaries", "records", "more"),
    [
        ((b"m",), [3, 997], "; the largest has 1.99 times an even share of the records"),
        (
            (b"b", b"m"),
            [400, 300, 300, 0],
            "; the largest has 1.20 times an even share of the records",
        ),
        ((), [10], ""),
        ((b"m",), [0, 0], ""),
    ],
)
def test_a_sorted_run_says_how_even_its_parts_are(boundaries, records, more):
    """No hash is blamed for what a range holds."""
    shown = manifest({"partition_records": records}, {"boundaries": boundaries})

    lines = render(shown, snapshot_of({"read": EdgeSum(3, 0, 0)}, MANY_KEYS))

    assert f"  the parts follow each other in key order{more}" in lines
    assert not any("reducer" in line for line in lines)


def test_a_slow_task_is_named_with_the_key_that_makes_it_slow():
    """More than 1.5 times the median of its phase."""
    walls = [4.0, 4.0, 9.8, 4.0]
    snapshot = snapshot_of(
        *(
            {"wall_s": wall, "largest_key": "'the'", "largest_group": 22, "read": EdgeSum(50, 0, 0)}
            for wall in walls
        )
    )

    assert (
        "  slowest: reduce-0002 9.8 s = 2.5x the median (key 'the': 11 % of records)"
    ) in render(manifest(), snapshot)


@pytest.mark.parametrize("walls", [[4.0, 4.0, 5.9], [0.1, 0.1, 0.9], [9.0]])
def test_a_task_that_is_not_out_of_line_is_not_named(walls):
    """Little over the median, under a second, or alone."""
    snapshot = snapshot_of(*({"wall_s": wall} for wall in walls), phase="map")

    assert not any("slowest" in line for line in render(manifest(), snapshot))


def test_uploads_are_said():
    """How much went up, and how much of it was there."""
    snapshot = Snapshot()
    fold(snapshot, Entry(1, 1, 0.0, UploadProgressed(3, 2_500_000, 3, 2_500_000, 2)))

    assert "  uploaded: 3 inputs, 2.5 MB, 2 of them there before" in render(manifest(), snapshot)


def test_retries_backups_counters_and_warnings_are_said():
    """Each once, escaped."""
    win = BackupWin(Attempt("map", 17, 2), took_s=0.42, other_s=75.0, other_share=0.126)
    snapshot = Snapshot(retried=2, lost=1, backups_won=3, backup_win=win)
    fold(snapshot, Entry(1, 1, 0.0, Warned("grew\x1b[0m")))
    shown = manifest(counters={"bad": 12, "seen": 1_234_567}, warnings=("grew\x1b[0m", "other"))

    lines = render(shown, snapshot)

    assert "  2 attempts tried again, 1 of them lost with their worker" in lines
    assert (
        "  backup of map-0017 won in 0.4 s; the other attempt was at 12 % after 1:15;"
        " 2 more backups won" in lines
    )
    assert "  counters: bad 12 · seen 1,234,567" in lines
    assert lines.count(r"  warning: grew\x1b[0m") == 1
    assert "  warning: other" in lines


def test_f43_reads_that_were_healed_are_counted():
    """All tasks together; a store that does so often is not well."""
    lines = render(manifest(), snapshot_of({"healed": 2}, {}, {"healed": 1}))

    assert "  3 corrupt reads healed: right at another try" in lines
    assert not any("healed" in line for line in render(manifest(), snapshot_of({}, {})))


def test_the_summary_is_at_most_15_lines():
    """What does not fit is counted."""
    shown = manifest(
        {"replaced": 1, "damaged_inputs": [0], "carriage_returns": 1, "partition_records": [1, 99]},
        columns=Columns(key_mixed=True),
        counters={f"c{number}": number for number in range(20)},
        warnings=tuple(f"warning {number}" for number in range(20)),
    )
    snapshot = snapshot_of(*({"wall_s": wall} for wall in (1, 1, 9)))
    snapshot.retried = 1

    lines = render(shown, snapshot, rows=[b"a\t1"] * 5)

    assert len(lines) == LINES_MAX
    assert lines[-1].startswith("  next:")
    assert "more notes: pymr show wc-7f3a" in lines[-6]
    assert any(line.endswith("c5 5 · 14 more") for line in lines)
