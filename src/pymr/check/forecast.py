"""From what a sample did to what the whole input will do: an estimate, pure.

What is proportional to the input (time, pairs, bytes) is scaled up. The number of different keys
is not: it grows as a power of the number of pairs (Heaps' law), whose exponent the sample gives,
since its splits have fewer keys than all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from math import pow as power

import msgspec

from pymr.core.trial import MapTrial, ReduceTrial

IDLE_RUN_SECONDS = 0.3  # what a run takes that does nothing (docs/benchmarks.md, `start_up`)


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the run before it begins."""

    factor: float  # the bytes of the input, by those of the sample
    map_tasks: int
    reduce_tasks: int
    workers: int
    spill_bytes_max: int
    is_combined: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the run will probably do."""

    records: int  # of the input
    emitted: int  # pairs
    emitted_bytes: int
    keys: int
    shuffled: int  # records that cross the shuffle
    shuffled_bytes: int
    stored_bytes: int  # of map outputs, or of parts where there is no shuffle
    spilled_bytes: int  # of spills at one time, beside
    rows: int
    output_bytes: int
    disk_bytes: int  # the most that is there at one time
    memory_bytes: int  # of all task processes at one time
    map_s: float
    reduce_s: float

    @property
    def seconds(self) -> float:
        """How long the run will take."""
        return IDLE_RUN_SECONDS + self.map_s + self.reduce_s


def forecast(maps: Sequence[MapTrial], reduce: ReduceTrial, whole: Whole) -> Forecast:
    """Return what a run over the whole input will do. At least one split was mapped."""
    emitted = sum(trial.emitted for trial in maps)
    pairs = emitted * whole.factor
    exponent = _exponent(maps, reduce)
    keys = _keys(pairs, reduce, exponent)
    emitted_bytes = sum(trial.emitted_bytes for trial in maps) * whole.factor
    shuffled, shuffled_bytes = pairs, emitted_bytes
    if whole.is_combined and pairs:
        in_task = pairs / max(whole.map_tasks, 1)
        shuffled = min(pairs, whole.map_tasks * _keys(in_task, reduce, exponent))
        shuffled_bytes = shuffled * _ratio(reduce.written_bytes, reduce.written)
    stored = shuffled_bytes * _ratio(reduce.stored_bytes, reduce.written_bytes)
    spilled = _spilled(shuffled_bytes, stored, whole)
    rows, output = _output(reduce, keys, whole)
    return Forecast(
        records=round(sum(trial.records for trial in maps) * whole.factor),
        emitted=round(pairs),
        emitted_bytes=round(emitted_bytes),
        keys=round(keys),
        shuffled=round(shuffled),
        shuffled_bytes=round(shuffled_bytes),
        stored_bytes=round(stored),
        spilled_bytes=round(spilled),
        rows=round(rows),
        output_bytes=round(output),
        disk_bytes=round(stored + max(spilled, output if whole.reduce_tasks else 0)),
        memory_bytes=round(_memory(maps, shuffled_bytes, whole)),
        map_s=(sum(trial.cpu_s for trial in maps) + reduce.sort_s)
        * whole.factor
        / max(min(whole.workers, whole.map_tasks), 1),
        reduce_s=_reduce_s(reduce, shuffled, whole),
    )


def _exponent(maps: Sequence[MapTrial], reduce: ReduceTrial) -> float:
    """Return the power of the pairs with which keys grow: 0 none are new, 1 all are."""
    used = [trial for trial in maps if trial.keys]
    if not used or reduce.pairs <= 0:
        return 1.0
    pairs = sum(trial.emitted for trial in used) / len(used)
    keys = sum(trial.keys for trial in used) / len(used)
    if reduce.pairs <= pairs or reduce.keys <= keys:
        return 1.0 if reduce.keys > 1 and len(used) == 1 else 0.0
    return min(log(reduce.keys / keys) / log(reduce.pairs / pairs), 1.0)


def _keys(pairs: float, reduce: ReduceTrial, exponent: float) -> float:
    """Return how many different keys so many pairs have."""
    if not reduce.pairs or not pairs:
        return 0.0
    return min(reduce.keys * power(pairs / reduce.pairs, exponent), pairs)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _spilled(shuffled_bytes: float, stored: float, whole: Whole) -> float:
    """Return the bytes of spills that are there at one time: those of tasks at work."""
    if not whole.reduce_tasks or not whole.map_tasks:
        return 0.0
    if shuffled_bytes / whole.map_tasks <= whole.spill_bytes_max:
        return 0.0
    return stored / whole.map_tasks * min(whole.workers, whole.map_tasks)


def _output(reduce: ReduceTrial, keys: float, whole: Whole) -> tuple[float, float]:
    """Return rows and bytes of all parts."""
    if not whole.reduce_tasks:
        return reduce.written * whole.factor, reduce.stored_bytes * whole.factor
    calls = max(reduce.calls, 1)
    return keys * reduce.rows / calls, keys * reduce.row_bytes / calls


def _memory(maps: Sequence[MapTrial], shuffled_bytes: float, whole: Whole) -> float:
    """Return what task processes hold: the interpreter with the user's code, and a buffer."""
    # The least: later ones hold what the check keeps, too.
    resident = min((trial.rss_bytes_max for trial in maps), default=0)
    buffer = min(shuffled_bytes / max(whole.map_tasks, 1), whole.spill_bytes_max)
    return whole.workers * (resident + (buffer if whole.reduce_tasks else 0))


def _reduce_s(reduce: ReduceTrial, shuffled: float, whole: Whole) -> float:
    if not reduce.values:
        return 0.0
    return reduce.cpu_s / reduce.values * shuffled / max(min(whole.workers, whole.reduce_tasks), 1)
