"""Everything a worker may do, through the engine: what it is given, what it may return."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

import pymr
from pymr.errors import UserCodeError

TEXT = "b 2\na 1\nb 5\nc 4\na 3\n"


def run(tmp_path, text=TEXT, /, params=None, settings=None, **job):
    """Run a job of the given functions over `text` and return its result."""
    path = tmp_path / "in.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return pymr.run(
        pymr.Job(**job),
        input=path,
        output=tmp_path / "out",
        params=params,
        **{"workers": 1, "mappers": 3, "reducers": 1, **(settings or {})},
    )


def pairs(ctx, line):
    key, number = line.split()
    ctx.emit(key, int(number))


def test_values_arrive_in_input_order(tmp_path):
    """A key's values come in the order of their records, over all map tasks."""
    result = run(
        tmp_path,
        mapper=pairs,
        reducer=lambda ctx, key, values: ctx.emit(key, list(values)),
        input=pymr.LINES,
    )

    assert list(result) == [("a", [1, 3]), ("b", [2, 5]), ("c", [4])]


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        (pymr.SUM, {"a": 4, "b": 7, "c": 4}),
        (pymr.MIN, {"a": 1, "b": 2, "c": 4}),
        (pymr.MAX, {"a": 3, "b": 5, "c": 4}),
        (pymr.COUNT, {"a": 2, "b": 2, "c": 1}),
    ],
)
def test_builtin_reducers(reducer, expected, tmp_path):
    """The engine computes sums, extremes and counts, and combines by itself."""
    result = run(tmp_path, mapper=pairs, reducer=reducer, input=pymr.LINES)

    assert dict(result) == expected


@pytest.mark.parametrize("mappers", [1, 4])
def test_sum_of_floats_is_correctly_rounded_for_any_split(mappers, tmp_path):
    """Floats are added as math.fsum does, so grouping changes no bit."""
    numbers = [0.1] * 10 + [1e16, 1.0, -1e16] + [1 / 3] * 7
    text = "".join(f"{number!r}\n" for number in numbers)

    result = run(
        tmp_path,
        text,
        mapper=lambda ctx, line: ctx.emit("sum", float(line)),
        reducer=pymr.SUM,
        input=pymr.LINES,
        settings={"mappers": mappers},
    )

    assert list(result) == [("sum", math.fsum(numbers))]


def test_generators_and_lists_of_pairs_are_emitted(tmp_path):
    """A mapper may yield pairs, a reducer may return a list of them."""

    def mapper(_ctx, line):
        key, number = line.split()
        yield key, int(number)

    result = run(
        tmp_path,
        mapper=mapper,
        reducer=lambda _ctx, key, values: [(key, max(values)), (key.upper(), 0)],
        input=pymr.LINES,
    )

    assert list(result) == [("a", 3), ("A", 0), ("b", 5), ("B", 0), ("c", 4), ("C", 0)]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("('k', 1)", r"returned tuple .* expected None or an iterable of pairs"),
        ("[('k', 1, 2)]", r"yielded tuple .* expected a pair"),
        ("['kv']", "yielded str 'kv', expected a pair"),
        ("7", "returned int 7"),
    ],
)
def test_what_is_no_pair_is_refused_with_an_example(returned, message, tmp_path):
    """A forgotten yield is named as such."""
    with pytest.raises(UserCodeError, match=message) as caught:
        run(tmp_path, mapper=eval(f"lambda ctx, chunk: {returned}"), reducer=pymr.SUM)

    assert "yield" in caught.value.message


def test_setup_params_counters_input_and_teardown(tmp_path):
    """`ctx` tells parameters and places; setup and teardown run once an attempt and may count."""

    def mapper(ctx, line):
        ctx.params["scale"] = "changing the copy changes nothing"
        ctx.emit(ctx.input.offset, (ctx.input.file.rpartition("/")[2], line, ctx.params["scale"]))

    result = run(
        tmp_path,
        mapper=mapper,
        reducer=lambda ctx, key, values: ctx.emit(key, next(values)),
        setup=lambda ctx: ctx.count("setup"),
        teardown=lambda ctx: ctx.count("teardown", 10),
        input=pymr.LINES,
        params={"scale": "2"},
    )

    rows = list(result)
    assert rows[0] == (0, ("in.txt", "b 2", "2"))
    assert [key for key, _ in rows] == [0, 4, 8, 12, 16]
    assert result.counters == {"setup": 4, "teardown": 40}  # three map tasks and a reduce task


@pytest.mark.parametrize("name", [b"two\nlines", b"caf\xe9"], ids=["newline", "latin-1"])
def test_the_file_of_a_record_is_one_that_can_be_opened(tmp_path, name):
    """Whatever its name: only messages escape it."""
    path = tmp_path / os.fsdecode(name)
    path.write_text("a\n")

    def mapper(ctx, chunk):
        ctx.emit(chunk, Path(ctx.input.file).exists())

    assert list(pymr.run(pymr.Job(mapper=mapper), input=path, output=tmp_path / "out")) == [
        ("a\n", True)
    ]


def test_a_reducer_has_no_place_in_the_input(tmp_path):
    """A key comes from many places, so asking for one is a clear error."""
    with pytest.raises(UserCodeError, match=r"ctx\.input is the place of a mapper's record"):
        run(
            tmp_path,
            mapper=pairs,
            reducer=lambda ctx, key, _values: ctx.emit(key, ctx.input.file),
            input=pymr.LINES,
        )


def test_emit_in_setup_is_refused(tmp_path):
    """What setup emitted would depend on how the input was split."""
    with pytest.raises(UserCodeError, match=r"setup raised RuntimeError: .* emit in the mapper"):
        run(tmp_path, mapper=pairs, setup=lambda ctx: ctx.emit("x", 1), reducer=pymr.SUM)


def test_a_partitioner_places_keys(tmp_path):
    """A partitioner decides the part of a key."""
    result = run(
        tmp_path,
        mapper=pairs,
        reducer=pymr.SUM,
        partitioner=lambda key, partitions: min(ord(key) - ord("a"), partitions - 1),
        input=pymr.LINES,
        settings={"reducers": 2},
    )

    assert [part.records for part in result.manifest.parts] == [1, 2]


@pytest.mark.parametrize("answer", [-1, 2, "0", None])
def test_a_partitioner_that_answers_no_partition_is_refused(answer, tmp_path):
    """Anything but an int from 0 to partitions - 1 names itself."""
    with pytest.raises(UserCodeError, match="partition"):
        run(
            tmp_path,
            mapper=pairs,
            reducer=pymr.SUM,
            partitioner=lambda _key, _partitions: answer,
            input=pymr.LINES,
            settings={"reducers": 2},
        )


def test_whole_gives_the_mapper_a_file_as_bytes(tmp_path):
    """One call a file, with its bytes as they are."""
    body = bytes(range(256)) * 3

    result = run(
        tmp_path,
        body,
        mapper=lambda ctx, data: ctx.emit(ctx.input.offset, data),
        input=pymr.WHOLE,
    )

    assert list(result) == [(0, body)]


@pytest.mark.parametrize(
    "use",
    [
        lambda values: (list(values), list(values)),
        lambda values: (sum(values), max(values, default=0)),
        lambda values: [iter(values), iter(values)],
    ],
)
def test_f86_a_second_pass_over_values_is_a_clear_error(use, tmp_path):
    """`values` is one pass; the error says what to write."""
    with pytest.raises(UserCodeError, match=r"values can be iterated once; use list\(values\)"):
        run(
            tmp_path,
            mapper=pairs,
            reducer=lambda ctx, key, values: ctx.emit(key, len(use(values))),
            input=pymr.LINES,
        )


def test_f86_values_that_are_not_read_are_counted_all_the_same(tmp_path):
    """A reducer may stop early; the books still balance."""
    result = run(
        tmp_path,
        mapper=pairs,
        reducer=lambda ctx, key, values: ctx.emit(key, next(values)),
        input=pymr.LINES,
    )

    assert list(result) == [("a", 1), ("b", 2), ("c", 4)]
    assert result.manifest.ledger["read"]["records"] == 5


def test_strings_as_values_arrive_as_they_are(tmp_path):
    """The seed's style emits "1"; nothing is turned into a number behind the user's back."""
    result = run(
        tmp_path,
        mapper=lambda ctx, line: ctx.emit(line[0], "1"),
        reducer=lambda ctx, key, values: ctx.emit(key, "".join(values)),
        input=pymr.LINES,
    )

    assert list(result) == [("a", "11"), ("b", "11"), ("c", "1")]


def test_adding_strings_gets_the_hint_to_emit_numbers(tmp_path):
    """A reducer that adds strings fails with the way out."""
    for reducer in (lambda ctx, key, values: ctx.emit(key, sum(values)), pymr.SUM):
        with pytest.raises(UserCodeError) as caught:
            run(
                tmp_path,
                mapper=lambda ctx, line: ctx.emit(line[0], "1"),
                reducer=reducer,
                input=pymr.LINES,
                settings={"overwrite": True},
            )
        assert "ctx.emit(key, 1)" in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("combiner", "message"),
    [
        (lambda ctx, _key, values: ctx.emit("other", sum(values)), "may emit its own key only"),
        (lambda ctx, _key, _values: ctx.count("runs"), "a combiner may not count"),
    ],
)
def test_a_combiner_that_breaks_its_law_is_refused(combiner, message, tmp_path):
    """Other keys and counters would depend on how often the combiner ran."""
    with pytest.raises(UserCodeError, match=message):
        run(
            tmp_path,
            mapper=pairs,
            combiner=combiner,
            reducer=lambda ctx, key, values: ctx.emit(key, sum(values)),
            input=pymr.LINES,
            settings={"mappers": 1},
        )


@pytest.mark.parametrize("key", [[1], {"a": 1}, {1, 2}, object(), 1j])
def test_f82_a_key_of_another_type_is_refused_at_emit(key, tmp_path):
    """The error names the type, and for lists and dicts what to use instead."""
    with pytest.raises(UserCodeError, match=type(key).__name__) as caught:
        run(tmp_path, mapper=lambda ctx, _chunk: ctx.emit(key, 1), reducer=pymr.SUM)

    assert caught.value.fields["line"] == 1


def test_an_int_of_5000_digits_is_key_value_and_text(tmp_path):
    """Python's limit on digits is met nowhere on the way."""
    number = 10**5000 + 7

    result = run(
        tmp_path,
        "one line\n",
        mapper=lambda ctx, _chunk: ctx.emit(10**5000 + 7, -(10**5000) - 7),
        reducer=pymr.SUM,
        settings={"mappers": 1},
    )

    assert list(result) == [(number, -number)]
