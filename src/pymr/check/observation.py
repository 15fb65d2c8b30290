"""Tries a job's functions on a sample, in two task processes, and compares what they emitted.

The first maps the splits of the sample in an order that is spread over the input, for as long as
there is time; the second the same calls, last split first, so that what a call leaves behind for
the next shows too. Both reduce what they mapped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from pymr import errors
from pymr.core.spec import InputFile, Split
from pymr.core.trial import (
    Difference,
    MapTrial,
    MapTrialWork,
    ReduceTrial,
    ReduceTrialWork,
)
from pymr.errors import PymrError, TaskLostError, TimeoutReachedError
from pymr.runner.hang import HangWatch
from pymr.runner.plan import Plan
from pymr.runner.pool import TICK_S, Pool
from pymr.runner.process import TaskProcess
from pymr.task import channel
from pymr.text_form import show_path

TRIAL_MAP_S = 10.0  # of mapping, in each process
TRIAL_REDUCE_S = 5.0
TRIAL_ANSWER_S = 60.0  # without progress: a call that does not return; --task-timeout goes first
TRIAL_QUIET_S = 10.0  # of a trial, before its first call has ended: what was mapped is sorted
TRIAL_CALLS_MAX = 100_000  # of the mapper with one split, and of the reducer
TRIAL_CELLS_MAX = 8  # 512 KiB decoded, from the front


class Observation(NamedTuple):
    """What a job did with a sample."""

    splits: tuple[Split, ...]  # that were mapped, in input order
    maps: tuple[MapTrial, ...]  # one for each
    reduce: ReduceTrial
    map_differences: tuple[Difference, ...]  # none, or one call in both processes
    reduce_differences: tuple[Difference, ...]
    is_out_of_time: bool  # the sample was to be larger


def observe(
    plan: Plan,
    splits: tuple[Split, ...],
    pool: Pool,
    tmp: str,
    deadline: float | None,
    task_timeout_s: float | None,
) -> Observation:
    """Return what the job of `plan` does with `splits`; `pool` holds one process, which is ready.

    Raises:
        UserCodeError: a function raised, or made no progress; fields name the record or key.
        InputError: an input cannot be read as asked.
        TaskLostError: user code ended its process.
        TimeoutReachedError: the deadline has passed.
    """
    (first,) = pool.processes.values()
    second = pool.start()
    trials = _Trials(plan, pool, tmp, deadline, task_timeout_s)
    is_watched = task_timeout_s is not None
    for process in (first, second):
        process.begin(plan.spec, plan.output, plan.access, is_watched=is_watched)
    found = trials.map_first(first, splits)
    numbers = sorted(found)
    map_differences = trials.map_again(first, second, splits, found)
    work = ReduceTrialWork(groups_max=TRIAL_CALLS_MAX, seconds_max=TRIAL_REDUCE_S)
    reduce = trials.reduce(first, work)
    reduce_differences: tuple[Difference, ...] = ()
    if plan.spec.reducers and not map_differences:
        reduce_differences = trials.reduce_again(first, second, work, reduce)
    return Observation(
        splits=tuple(splits[number] for number in numbers),
        maps=tuple(found[number] for number in numbers),
        reduce=reduce,
        map_differences=map_differences,
        reduce_differences=reduce_differences,
        is_out_of_time=len(found) < len(splits),
    )


def spread(count: int) -> list[int]:
    """Return 0 … count - 1 so that any first few of them lie far apart: by their bits reversed."""
    return sorted(range(count), key=lambda number: int(f"{number:032b}"[::-1], 2))


class _Trials:
    """Asks task processes for trials."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        tmp: str,
        deadline: float | None,
        task_timeout_s: float | None,
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._tmp = tmp
        self._deadline = deadline
        self._task_timeout_s = task_timeout_s
        self._hangs = HangWatch(task_timeout_s or TRIAL_ANSWER_S)

    def map_first(self, process: TaskProcess, splits: tuple[Split, ...]) -> dict[int, MapTrial]:
        """Map splits as long as there is time, at least one if there is any."""
        found: dict[int, MapTrial] = {}
        until = time.monotonic() + TRIAL_MAP_S
        for number in spread(len(splits)):
            left = until - time.monotonic()
            if found and left <= 0:
                break
            work = self._work(number, splits[number], seconds_max=max(left, 1.0), is_timed=True)
            found[number] = self._map(process, work)
        return found

    def map_again(
        self,
        first: TaskProcess,
        second: TaskProcess,
        splits: tuple[Split, ...],
        found: dict[int, MapTrial],
    ) -> tuple[Difference, ...]:
        """Map the same calls in the second process; return the first that differs, of both."""
        differing: list[tuple[MapTrialWork, Difference]] = []
        for number in sorted(found, reverse=True):
            trial = found[number]
            work = self._work(number, splits[number], expected=trial.digests)
            if trial.is_cut:
                work = msgspec.structs.replace(work, calls_max=trial.calls)
            difference = self._map(second, work).difference
            if difference is not None:
                differing.append((work, difference))
        if not differing:
            return ()
        work, difference = differing[-1]
        work = msgspec.structs.replace(work, shown_call=difference.number, expected=b"")
        other = self._map(first, work).difference
        return (difference,) if other is None else (other, difference)

    def reduce(self, process: TaskProcess, work: ReduceTrialWork) -> ReduceTrial:
        """Reduce what the process has mapped."""
        trial = self._ask(process, work, "the groups of the sample")
        assert isinstance(trial, ReduceTrial)
        return trial

    def reduce_again(
        self, first: TaskProcess, second: TaskProcess, work: ReduceTrialWork, found: ReduceTrial
    ) -> tuple[Difference, ...]:
        """Reduce the same groups in the second process; return the first that differs, of both."""
        again = msgspec.structs.replace(work, groups_max=found.calls, expected=found.digests)
        difference = self.reduce(second, again).difference
        if difference is None:
            return ()
        shown = msgspec.structs.replace(work, shown_group=difference.number)
        other = self.reduce(first, shown).difference
        return (difference,) if other is None else (other, difference)

    def _work(
        self,
        number: int,
        split: Split,
        *,
        seconds_max: float = TRIAL_ANSWER_S,
        is_timed: bool = False,
        expected: bytes = b"",
    ) -> MapTrialWork:
        return MapTrialWork(
            number=number,
            split=split,
            file=self._plan.inputs[split.input],
            tmp=self._tmp,
            cells_max=TRIAL_CELLS_MAX,
            calls_max=TRIAL_CALLS_MAX,
            seconds_max=seconds_max,
            is_timed=is_timed,
            expected=expected,
        )

    def _map(self, process: TaskProcess, work: MapTrialWork) -> MapTrial:
        trial = self._ask(process, work, _place(work.file, work.split))
        assert isinstance(trial, MapTrial)
        return trial

    def _ask(
        self, process: TaskProcess, work: MapTrialWork | ReduceTrialWork, what: str
    ) -> MapTrial | ReduceTrial:
        process.try_out(work)
        self._hangs.progressed(process, time.monotonic() + TRIAL_QUIET_S)
        while True:
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                raise TimeoutReachedError("--timeout was reached while a sample was tried")
            self._hangs.look(now)
            for sender, messages in self._pool.wait(TICK_S):
                if messages is None:
                    raise self._lost(sender, what)
                for message in messages:
                    match message:
                        case channel.Progressed():
                            self._hangs.progressed(sender, time.monotonic())
                        case channel.Tried(trial):
                            if self._hangs.ended(sender):
                                raise self._hung(what, None)
                            return trial
                        case channel.LoadFailed(error) | channel.TryFailed(error):
                            has_hung = self._hangs.ended(sender)
                            raise self._hung(what, error) if has_hung else errors.from_dict(error)

    def _lost(self, process: TaskProcess, what: str) -> PymrError:
        has_hung = self._hangs.ended(process)
        lost = self._pool.remove(process)
        if has_hung:
            return self._hung(what, errors.to_dict(lost))
        return TaskLostError(f"{lost.message}, in {what}", **lost.fields)

    def _hung(self, what: str, reported: dict[str, Any] | None) -> PymrError:
        """Return the error of a call that did not return; `reported` is what came of it."""
        error = errors.from_dict(self._hangs.error(f"the worker's code, in {what},", reported))
        if self._task_timeout_s is None:
            waited = f"did not return within {TRIAL_ANSWER_S:.0f} s"
            error.message = f"a call of the worker's code {waited}, in {what}"
            error.hint = None
        return error


def _place(file: InputFile, split: Split) -> str:
    return f"`{show_path(file.name)}` [{split.start}:{split.end}]"


def sampled_bytes(observation: Observation) -> int:
    """Return the bytes of input in all calls."""
    return sum(trial.bytes_in for trial in observation.maps)


def scale_of(inputs: Sequence[InputFile], observation: Observation) -> float:
    """Return how many times the sample the whole input is; 1 if it is all of it.

    Of a stream, bytes on the disk are compared.
    """
    read = sum(
        trial.bytes_read if inputs[split.input].stream else trial.bytes_in
        for split, trial in zip(observation.splits, observation.maps, strict=True)
    )
    return max(sum(file.size for file in inputs) / read, 1.0) if read else 1.0
