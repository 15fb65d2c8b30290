"""A reduce attempt: one partition of all map outputs → the user's reducer → a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pymr._native import GroupValues as NativeGroupValues
from pymr.api import Builtin
from pymr.core.spec import MapSource, Receipt, ReduceWork
from pymr.records.part import PartTotals, PartWriter
from pymr.shuffle.builtin import reduce_for
from pymr.shuffle.engine import Merge, reduce_merge
from pymr.shuffle.sorted_run import SortedRunReader
from pymr.shuffle.values import GroupValues
from pymr.store.base import ObjectStore
from pymr.task import forked
from pymr.task.attempt import AttemptContext, Ticker, call_hook
from pymr.task.blame import user_error
from pymr.task.call import combine_of, emit_all
from pymr.task.context import TaskContext

Reduce = Callable[[TaskContext, Any, Any], object]
_VALUES = (GroupValues, NativeGroupValues)


def run_reduce(context: AttemptContext, work: ReduceWork) -> Receipt:
    """Run a reduce attempt; see `run_attempt`."""
    attempt = context.attempt
    reducer = context.job.reducer
    merge = reduce_merge(
        [_open(context.store, source) for source in work.sources],
        work.partition,
        limits=context.spec.limits,
        spill_folder=attempt.tmp,
        combine=combine_of(context.job, context.spec),
        reduce=reducer.value if isinstance(reducer, Builtin) else None,
        paths=_local_paths(context.store, work.sources),
    )
    try:
        with context.store.create(attempt.key) as writer:
            part = PartWriter(writer.write, context.spec.output_format)
            ctx = TaskContext(part.emit, context.spec.params)
            calls = _reduce_groups(context, merge, ctx)
            totals = part.finish()
            writer.commit()
    finally:
        merge.discard()
    return _receipt(context, merge, totals, calls, ctx.counters)


def _open(store: ObjectStore, source: MapSource) -> SortedRunReader:
    read_at = partial(store.get_range, source.key)
    return SortedRunReader(read_at, store.size(source.key), source.key, source.footer_digest)


def _local_paths(store: ObjectStore, sources: Sequence[MapSource]) -> list[str] | None:
    """Return the files of `sources` where the store is a folder, which are quicker to read."""
    path_of = getattr(store, "path_of", None)
    return None if path_of is None else [path_of(source.key) for source in sources]


def _reduce_groups(context: AttemptContext, merge: Merge, ctx: TaskContext) -> int:
    """Call the reducer on every group, in key order, and return the number of calls."""
    call_hook(context.job, "setup", ctx)
    reduce = _reduce_of(context)
    ticker = Ticker(context.progress)
    calls = 0
    for key, values in merge:
        try:
            pairs = reduce(ctx, key, values)
            if pairs is not None:
                emit_all(ctx.emit, pairs, "reducer")
        except BaseException as error:
            forked.leave()
            raise user_error(error, "reducer", context.job.reducer, key=f"{key!r:.80}") from error
        if forked.is_child:
            forked.leave()
        calls += 1
        if calls % 64 == 0:  # a look at the clock costs about what a small group does
            ticker.tick(merge.read.bytes, merge.read.records)
    call_hook(context.job, "teardown", ctx)
    return calls


def _reduce_of(context: AttemptContext) -> Reduce:
    reducer = context.job.reducer
    if isinstance(reducer, Builtin):
        compute = reduce_for(reducer.value)

        def reduce(ctx: TaskContext, key: Any, values: Any) -> None:
            is_open = type(values) in _VALUES  # else the merge has found the result
            ctx.emit(key, compute(values) if is_open else values)

        return reduce
    assert reducer is not None, "a map-only job has no reduce tasks"
    return reducer


def _receipt(
    context: AttemptContext,
    merge: Merge,
    totals: PartTotals,
    calls: int,
    counters: dict[str, int],
) -> Receipt:
    attempt = context.attempt
    return Receipt(
        attempt=attempt.attempt,
        key=attempt.key,
        size=totals.bytes,
        sha256=totals.sha256,
        code_digest=context.spec.shape.digest,
        calls=calls,
        groups=merge.groups,
        combined_in=merge.combined_in,
        combined_out=merge.combined_out,
        read=merge.read,
        reduced=merge.reduced,
        records_out=totals.records,
        bytes_out=totals.bytes,
        key_type=totals.key_type,
        value_type=totals.value_type,
        key_mixed=totals.key_mixed,
        value_mixed=totals.value_mixed,
        counters=counters,
        spills=merge.spills,
        largest_group=merge.largest_group,
        largest_key=merge.largest_key,
    )
