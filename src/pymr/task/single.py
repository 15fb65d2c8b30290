"""User code in this process, for `pymr debug`: one call of it, or all calls of one task.

What is emitted is refused where an attempt would refuse it, shown, and thrown away. An exception
of the user's comes out as it was raised, or as the cause of ours, so that a debugger finds its
frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from pymr.api import Job
from pymr.core.spec import InputFile, JobSpec, MapSource, MapWork
from pymr.records.part import PartWriter
from pymr.records.split_reader import Call
from pymr.shuffle.engine import Merge, reduce_merge
from pymr.shuffle.values import short_repr
from pymr.store.access import AMBIENT, Access
from pymr.store.base import ObjectStore
from pymr.task.attempt import call_hook
from pymr.task.blame import key_fields, user_error
from pymr.task.call import combine_of, emit_all, reduce_of
from pymr.task.context import TaskContext
from pymr.task.map_attempt import Mapping, Sink, checking_sink, new_buffer
from pymr.task.reduce_attempt import open_source

Emitted = Callable[[str, str], object]  # is told key and value of each pair, for people


class Single:
    """Calls functions of a job as a run with `spec` does; `emitted` is told of each pair."""

    def __init__(self, job: Job, spec: JobSpec, emitted: Emitted, access: Access = AMBIENT) -> None:
        self._job = job
        self._spec = spec
        self._access = access  # opens the stores of inputs
        self._emitted = emitted

    def call_mapper(self, file: InputFile, call: Call) -> None:
        """Call the mapper with one record or chunk, between `setup` and `teardown`.

        Raises:
            BaseException: what it raised.
        """
        offset, data = call
        ctx = self._context(checking_sink(self._job, self._spec))
        call_hook(self._job, "setup", ctx)
        ctx.at(os.fsdecode(file.name), offset)
        _take_all(ctx, self._job.mapper(ctx, data), "mapper")
        call_hook(self._job, "teardown", ctx)

    def call_reducer(self, key: Any, values: Iterable[Any]) -> None:
        """Call the reducer with one group, between `setup` and `teardown`.

        Raises:
            BaseException: what it raised.
        """
        ctx = self._context(PartWriter(lambda _: None, self._spec.output_format))
        call_hook(self._job, "setup", ctx)
        _take_all(ctx, reduce_of(self._job)(ctx, key, values), "reducer")
        call_hook(self._job, "teardown", ctx)

    def map_task(self, work: MapWork, tmp: str) -> None:
        """Do all of a map task, but for its output; `tmp` is for spills.

        Raises:
            UserCodeError: user code raised; its own exception is the cause.
        """
        job, spec = self._job, self._spec
        if spec.shape.reducer is None:
            self._map_all(work, PartWriter(lambda _: None, spec.output_format))
            return
        buffer = new_buffer(job, spec, spec.limits, tmp)
        try:
            self._map_all(work, buffer)
            buffer.finish(cast("Any", _Nowhere()))  # It is only written to.
        finally:
            buffer.discard()

    def reduce_task(self, groups: Merge) -> None:
        """Do all of a reduce task, but for its output.

        Raises:
            UserCodeError: user code raised; its own exception is the cause.
        """
        ctx = self._context(PartWriter(lambda _: None, self._spec.output_format))
        reduce = reduce_of(self._job)
        call_hook(self._job, "setup", ctx)
        for key, values in groups:
            try:
                _take_all(ctx, reduce(ctx, key, values), "reducer")
            except BaseException as error:
                raise user_error(error, "reducer", self._job.reducer, **key_fields(key)) from error
        call_hook(self._job, "teardown", ctx)

    def groups_of(
        self, store: ObjectStore, sources: Sequence[MapSource], partition: int, tmp: str
    ) -> Merge:
        """Return the groups of a reduce task; `discard` them at the end.

        Raises:
            ObjectMissingError: a map output is gone.
            CorruptDataError: it is damaged.
        """
        return reduce_merge(
            [open_source(store, source) for source in sources],
            partition,
            limits=self._spec.limits,
            spill_folder=tmp,
            combine=combine_of(self._job, self._spec),
        )

    def _map_all(self, work: MapWork, sink: Sink) -> None:
        mapping = Mapping(self._job, self._spec, _Shown(sink, self._emitted), access=self._access)
        mapping.call_hook("setup")
        for split in work.splits:
            mapping.run_split(work.inputs[split.input], split)
        mapping.call_hook("teardown")

    def _context(self, sink: Sink) -> TaskContext:
        return TaskContext(_Shown(sink, self._emitted).emit, self._spec.params)


def _take_all(ctx: TaskContext, pairs: object, function: str) -> None:
    if pairs is not None:
        emit_all(ctx.emit, pairs, function)


class _Shown:
    """A sink that tells of each pair which another one takes."""

    def __init__(self, sink: Sink, emitted: Emitted) -> None:
        self._take = sink.emit
        self._emitted = emitted

    def emit(self, key: Any, value: Any) -> None:
        """Pass one pair on, and tell of it."""
        self._take(key, value)
        self._emitted(short_repr(key), short_repr(value))


class _Nowhere:
    """A writer that keeps nothing."""

    def write(self, data: bytes) -> None:
        """Forget `data`."""
