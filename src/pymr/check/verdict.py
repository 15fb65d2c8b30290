"""From what a sample did to findings for people: laws that are broken, and what will be short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pymr.check.forecast import Forecast
from pymr.check.observation import Observation, sampled_bytes
from pymr.core.sample import is_combined
from pymr.core.trial import Difference, Kind, Law
from pymr.doctor.finding import Area, Finding
from pymr.errors import ResourceError, WorkerFileError
from pymr.observe.quantity import (
    show_count,
    show_elapsed,
    show_many,
    show_percent,
    show_size,
)
from pymr.runner.plan import Plan

PICKLE_NS, PLAIN_NS = 1800, 45  # of emitting a value, measured with an object and with an int
HOT_PERCENT = 20  # of all values with one key: its reducer then works while others wait
UNEVEN_FACTOR = 3  # the largest part, by the mean
UNREAD_REMEDY = "reducer=pymr.COUNT counts them; without a use, emit None"

_SAMPLE, _MAPPER, _KEYS = Area("sample"), Area("mapper"), Area("keys and values")
_COMBINER, _REDUCER, _FORECAST = Area("combiner"), Area("reducer"), Area("forecast")


class Seen(NamedTuple):
    """All that findings are made of."""

    plan: Plan
    observation: Observation
    forecast: Forecast
    free_bytes: int | None  # where the output goes; None: it cannot be told


def findings(seen: Seen) -> list[Finding]:
    """Return what a check found, in the order in which it is read."""
    return [
        *_sample(seen),
        *_mapper(seen),
        *_keys(seen),
        *_values(seen),
        *_combiner(seen),
        *_reducer(seen),
        *_forecast(seen),
        *_skew(seen),
    ]


def _sample(seen: Seen) -> Iterator[Finding]:
    observation, total = seen.observation, seen.plan.input_bytes
    size = sampled_bytes(observation)
    records = sum(trial.records for trial in observation.maps)
    places = show_many(len(observation.splits), "place")
    text = f"{show_size(size)} of {show_size(total)} at {places}, {show_many(records, 'record')}"
    if observation.is_out_of_time:
        yield _SAMPLE.warning(
            "size",
            f"{text}: the time for a sample was over",
            "the mapper is slow; see the forecast",
        )
    else:
        yield _SAMPLE.ok("size", text)
    if any(file.stream for file in seen.plan.inputs):
        yield _SAMPLE.ok("streams", "of compressed or transcoded files the front only")
    if observation.reduce.is_cut:
        yield _SAMPLE.warning("pairs", "too many were emitted to look at all of them", None)


def _mapper(seen: Seen) -> Iterator[Finding]:
    maps = seen.observation.maps
    calls, emitted = sum(t.calls for t in maps), sum(t.emitted for t in maps)
    called = show_many(calls, "call")
    if seen.observation.map_differences:
        yield _is_not_deterministic(_MAPPER, "mapper", seen.observation.map_differences)
    elif calls:
        yield _MAPPER.ok("deterministic", f"{called} emitted the same in two processes")
    if calls and not emitted:
        yield _MAPPER.warning(
            "pairs", f"{called} emitted nothing", "if that is not what you want, look at the input"
        )
    elif calls:
        records = max(sum(t.records for t in maps), 1)
        size = sum(t.emitted_bytes for t in maps) / emitted
        yield _MAPPER.ok(
            "pairs",
            f"{show_many(emitted, 'pair')}, {emitted / records:.3g} of a record,"
            f" {show_size(size)} each when encoded",
        )


def _is_not_deterministic(
    area: Area, function: str, differences: tuple[Difference, ...]
) -> Finding:
    first = differences[0]
    texts = [", ".join(each.pairs) or "nothing" for each in differences]
    shown = f"{texts[0]} in one process, {texts[-1]} in another"
    if texts[0] == texts[-1]:
        shown = "the pairs after the first ones differ"
    return area.broken(
        "deterministic",
        f"the {function} emits other pairs when it is called again: {first.where}: {shown}",
        f"the {function} may depend on its arguments alone: no random numbers, no clock, no ids,"
        " nothing kept from call to call",
        WorkerFileError,
    )


def _keys(seen: Seen) -> Iterator[Finding]:
    kinds = seen.observation.reduce.key_kinds
    if len(kinds) > 1:
        yield _KEYS.warning(
            "key types",
            f"keys of {len(kinds)} types: {_shown(kinds)}; keys of two types are never one group",
            "convert them in the mapper: str(key), or int(key)",
        )
    elif kinds:
        yield _KEYS.ok("key types", f"all {kinds[0].name}, such as {kinds[0].example}")


def _values(seen: Seen) -> Iterator[Finding]:
    reduce = seen.observation.reduce
    if reduce.value_kinds:
        yield _KEYS.ok("value types", _shown(reduce.value_kinds))
    if reduce.pickled:
        kinds = ", ".join(f"{each.name} ({show_count(each.count)})" for each in reduce.pickled)
        yield _KEYS.warning(
            "pickled values",
            f"{kinds}: a pickle takes {PICKLE_NS / 1000:.1f} µs to emit,"
            f" {PICKLE_NS // PLAIN_NS} times a number",
            "emit a tuple, list or dict of plain values",
        )


def _shown(kinds: Iterable[Kind]) -> str:
    return ", ".join(f"{k.name} ({show_count(k.count)}, such as {k.example})" for k in kinds)


def _combiner(seen: Seen) -> Iterator[Finding]:
    law = seen.observation.reduce.law
    if law is not None:
        yield _verdict_on(law)


def _verdict_on(law: Law) -> Finding:
    plain, combined = ", ".join(law.plain) or "nothing", ", ".join(law.combined) or "nothing"
    match law.verdict:
        case "holds":
            keys = show_many(law.keys, "key")
            have = "has" if law.keys == 1 else "have"
            return _COMBINER.ok("law", f"{keys} {have} one result, combined in three ways or not")
        case "close":
            return _COMBINER.warning(
                "law",
                f"floats differ in the last digits: key {law.key}: {plain} without a combiner,"
                f" {combined} when combined ({law.grouping})",
                "that is lawful if you need no more digits, but the bytes of the output then depend"
                " on --memory and the input's size; the sum of reducer=pymr.SUM is exact",
            )
        case "stateful":
            return _COMBINER.warning(
                "law",
                f"not looked at: the reducer gives {plain}, then {combined} for the same values of"
                f" key {law.key}",
                "a reducer should depend on its arguments alone",
            )
    return _COMBINER.broken(
        "law",
        f"the result depends on what is combined: key {law.key}: {plain} without a combiner,"
        f" {combined} when combined ({law.grouping})",
        "a combiner runs any number of times, also none: emit what the reducer can combine again"
        " (a sum and a count, not a mean)",
        WorkerFileError,
    )


def _reducer(seen: Seen) -> Iterator[Finding]:
    observation, reduce = seen.observation, seen.observation.reduce
    if not reduce.calls:
        return
    called = show_many(reduce.calls, "call")
    if observation.reduce_differences:
        yield _is_not_deterministic(_REDUCER, "reducer", observation.reduce_differences)
    elif not observation.map_differences:
        yield _REDUCER.ok("deterministic", f"{called} emitted the same in two processes")
    if reduce.unread_calls == reduce.calls and seen.plan.spec.shape.reducer == "function":
        yield _REDUCER.warning("values", f"{called} did not look at the values", UNREAD_REMEDY)
    if not reduce.rows:
        yield _REDUCER.warning("rows", f"{called} emitted nothing", "emit in the reducer")


def _forecast(seen: Seen) -> Iterator[Finding]:
    plan, cast = seen.plan, seen.forecast
    reduce = f", {plan.spec.reducers} reduce" if plan.spec.reducers else ""
    workers = show_many(plan.workers, "worker")
    yield _FORECAST.ok("tasks", f"{len(plan.tasks)} map{reduce}, by {workers}")
    split = f": map {show_elapsed(cast.map_s)}, reduce {show_elapsed(cast.reduce_s)}"
    yield _FORECAST.ok("time", f"about {show_elapsed(cast.seconds)}{split if reduce else ''}")
    if reduce:
        combined = (
            "" if cast.shuffled >= cast.emitted else f", {show_count(cast.shuffled)} combined"
        )
        yield _FORECAST.ok(
            "shuffle",
            f"{show_many(cast.emitted, 'pair')} emitted{combined}:"
            f" {show_size(cast.shuffled_bytes)}, {show_size(cast.stored_bytes)} on disk",
        )
    yield _FORECAST.ok("output", f"{show_many(cast.rows, 'row')}, {show_size(cast.output_bytes)}")
    yield _disk(seen)
    yield _memory(seen)


def _disk(seen: Seen) -> Finding:
    need = show_size(seen.forecast.disk_bytes)
    if seen.free_bytes is None:
        return _FORECAST.ok("disk", f"{need} at the most")
    text = f"{need} at the most, {show_size(seen.free_bytes)} free"
    if seen.forecast.disk_bytes > seen.free_bytes:
        remedy = "free space on that disk, or choose another --output"
        return _FORECAST.broken("disk", text, remedy, ResourceError)
    return _FORECAST.ok("disk", text)


def _memory(seen: Seen) -> Finding:
    need, have = seen.forecast.memory_bytes, seen.plan.memory_bytes
    text = f"{show_size(need)} in task processes, --memory is {show_size(have)}"
    if need > have:
        return _FORECAST.warning(
            "memory", f"{text}: the rest is held by your code", "lower --workers, or raise --memory"
        )
    return _FORECAST.ok("memory", text)


def _skew(seen: Seen) -> Iterator[Finding]:
    spec, reduce = seen.plan.spec, seen.observation.reduce
    if not spec.reducers or not reduce.pairs or not reduce.largest:
        return
    combined = is_combined(spec.shape)
    hottest = reduce.largest[0]
    share = show_percent(hottest.count, reduce.pairs)
    text = f"{hottest.name} has {share} of the pairs"
    is_hot = 100 * hottest.count > HOT_PERCENT * reduce.pairs and reduce.keys > 1
    if is_hot and not combined and spec.reducers > 1:
        yield _FORECAST.warning(
            "hottest key", f"{text}, all for one reducer", "a combiner makes few of many"
        )
    else:
        yield _FORECAST.ok("hottest key", f"{text}{', combined' if combined else ''}")
    mean = reduce.pairs / spec.reducers
    is_uneven = reduce.partition_values > UNEVEN_FACTOR * mean
    if is_uneven and not combined and not is_hot and seen.plan.sample is None:
        yield _FORECAST.warning(
            "parts",
            f"part {reduce.partition} of {spec.reducers} gets"
            f" {show_percent(reduce.partition_values, reduce.pairs)} of the pairs",
            "another --partition-seed, or other keys",
        )
