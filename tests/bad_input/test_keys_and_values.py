"""Keys and values of every kind: which are groups, in which order, and which are refused."""

from __future__ import annotations

import json

import pytest

from cli import CommandLine, Outcome
from pymr._native import encode_key, xxh3_64

HEAD = "import math, struct, pymr\n"


def emit(cli: CommandLine, pairs: str, *flags: str, reducer: str = "pymr.COUNT", **run) -> Outcome:
    """Run a job whose mapper emits `pairs`, an expression, for one chunk."""
    cli.write("in.txt", "x\n")
    worker = (
        f"{HEAD}def mapper(ctx, chunk):\n    yield from {pairs}\n"
        "def values(ctx, key, values):\n    ctx.emit(key, list(values))\n"
        f"job = pymr.Job(mapper=mapper, reducer={reducer})\n"
    )
    return cli.start("--input=in.txt", "--format=jsonl", *flags, worker=worker, **run)


def rows(outcome: Outcome) -> list[tuple[object, object]]:
    """Return the key and value of each row."""
    found = map(json.loads, outcome.succeeded())
    return [(row["key"], row["value"]) for row in found]


@pytest.mark.parametrize("output_format", ["tsv", "jsonl"])
def test_b51_an_int_of_five_thousand_digits(cli: CommandLine, output_format: str) -> None:
    """Read from text, key, value, text, and read back: Python's limit of 4,300 is not met."""
    big = "1" + "0" * 4999
    worker = (
        "import pymr\ndef mapper(ctx, line):\n    ctx.emit(int(line), -int(line))\n"
        "job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)\n"
    )
    cli.write("in.txt", f"{big}\n-{big}\n5\n")

    rows = cli.start("--input=in.txt", f"--format={output_format}", worker=worker).succeeded()

    shown = "{}\t{}" if output_format == "tsv" else '{{"key":{},"value":{}}}'
    assert rows == [
        shown.format(*pair) for pair in (("-" + big, big), ("5", "-5"), (big, "-" + big))
    ]
    read = "import pymr; print([(k == -v, k % 7) for k, v in pymr.Result('out')])"
    assert cli.python(read) == str([(True, key % 7) for key in (-(10**4999), 5, 10**4999)])
    for command in (["cat"], ["cat", "--sorted"], ["cat", "--json"], ["head"], ["verify"]):
        assert cli.run(*command, "out").code == 0


def test_b52_b53_zeros_and_nans_are_one_group_each(cli: CommandLine) -> None:
    """NaN with any payload comes after +inf."""
    other_nan = "struct.unpack('<d', b'\\x01' * 6 + b'\\xf8\\xff')[0]"
    keys = f"(0.0, -0.0, math.nan, -math.nan, {other_nan}, math.inf, -math.inf)"

    found = rows(emit(cli, f"((key, 1) for key in {keys})"))

    assert [number for _, number in found] == [1, 2, 1, 3]
    assert [key for key, _ in found] == ["-Infinity", 0.0, "Infinity", "NaN"]


def test_b54_b55_b56_b57_keys_of_all_types_have_one_order(cli: CommandLine) -> None:
    """None < bool < int < float < str < bytes < tuple, inside tuples as well."""
    keys = "((None,), (1, None), 'a', b'a', 1.0, 1, True, None, False, (None, 'x'), 2, '', ())"

    outcome = emit(cli, f"((key, repr(key)) for key in {keys})", reducer="pymr.MIN")

    assert [value for _, value in rows(outcome)] == [
        *("None", "False", "True", "1", "2", "1.0", "''", "'a'", "b'a'"),
        *("()", "(None,)", "(None, 'x')", "(1, None)"),
    ]
    outcome.succeeded("keys have several types")


def test_b58_composed_and_decomposed_text_are_two_keys(cli: CommandLine) -> None:
    """`--normalize NFC` joins them."""
    pairs = "(('\\u00e9', 1), ('e\\u0301', 1))"

    assert [number for _, number in rows(emit(cli, pairs))] == [1, 1]
    assert rows(emit(cli, pairs, "--normalize=NFC", "--overwrite")) == [("\u00e9", 2)]


def test_b59_tabs_newlines_and_backslashes_come_back(cli: CommandLine) -> None:
    """Escaped in TSV; both formats read back to the same records."""
    text = "a\tb\nc\\d\\n"
    cli.write("in.txt", "x\n")
    emit(cli, repr([(text, text)]), reducer="pymr.MIN")
    cli.run("start", "--input=in.txt", "--output=tsv", "worker.py")

    read = "import pymr; print([list(pymr.Result(name)) for name in ('out', 'tsv')])"
    part = (cli.folder / "tsv/part-00000.tsv").read_text()

    assert part == r"a\tb\nc\\d\\n" + "\t" + r"a\tb\nc\\d\\n" + "\n"
    assert cli.python(read) == repr([[(text, text)], [(text, text)]])


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("{'a': 1}", ["type `dict`", "tuple(sorted(key.items()))"]),
        ("{1, 2}", ["type `set`", "tuple(sorted(key))"]),
        ("[1, 2]", ["type `list`", "tuple(key)"]),
        ("object()", ["type `object`, expected None, bool, int"]),
        ("(1, [2])", ["an item of a key", "type `list`", "tuple(item)"]),
        ("__import__('decimal').Decimal(1)", ["type `Decimal`", "use str(key)"]),
    ],
)
def test_f82_b60_what_cannot_be_a_key(cli: CommandLine, key: str, parts: list[str]) -> None:
    """Its type, and what to use instead."""
    emit(cli, f"[({key}, 1)]").refused(
        1, "mapper raised TypeError", *parts, "worker.py:3 in mapper"
    )


def test_b61_a_key_of_a_mebibyte_is_the_limit(cli: CommandLine) -> None:
    """Its encoding may have 1 MiB; one more byte is refused where it is emitted."""
    fits = "'x' * ((1 << 20) - 2)"

    emit(cli, "[(b'x' * (1 << 20) + b'x', 1)]").refused(
        1,
        "mapper raised ValueError",
        "the limit of 1048576 bytes",
        "worker.py:3 in mapper",
        "in.txt  line 1",
    )
    assert len(rows(emit(cli, f"[({fits}, 1)]"))) == 1


def test_b62_the_order_of_keys_is_no_locale_s(cli: CommandLine) -> None:
    """By code point, whatever the user's language."""
    letters = "\u0131Ii\u0130çzZcaä"
    pairs = f"((key, 1) for key in {letters!r})"
    parts = []

    for number, language in enumerate(("tr_TR.UTF-8", "C", "de_DE.ISO-8859-1")):
        environ = {"LC_ALL": language, "LANG": language, "PYTHONUTF8": "0"}
        outcome = emit(cli, pairs, "--overwrite" if number else "--quiet", environ=environ)
        outcome.succeeded()
        parts.append((cli.folder / "out/part-00000.jsonl").read_bytes())

    assert parts[0] == parts[1] == parts[2]
    assert [json.loads(row)["key"] for row in parts[0].splitlines()] == sorted(letters)


def test_b63_one_key_for_all_records(cli: CommandLine) -> None:
    """It completes, and the summary says where the data went."""
    pairs = "(('one', 1) for _ in range(50_000))"

    outcome = emit(cli, pairs, "--reducers=4", reducer="lambda ctx, key, n: ctx.emit(key, sum(n))")

    assert outcome.succeeded("has 100 % of data", "a combiner would make it less") == [
        '{"key":"one","value":50000}'
    ]
    assert len(list((cli.folder / "out").glob("part-*"))) == 4


HALF = "[('hot', n) for n in range(900)] + [(str(n), n) for n in range(100)]"
FIRST = "lambda ctx, key, values: ctx.emit(key, min(values))"


def test_b64_a_hot_key_is_named_with_what_would_help(cli: CommandLine) -> None:
    """A combiner, which then leaves nothing to warn of."""
    outcome = emit(cli, HALF, "--reducers=4", reducer=FIRST)

    outcome.succeeded(" % of data (key 'hot': 90 % of records); a combiner would make it less")
    outcome = emit(cli, HALF, "--reducers=4", "--overwrite", reducer=f"{FIRST}, combiner=pymr.MIN")
    assert len(outcome.succeeded()) == 101
    assert "% of data" not in outcome.stderr


def crafted() -> list[str]:
    """Return keys that all belong to the first of four partitions, as an attacker finds them."""
    return [key for key in map(str, range(4000)) if xxh3_64(encode_key(key)) % 4 == 0]


def test_b65_keys_that_share_one_partition_are_parted_by_another_seed(cli: CommandLine) -> None:
    """The warning says so; the manifest records the seed; the result is the same."""
    keys = crafted()
    pairs = f"((key, 1) for key in {keys!r})"

    together = emit(cli, pairs, "--reducers=4")
    rows_together = rows(together)
    seed = "--partition-seed 1"
    together.succeeded(f"reducer 0 has 100 % of data; its {len(keys):,} keys hash alike: {seed}")
    apart = emit(cli, pairs, "--reducers=4", *seed.split(), "--overwrite")

    assert sorted(rows(apart)) == sorted(rows_together) == sorted((key, 1) for key in keys)
    assert "% of data" not in apart.stderr
    parts = [path.read_bytes().count(b"\n") for path in (cli.folder / "out").glob("part-*")]
    assert min(parts) > len(keys) / 5
    manifest = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_text())
    assert manifest["settings"]["partition_seed"] == 1


def test_b65_a_partitioner_of_the_job_has_no_seed(cli: CommandLine) -> None:
    """What it did is said to be its doing, and that the seed does nothing."""
    pairs = "((str(n), 1) for n in range(100))"
    reducer = "pymr.COUNT, partitioner=lambda key, n: 2"

    outcome = emit(cli, pairs, "--reducers=4", "--partition-seed=1", reducer=reducer)

    outcome.succeeded(
        "reducer 2 has 100 % of data; the job's partitioner gave it 100 keys",
        "--partition-seed has no effect: the job has a partitioner of its own",
    )


def test_b72_a_mapper_that_emits_nothing(cli: CommandLine) -> None:
    """An empty output is a result, with a warning."""
    outcome = emit(cli, "()", "--reducers=2")

    assert outcome.succeeded("warning: the output is empty: the mapper emitted nothing") == []
    assert len(list((cli.folder / "out").glob("part-*"))) == 2


def test_b75_values_with_every_byte_come_back(cli: CommandLine) -> None:
    """As base64 in both formats, and as bytes when read."""
    emit(cli, "[(b'k', bytes(range(256)) * 3)]", reducer="pymr.MIN").succeeded()
    cli.run("start", "--input=in.txt", "--output=tsv", "worker.py")

    read = "import pymr; print([list(pymr.Result(name)) for name in ('out', 'tsv')])"

    pairs = [(b"k", bytes(range(256)) * 3)]
    assert cli.python(read) == repr([pairs, pairs])


@pytest.mark.parametrize(
    ("returned", "parts"),
    [
        ("None", None),
        ("[(key, 1), (key, 2)]", None),
        ("((key, n) for n in (1, 2))", None),
        ("(key, 1)", ["reducer returned tuple ('k', 1)", "`yield key, value`"]),
        ("[(key, 1, 2)]", ["reducer yielded tuple ('k', 1, 2), expected a pair"]),
        ("[key]", ["reducer yielded str 'k', expected a pair"]),
        ("1", ["reducer returned int 1, expected None or an iterable of pairs"]),
        ("'kv'", ["reducer returned str 'kv'"]),
    ],
)
def test_b76_what_a_reducer_may_return(
    cli: CommandLine, returned: str, parts: list[str] | None
) -> None:
    """Nothing, or an iterable of pairs; what else it was is shown, with what to write."""
    outcome = emit(cli, "[('k', 1)]", reducer=f"lambda ctx, key, values: {returned}")

    if parts is None:
        outcome.succeeded()
    else:
        outcome.refused(1, "reducer raised TypeError", *parts, "key  'k'")
