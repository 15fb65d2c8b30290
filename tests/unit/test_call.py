"""What user functions may return, and combiners on encoded data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import pymr
from pymr.core.spec import JobSpec
from pymr.errors import UserCodeError
from pymr.shuffle.codec import decode_value, encode_key, encode_value
from pymr.task.call import combine_of, emit_all
from pymr.task.user_code import shape_of


def emitted(pairs: object) -> list[tuple[Any, Any]]:
    """Return what `emit_all` emits of `pairs`."""
    found: list[tuple[Any, Any]] = []
    emit_all(lambda key, value: found.append((key, value)), pairs, "mapper")
    return found


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", 1), ("b", 2)],
        iter([("a", 1), ("b", 2)]),
        {"a": 1, "b": 2}.items(),
        (pair for pair in [("a", 1), ("b", 2)]),
        {("a", 1): None, ("b", 2): None},
    ],
)
def test_any_iterable_of_pairs_is_emitted_in_its_order(pairs: Iterable[object]) -> None:
    """A list, a generator, a view: lazily, one pass."""
    assert emitted(pairs) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("pairs", [[], {}, set(), iter(())])
def test_nothing_may_be_returned(pairs: object) -> None:
    """An empty iterable emits nothing."""
    assert emitted(pairs) == []


@pytest.mark.parametrize("returned", [("k", 1), "kv", b"kv", 7, object()])
def test_a_return_value_that_holds_no_pairs_is_refused(returned: object) -> None:
    """A pair itself is no iterable of pairs: `return key, value` is the classic slip."""
    with pytest.raises(TypeError, match=r"mapper returned \w+ .*write `yield key, value`"):
        emitted(returned)


@pytest.mark.parametrize("pair", [("k",), ("k", 1, 2), ["k", 1], "kv", 3, None])
def test_what_is_no_pair_is_refused(pair: object) -> None:
    """Pairs before it were emitted; a list is not taken for one."""
    found: list[object] = []

    with pytest.raises(TypeError, match=r"mapper yielded \w+ .*expected a pair"):
        emit_all(lambda key, _value: found.append(key), [("a", 1), pair], "mapper")

    assert found == ["a"]


def test_a_dict_is_refused_with_what_gives_its_pairs() -> None:
    """It is gone through by its keys."""
    with pytest.raises(TypeError, match=r"yielded str 'a', .*write `return pairs.items\(\)`"):
        emitted({"a": 1})


def test_a_long_value_is_cut_in_the_message() -> None:
    """A chunk that is returned by mistake would fill the screen."""
    with pytest.raises(TypeError) as caught:
        emitted("x" * 10_000)

    assert len(str(caught.value)) < 250


def test_a_refused_pair_is_blamed_on_the_yield() -> None:
    """The generator waits in the line that made the pair; that line stands in the traceback."""

    def pairs() -> Iterable[object]:
        yield "a", 1
        yield "b", 2

    def emit(key: object, _value: object) -> None:
        if key == "b":
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        emit_all(emit, pairs(), "mapper")

    lines = [(entry.name, entry.lineno) for entry in caught.traceback]
    assert ("pairs", pairs.__code__.co_firstlineno + 1) in lines  # counted from 0


# -- combiners ---------------------------------------------------------------------------------


def combined(values: list[Any], **job: Any) -> list[Any]:
    """Return what the job's combiner makes of `values` of the key "k"."""
    described = pymr.Job(mapper=print, **{"reducer": print, **job})
    spec = JobSpec(
        run="r",
        name="n",
        worker="w",
        shape=shape_of(described, digest="d"),
        reducers=1,
        params={"step": "3"},
    )
    combine = combine_of(described, spec)
    assert combine is not None
    return [decode_value(v) for v in combine(encode_key("k"), map(encode_value, values))]


def by_emit(ctx: Any, key: Any, values: Any) -> None:
    ctx.emit(key, sum(values) + int(ctx.params["step"]))


def by_yield(_ctx: Any, key: Any, values: Any) -> Any:
    yield key, min(values)
    yield key, 9


def test_a_job_without_a_combiner_has_none() -> None:
    """Nothing is combined that was not asked for."""
    job = pymr.Job(mapper=print, reducer=print)
    shape = shape_of(job, digest="d")
    spec = JobSpec(run="r", name="n", worker="w", shape=shape, reducers=1)

    assert combine_of(job, spec) is None


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"combiner": by_emit}, [9]),
        ({"combiner": by_yield}, [1, 9]),
        ({"combiner": lambda _ctx, _key, _values: None}, []),
        ({"combiner": pymr.SUM}, [6]),
        ({"combiner": pymr.MAX}, [3]),
        ({"reducer": pymr.MIN}, [1]),
    ],
)
def test_combiners(job: dict[str, Any], expected: list[Any]) -> None:
    """Functions that emit or yield, builtins, and what a builtin reducer brings."""
    assert combined([1, 2, 3], **job) == expected


@pytest.mark.parametrize(
    ("combiner", "message"),
    [
        (lambda ctx, _key, _values: ctx.emit("other", 1), "may emit its own key only: called with"),
        (lambda _ctx, _key, _values: [(b"k", 1)], "called with 'k', emitted b'k'"),
        (lambda ctx, _key, _values: ctx.count("n"), "a combiner may not count"),
        (lambda ctx, _key, _values: ctx.emit([], 1), "list"),
        (lambda _ctx, _key, _values: 1 // 0, "combiner raised ZeroDivisionError"),
        (lambda _ctx, _key, _values: ("k", 1), "combiner returned tuple"),
        (lambda ctx, _key, _values: ctx.input, "the place of a mapper's record"),
    ],
)
def test_what_a_combiner_may_not_do(combiner: Callable[..., Any], message: str) -> None:
    """It is the user's error, with the key that it was called with."""
    with pytest.raises(UserCodeError, match=message) as caught:
        combined([1], combiner=combiner)

    assert caught.value.fields["key"] == "'k'"
    assert caught.value.fields["function"] == "combiner"
    assert caught.value.fields["frames"][-1]["file"] == __file__


def test_a_combiner_forgets_what_it_emitted_before() -> None:
    """One key's values never reach another's."""
    job = pymr.Job(mapper=print, reducer=print, combiner=by_emit)
    shape = shape_of(job, digest="d")
    spec = JobSpec(run="r", name="n", worker="w", shape=shape, reducers=1, params={"step": "0"})
    combine = combine_of(job, spec)
    assert combine is not None

    results = [combine(encode_key(key), iter([encode_value(1)])) for key in "abc"]

    assert results == [[encode_value(1)]] * 3


def test_a_combiner_s_context_is_good_for_its_call() -> None:
    """What it emits later would be lost."""
    kept: list[Any] = []

    assert combined([1], combiner=lambda ctx, key, _values: kept.append((ctx, key))) == []

    ctx, key = kept[0]
    with pytest.raises(RuntimeError, match="emit was called while its combiner does not run"):
        ctx.emit(key, 1)
