"""Ahead of a run with `--sort`: task processes map a sample, whose keys say where parts begin.

User code runs in task processes only, as everywhere. What they answer are sums, so it does not
matter which of them mapped what, nor when it answered.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator

import msgspec

from pymr import errors
from pymr.core.boundary import choose_boundaries
from pymr.core.limit import PhaseLimits
from pymr.core.sample import (
    SAMPLE_KEY_BYTES_MAX,
    Sample,
    combined,
    is_combined,
    plan_larger_sample,
)
from pymr.core.spec import SampleWork
from pymr.errors import PymrError, TaskLostError, TimeoutReachedError
from pymr.observe.quantity import show_many
from pymr.runner.hang import HangWatch
from pymr.runner.plan import Plan
from pymr.runner.pool import TICK_S, Pool
from pymr.runner.process import TaskProcess
from pymr.shuffle.distinct_keys import DistinctKeys
from pymr.task import channel

SAMPLE_TRIES_MAX = 2  # an error of user code stays
PIECES_PER_WORKER = 4  # so that the last one to end is a small piece of the whole


class Sampler:
    """Maps samples with the processes of `pool`, which are idle before and afterwards."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        *,
        deadline: float | None,
        hangs: HangWatch,
        on_tick: Callable[[float], None],
        warn: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._deadline = deadline
        self._hangs = hangs  # a piece of the sample is one call to it
        self._on_tick = on_tick
        self._warn = warn
        self._keys = DistinctKeys(None)
        self._emitted = 0
        self._waiting: deque[_Piece] = deque()
        self._held: dict[str, _Piece] = {}  # by the name of the process
        self._unready_losses = 0

    def settle(self) -> Plan:
        """Return the plan with the boundaries of its parts.

        Raises:
            UserCodeError, InputError, TaskLostError: as a map attempt would fail.
            TimeoutReachedError: the deadline of the run has passed.
        """
        plan, spec = self._plan, self._plan.spec
        sample: Sample | None = plan.sample
        while sample is not None and sample.splits:
            self._map(sample)
            sample = plan_larger_sample(
                plan.inputs, sample, self._emitted, whole=plan.maps_whole_files
            )
        weights = self._keys.weights
        if is_combined(spec.shape):
            weights = combined(weights, plan.inputs)
        # Copies: they are there as long as the run is, and would keep the memory that the other
        # keys around them leave.
        boundaries = tuple(
            bytes(memoryview(key)) for key in choose_boundaries(weights, spec.reducers)
        )
        return msgspec.structs.replace(
            plan,
            spec=msgspec.structs.replace(spec, boundaries=boundaries),
            sample=None,
            warnings=(*plan.warnings, *_notes(weights, spec.reducers)),
        )

    def _map(self, sample: Sample) -> None:
        keys_max = sample.keys_max if is_combined(self._plan.spec.shape) else None
        self._keys, self._emitted = DistinctKeys(keys_max), 0
        self._waiting.extend(self._pieces(sample, keys_max))
        while len(self._pool.processes) < min(self._plan.workers, len(self._waiting)):
            self._pool.start()
        while self._waiting or self._held:
            self._hand_out()
            for process, messages in self._pool.wait(TICK_S):
                self._receive(process, messages)
            self._look_at_clock()

    def _pieces(self, sample: Sample, keys_max: int | None) -> Iterator[_Piece]:
        """Yield neighbouring splits in pieces of much the same size."""
        length = -(-len(sample.splits) // (PIECES_PER_WORKER * self._plan.workers))
        for start in range(0, len(sample.splits), length):
            splits = sample.splits[start : start + length]
            indexes = {sampled.split.input for sampled in splits}
            inputs = {index: self._plan.inputs[index] for index in indexes}
            yield _Piece(SampleWork(splits, inputs, keys_max))

    def _hand_out(self) -> None:
        for process in self._pool.processes.values():
            if process.is_idle and process.name not in self._held and self._waiting:
                piece = self._held[process.name] = self._waiting.popleft()
                piece.tries += 1
                self._hangs.progressed(process, time.monotonic())
                process.sample(self._plan.spec, piece.work, self._plan.access)

    def _receive(self, process: TaskProcess, messages: list[channel.FromProcess] | None) -> None:
        if messages is None:
            self._replace(process)
            return
        for message in messages:
            match message:
                case channel.Loaded():
                    process.is_loaded = True
                case channel.LoadFailed(error=failure):
                    raise errors.from_dict(failure)
                case channel.Sampled(sample):
                    self._hangs.ended(process)
                    del self._held[process.name]
                    self._emitted += sample.emitted
                    self._keys.merge(sample.weights, sample.halvings)
                case channel.SampleFailed(error=failure):
                    self._try_again(process, errors.from_dict(failure))

    def _replace(self, process: TaskProcess) -> None:
        """Start another process for one that was lost, and give it what that one had."""
        lost = self._pool.remove(process)
        error = TaskLostError(
            f"{lost.message} while keys were sampled for --sort",
            hint="leave --sort out: the task that ends it is then named, and `pymr debug` shows it",
            **lost.fields,
        )
        if process.name in self._held:
            self._try_again(process, error)
        elif not (process.is_loaded and process.was_killed):  # That was ours, after a hang.
            self._unready_losses += 1
            if self._unready_losses >= PhaseLimits().unready_losses_max:
                raise error
        self._pool.start()

    def _try_again(self, process: TaskProcess, error: PymrError) -> None:
        """Let another process map what this one has not, unless it has been tried often enough."""
        piece = self._held.pop(process.name)
        if self._hangs.ended(process):
            hung = self._hangs.error("the sample for --sort", errors.to_dict(error))
            error = errors.from_dict(hung)
        is_lost = isinstance(error, TaskLostError)  # may be chance, as with a map task
        if piece.tries >= (PhaseLimits().losses_max if is_lost else SAMPLE_TRIES_MAX):
            raise error
        self._waiting.append(piece)
        self._warn(f"sampling keys failed: {error.message}; tried again")

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        self._hangs.look(now)
        self._pool.end_stuck(now)
        self._on_tick(now)
        if self._deadline is not None and now >= self._deadline:
            raise TimeoutReachedError(
                "the run reached its time limit while it sampled keys for `--sort`",
                hint="use a longer `--timeout`",
            )


class _Piece:
    """Work that one process does in one go."""

    def __init__(self, work: SampleWork) -> None:
        self.work = work
        self.tries = 0


def _notes(keys: Collection[bytes], parts: int) -> Iterator[str]:
    """Yield how many parts will be empty, if any."""
    if len(keys) < parts:
        empty = parts - max(len(keys), 1)
        found = show_many(len(keys), "different key")
        if any(len(key) == SAMPLE_KEY_BYTES_MAX for key in keys):
            found += f", told apart by their first {SAMPLE_KEY_BYTES_MAX} encoded bytes"
        are = "is" if empty == 1 else "are"
        yield f"{empty:,} of {parts:,} parts {are} empty: the sample for --sort has {found}"
