"""What `ctx` offers in each place, and what it refuses."""

from __future__ import annotations

import gc
import weakref

import pytest

from pymr.task.context import COUNTERS_MAX, CombinerContext, TaskContext


def context() -> TaskContext:
    return TaskContext(lambda _key, _value: None, {"pattern": "x"})


def test_emit_passes_pairs_on() -> None:
    """By place or by name; whatever else is given is refused as Python would."""
    pairs: list[tuple[object, object]] = []

    def sink(key: object, value: object) -> None:
        pairs.append((key, value))

    ctx = TaskContext(sink, {})
    ctx.emit("a", 1)
    ctx.emit("b", value=2)
    ctx.emit(value=3, key="c")

    assert pairs == [("a", 1), ("b", 2), ("c", 3)]
    for arguments, named in [((), {}), (("a",), {}), (("a", 1, 2), {}), (("a", 1), {"key": "a"})]:
        with pytest.raises(TypeError, match=r"emit\(\) takes a key and a value"):
            ctx.emit(*arguments, **named)


def test_an_error_of_the_sink_is_that_of_emit() -> None:
    """As if the mapper had called it."""

    def sink(_key: object, _value: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        TaskContext(sink, {}).emit("a", 1)


def test_a_hook_has_no_place_and_may_not_emit() -> None:
    """Neither while it runs, nor does it spoil what comes after."""
    pairs: list[tuple[object, object]] = []
    ctx = TaskContext(lambda key, value: pairs.append((key, value)), {})
    ctx.at("in.txt", 17)

    with pytest.raises(RuntimeError, match="emit in the mapper or reducer"), ctx.hook():
        ctx.emit("a", 1)
    with pytest.raises(RuntimeError, match="emit it if you need it"):
        _ = ctx.input
    ctx.emit("b", 2)

    assert pairs == [("b", 2)]


def test_a_context_that_its_sink_refers_to_is_collected() -> None:
    """A combiner's context and its sink know each other."""

    class Sink:
        def emit(self, key: object, value: object) -> None: ...

    sink = Sink()
    sink.ctx = TaskContext(sink.emit, {})  # type: ignore[attr-defined]
    gone = weakref.ref(sink)

    del sink
    gc.collect()

    assert gone() is None


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
        CombinerContext(print, {}).count("a")


def test_a_context_takes_no_new_attributes() -> None:
    """State that a worker hung there would be lost with the attempt; it has globals."""
    with pytest.raises(AttributeError):
        context().seen = set()  # type: ignore[attr-defined]


def test_a_call_of_emit_without_any_argument_is_refused() -> None:
    """Also one that has no place to hold arguments, as `iter` makes it."""
    ctx = TaskContext(print, {})

    with pytest.raises(TypeError, match=r"emit\(\) takes a key and a value"):
        next(iter(ctx.emit, None))  # type: ignore[arg-type]
