"""What `ctx` offers in each place, and what it refuses."""

from __future__ import annotations

import pytest

from pymr.task.context import COUNTERS_MAX, CombinerContext, TaskContext, refuse_emit


def context() -> TaskContext:
    return TaskContext(lambda _key, _value: None, {"pattern": "x"})


def test_emit_is_the_sinks_own_function() -> None:
    """Nothing stands between a mapper and the buffer: emit is called most."""
    pairs: list[tuple[object, object]] = []

    def sink(key: object, value: object) -> None:
        pairs.append((key, value))

    assert TaskContext(sink, {}).emit is sink


def test_params_are_a_copy() -> None:
    """A worker that changes them changes nothing for the next call."""
    ctx = context()

    ctx.params["pattern"] = "y"
    ctx.params.clear()

    assert ctx.params == {"pattern": "x"}


def test_input_is_the_place_of_the_record() -> None:
    """File and offset in a mapper; elsewhere there is no such place."""
    ctx = context()

    ctx.at("in.txt", 17)
    assert (ctx.input.file, ctx.input.offset) == ("in.txt", 17)

    ctx.at(None, 0)
    with pytest.raises(RuntimeError, match="emit it if you need it"):
        _ = ctx.input


def test_counts_add_up() -> None:
    """By name; by one if nothing else is said; down as well as up."""
    ctx = context()

    ctx.count("a")
    ctx.count("b", 5)
    ctx.count("a", 2)
    ctx.count("b", -6)
    ctx.count("zero", 0)

    assert ctx.counters == {"a": 3, "b": -1, "zero": 0}


@pytest.mark.parametrize(
    ("name", "number"), [(1, 1), (b"a", 1), (None, 1), ("a", 1.0), ("a", "1"), ("a", True)]
)
def test_what_is_no_counter_is_refused(name: object, number: object) -> None:
    """A counter is a str and an int, and stays exact."""
    ctx = context()

    with pytest.raises(TypeError, match="a counter is a str and an int"):
        ctx.count(name, number)  # type: ignore[arg-type]

    assert ctx.counters == {}


def test_a_counter_that_is_no_text_is_refused() -> None:
    """A lone surrogate has no UTF-8; the receipt that carries it would be lost."""
    with pytest.raises(ValueError, match=r"counter '\\udcff' has a character that"):
        context().count("\udcff")


def test_counters_have_a_limit() -> None:
    """The last one fits, one more does not, and known ones go on."""
    ctx = context()
    for number in range(COUNTERS_MAX):
        ctx.count(str(number))

    with pytest.raises(ValueError, match=f"would be number {COUNTERS_MAX + 1}; emit it instead"):
        ctx.count("one more")
    ctx.count("0")

    assert len(ctx.counters) == COUNTERS_MAX
    assert ctx.counters["0"] == 2


def test_a_combiner_may_not_count() -> None:
    """It runs any number of times, so its counts would mean nothing."""
    with pytest.raises(RuntimeError, match="a combiner may not count"):
        CombinerContext(refuse_emit, {}).count("a")


def test_setup_may_not_emit() -> None:
    """What it emitted would depend on how many tasks there are."""
    with pytest.raises(RuntimeError, match="emit in the mapper or reducer"):
        refuse_emit("k", 1)


def test_a_context_takes_no_new_attributes() -> None:
    """State that a worker hung there would be lost with the attempt; it has globals."""
    with pytest.raises(AttributeError):
        context().seen = set()  # type: ignore[attr-defined]
