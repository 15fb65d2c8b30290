"""A map attempt: splits → records → the user's mapper → a sorted run, or a part."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import msgspec

from pymr import failpoint
from pymr.api import Job
from pymr.core.spec import InputFile, JobSpec, Limits, MapWork, Receipt, Split, SplitReceipt
from pymr.errors import PymrError
from pymr.records.part import PartWriter
from pymr.records.split_reader import Call, SplitReader, line_number, lines_in, open_split
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.engine import map_buffer
from pymr.store.access import AMBIENT, Access
from pymr.task import forked
from pymr.task.attempt import AttemptContext, ProgressReport, Ticker, call_hook
from pymr.task.blame import find_bad_record, show_record, user_error
from pymr.task.call import combine_of, emit_all
from pymr.task.context import TaskContext
from pymr.text_form import show_path

TICK_CALLS = 256  # mapper calls between looks at the clock, where calls are single lines
CHECKED_BYTES_MAX = 1 << 20  # of what is emitted while a bad record is looked for


class Sink(Protocol):
    """Where a mapper's pairs go."""

    def emit(self, key: Any, value: Any) -> None:
        """Take one pair."""


NewMapping = Callable[[Sink], "Mapping"]  # from where pairs go


class Calls(Protocol):
    """What a mapper is called with, and how much of the input that was so far."""

    @property
    def bytes_done(self) -> int:
        """The bytes that were read."""

    @property
    def records_done(self) -> int:
        """The records in them."""

    def __iter__(self) -> Iterator[Call]:
        """Return the calls that are left."""


class OtherCalls:
    """`calls` in place of those of a reader, which knows how far they are."""

    def __init__(self, reader: SplitReader, calls: Iterator[Call]) -> None:
        self._reader = reader
        self._calls = calls

    @property
    def bytes_done(self) -> int:
        """The bytes that were read."""
        return self._reader.bytes_done

    @property
    def records_done(self) -> int:
        """The records in them."""
        return self._reader.records_done

    def __iter__(self) -> Iterator[Call]:
        """Return the calls that are left."""
        return self._calls


def run_map(context: AttemptContext, work: MapWork) -> Receipt:
    """Run a map attempt; see `run_attempt`."""
    if work.bad_key is not None:
        return _run_scan(context, work, work.bad_key)
    mapping = partial(
        Mapping, context.job, context.spec, progress=context.progress, access=context.access
    )
    return _run(context, work, mapping)


def _run_scan(context: AttemptContext, work: MapWork, key: str) -> Receipt:
    """Run a map attempt that leaves bad records out; they are written to the object `key`."""
    from pymr.task.scan import leave_out_bad_records

    with context.store.create(key) as writer:
        out, new_mapping = leave_out_bad_records(context, work, writer)
        receipt = _run(context, work, new_mapping)
        if not out.count:  # What had failed was not the record's fault.
            return receipt
        assert receipt.bad_records == out.count, "both passes read the same"
        return msgspec.structs.replace(receipt, bad_object=out.finish(key))


def _run(context: AttemptContext, work: MapWork, new_mapping: NewMapping) -> Receipt:
    if context.spec.shape.reducer is None:
        return _run_map_only(context, work, new_mapping)
    buffer = new_buffer(context.job, context.spec, context.spec.limits, context.attempt.tmp)
    try:
        with context.store.create(context.attempt.key) as writer:
            mapping = _Attempt(context, work, new_mapping(buffer))
            splits = mapping.run()
            try:
                totals = buffer.finish(writer, extra=msgspec.json.encode(splits))
            except RuntimeError as error:  # What `emit` refused and user code kept to itself.
                raise user_error(error, "mapper", context.job.mapper) from error
            writer.commit()
    finally:
        buffer.discard()
    return mapping.receipt(
        splits,
        size=totals.size,
        footer_digest=totals.footer_digest,
        emitted=totals.emitted,
        combined_in=totals.combined_in,
        combined_out=totals.combined_out,
        written=totals.written,
        spills=totals.spills,
    )


def new_buffer(
    job: Job, spec: JobSpec, limits: Limits, spill_folder: str | None, *, combines: bool = True
) -> MapBuffer:
    """Return the buffer of a map attempt; without a folder it forgets what it would spill."""
    return map_buffer(
        partitions=spec.reducers,
        limits=limits,
        spill_folder=spill_folder,
        combine=combine_of(job, spec) if combines else None,
        partitioner=job.partitioner,
        partition_seed=spec.partition_seed,
        boundaries=spec.boundaries,
        normalize=spec.text.normalize,
        count_only=spec.shape.reducer == "count",
    )


def checking_sink(job: Job, spec: JobSpec, *, combines: bool = True) -> Sink:
    """Return a sink that refuses what that of the attempt refuses, and writes nowhere."""
    if spec.shape.reducer is None:
        return PartWriter(lambda _: None, spec.output_format)
    # The attempt's own buffer is still there.
    limits = msgspec.structs.replace(spec.limits, spill_bytes_max=CHECKED_BYTES_MAX)
    return new_buffer(job, spec, limits, None, combines=combines)


def _run_map_only(context: AttemptContext, work: MapWork, new_mapping: NewMapping) -> Receipt:
    """Run a map attempt whose pairs are the output: its object is a part."""
    with context.store.create(context.attempt.key) as writer:
        part = PartWriter(writer.write, context.spec.output_format)
        mapping = _Attempt(context, work, new_mapping(part))
        splits = mapping.run()
        totals = part.finish()
        writer.commit()
    receipt = mapping.receipt(
        splits,
        size=totals.bytes,
        sha256=totals.sha256,
        emitted=totals.records,
        records_out=totals.records,
        bytes_out=totals.bytes,
        key_type=totals.key_type,
        value_type=totals.value_type,
        key_mixed=totals.key_mixed,
        value_mixed=totals.value_mixed,
    )
    return msgspec.structs.replace(receipt, splits=tuple(splits))


class Mapping:
    """The calls of a mapper, and whose fault an exception is."""

    def __init__(
        self,
        job: Job,
        spec: JobSpec,
        sink: Sink,
        progress: ProgressReport = lambda _b, _r: None,
        access: Access = AMBIENT,
    ) -> None:
        self.calls = 0
        self._job = job
        self._spec = spec
        self._access = access  # opens the stores of inputs
        self._ctx = TaskContext(sink.emit, spec.params)
        self._ticker = Ticker(progress)
        self._bytes_done = 0  # of finished splits
        self._records_done = 0

    @property
    def counters(self) -> dict[str, int]:
        """What was counted."""
        return self._ctx.counters

    def call_hook(self, name: str) -> None:
        """Call `setup` or `teardown`, if the job has it."""
        call_hook(self._job, name, self._ctx)

    def run_split(self, file: InputFile, split: Split) -> SplitReceipt:
        """Call the mapper on all of `split` and return what was read of it."""
        spec = self._spec
        with open_split(
            file,
            split,
            input_format=spec.shape.input_format,
            rules=spec.text,
            limits=spec.limits,
            access=self._access,
        ) as reader:
            self.call_mapper(self._calls_of(reader, file), file)
            receipt = reader.receipt()
        self._bytes_done += receipt.bytes
        self._records_done += receipt.records
        return receipt

    def _calls_of(self, reader: SplitReader, _file: InputFile) -> Calls:
        """Return what the mapper is called with, of what is read."""
        return reader

    def call_mapper(self, reader: Calls, file: InputFile) -> None:
        """Call the mapper with what `reader` gives of `file`.

        Raises:
            UserCodeError: it raised; fields name the record.
        """
        mapper, ctx, name = self._job.mapper, self._ctx, os.fsdecode(file.name)
        emit = ctx.emit
        is_large = self._spec.shape.input_format == "text"
        tick_calls = 1 if is_large or self._ticker.each_call else TICK_CALLS
        calls = 0
        for offset, data in failpoint.each("map.record", reader):
            ctx.at(name, offset)
            try:
                pairs = mapper(ctx, data)
                if pairs is not None:
                    emit_all(emit, pairs, "mapper")
            except BaseException as error:  # noqa: BLE001 - user code may raise anything
                forked.leave()
                self._refuse(error, file, offset, data)
            if forked.is_child:
                forked.leave()
            calls += 1
            if calls % tick_calls == 0:
                self._ticker.tick(
                    self._bytes_done + reader.bytes_done, self._records_done + reader.records_done
                )
        self.calls += calls

    def _refuse(
        self, error: BaseException, file: InputFile, offset: int, data: str | bytes
    ) -> None:
        """Raise what a call has raised, as an error that names its record."""
        raise self._blame(error, file, offset, data) from error

    def _blame(
        self, error: BaseException, file: InputFile, offset: int, data: str | bytes
    ) -> PymrError:
        """Return the error of a mapper call, naming the record that caused it."""
        if isinstance(error, PymrError):
            return error
        spec = self._spec
        where: dict[str, Any] = {"input": show_path(file.name), "offset": offset}
        if spec.shape.input_format == "text":
            ctx = TaskContext(checking_sink(self._job, spec).emit, spec.params)
            lines = self.lines_of(ctx, file, offset, data)
            found = find_bad_record(partial(self.call_with, ctx), lines, error)
            where["unit"] = "line" if found else "chunk"  # what the mapper raised it for
            if found:
                where["offset"], data = found
        if spec.shape.input_format != "whole":
            where["line"] = line_number(file, where["offset"], spec.text, self._access)
            where["record"] = show_record(data)
        return user_error(error, "mapper", self._job.mapper, **where)

    def lines_of(
        self, ctx: TaskContext, file: InputFile, offset: int, chunk: str | bytes
    ) -> Iterator[Call]:
        """Yield the lines of a chunk, with `ctx` at each, for the mapper to be called with it."""
        name = show_path(file.name)
        for at, line in lines_in(chunk, offset, file, self._spec.text, self._access):
            ctx.at(name, at)
            yield at, line

    def call_with(self, ctx: TaskContext, record: str | bytes) -> None:
        """Call the mapper with one record alone; `ctx` must emit nowhere."""
        pairs = self._job.mapper(ctx, record)
        if pairs is not None:
            emit_all(ctx.emit, pairs, "mapper")


class _Attempt:
    """The mapping of one attempt, all of its work."""

    def __init__(self, context: AttemptContext, work: MapWork, mapping: Mapping) -> None:
        self._context = context
        self._work = work
        self._mapping = mapping

    def run(self) -> list[SplitReceipt]:
        """Call the mapper on everything and return what was read of each split."""
        mapping, inputs = self._mapping, self._work.inputs
        mapping.call_hook("setup")
        receipts = [mapping.run_split(inputs[split.input], split) for split in self._work.splits]
        mapping.call_hook("teardown")
        return receipts

    def receipt(self, splits: list[SplitReceipt], **totals: Any) -> Receipt:
        """Return the receipt of the attempt."""
        work = self._context.attempt
        return Receipt(
            attempt=work.attempt,
            key=work.key,
            code_digest=self._context.spec.shape.digest,
            calls=self._mapping.calls,
            bytes_in=sum(split.bytes for split in splits),
            records_in=sum(split.records for split in splits),
            carriage_returns=sum(split.carriage_returns for split in splits),
            replaced=sum(split.replaced for split in splits),
            skipped=sum(split.skipped for split in splits),
            bad_records=sum(split.bad_records for split in splits),
            damaged_inputs=tuple(_damaged(splits)),
            counters=self._mapping.counters,
            **totals,
        )


def _damaged(splits: list[SplitReceipt]) -> Iterator[int]:
    seen = set()
    for split in splits:
        if (split.replaced or split.skipped) and split.input not in seen:
            seen.add(split.input)
            yield split.input
