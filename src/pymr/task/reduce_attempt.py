"""A reduce attempt: one partition of all map outputs → the user's reducer → a part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from pymr import failpoint
from pymr.api import Builtin, Reducer
from pymr.core.spec import MapSource, Receipt, ReduceWork
from pymr.records.part import PartTotals, PartWriter
from pymr.shuffle.engine import Merge, is_native, reduce_merge
from pymr.shuffle.fetch import Fetched, fetch
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader
from pymr.store.base import ObjectStore
from pymr.task import forked
from pymr.task.attempt import AttemptContext, Ticker, call_hook
from pymr.task.blame import key_fields, user_error
from pymr.task.call import combine_of, emit_all, reduce_of
from pymr.task.context import TaskContext
from pymr.task.stored_object import sources_of


def run_reduce(context: AttemptContext, work: ReduceWork) -> Receipt:
    """Run a reduce attempt; see `run_attempt`."""
    attempt = context.attempt
    ticker = Ticker(context.progress)
    sources = sources_of(context.store, work)
    merge: Merge = reduce_merge(
        _open_sources(context, sources, work.partition, ticker),
        work.partition,
        limits=context.spec.limits,
        spill_folder=attempt.tmp,
        combine=combine_of(context.job, context.spec),
        paths=_local_paths(context.store, sources),
        on_tick=ticker.tick,
        blame=partial(_blame, context.job.reducer),
    )
    try:
        with context.store.create(attempt.key) as writer:
            part = PartWriter(writer.write, context.spec.output_format)
            ctx = TaskContext(part.emit, context.spec.params)
            call_hook(context.job, "setup", ctx)
            _reduce_groups(context, _Groups(merge, part, ticker), ctx)
            call_hook(context.job, "teardown", ctx)
            totals = part.finish()
            writer.commit()
    finally:
        merge.discard()
    return _receipt(context, merge, totals, ctx.counters)


def _open_sources(
    context: AttemptContext, sources: Sequence[MapSource], partition: int, ticker: Ticker
) -> Sequence[SortedRunReader] | Fetched:
    """Open the map outputs; what is to be read of them is fetched first, if it is not here."""
    store = context.store
    if not is_native() or _local_paths(store, ()) is not None:
        return [open_source(store, source) for source in sources]
    return fetch(
        store,
        sources,
        partition,
        limits=context.spec.limits,
        folder=context.attempt.tmp,
        on_tick=partial(ticker.tick, 0, 0),
    )


def open_source(store: ObjectStore, source: MapSource) -> SortedRunReader:
    """Open a map output, whose footer is checked when it is read."""
    read_at = partial(store.get_range, source.key)
    return SortedRunReader(read_at, source.size, source.key, source.footer_digest)


def _local_paths(store: ObjectStore, sources: Sequence[MapSource]) -> list[str] | None:
    """Return the files of `sources` where the store is a folder, which are quicker to read."""
    path_of = getattr(store, "path_of", None)
    return None if path_of is None else [path_of(source.key) for source in sources]


class _Groups(NamedTuple):
    """Where groups come from and go to, and who is told of each."""

    merge: Merge
    part: PartWriter
    ticker: Ticker


def _reduce_groups(context: AttemptContext, groups: _Groups, ctx: TaskContext) -> None:
    """Reduce every group, in key order."""
    reducer, merge = context.job.reducer, groups.merge
    assert reducer is not None, "a map-only job has no reduce tasks"
    if not isinstance(reducer, Builtin):
        _call_reducer(reducer, groups, ctx)
        return
    call = reduce_of(context.job)

    def reduce(key: Any, values: Any) -> None:
        try:
            call(ctx, key, values)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            _blame(reducer, error, key)

    if isinstance(merge, NativeReduceMerge):
        merge.reduce_into(groups.part.rows, reducer.value, reduce)
    else:
        for key, values in merge:
            reduce(key, values)


def _call_reducer(reducer: Reducer, groups: _Groups, ctx: TaskContext) -> None:
    """Call the user's function on every group."""
    for key, values in groups.ticker.after_each(failpoint.each("reduce.group", groups.merge)):
        try:
            pairs = reducer(ctx, key, values)
            if pairs is not None:
                emit_all(ctx.emit, pairs, "reducer")
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            forked.leave()
            _blame(reducer, error, key)
        if forked.is_child:
            forked.leave()


def _blame(reducer: object, error: BaseException, key: Any) -> NoReturn:
    """Raise what the reducer raised for `key`, or what a value raised when it was read."""
    raise user_error(error, "reducer", reducer, **key_fields(key)) from error


def _receipt(
    context: AttemptContext,
    merge: Merge,
    totals: PartTotals,
    counters: dict[str, int],
) -> Receipt:
    attempt = context.attempt
    return Receipt(
        attempt=attempt.attempt,
        key=attempt.key,
        size=totals.bytes,
        sha256=totals.sha256,
        code_digest=context.spec.shape.digest,
        calls=merge.groups,  # one each
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
        healed=merge.healed,
        largest_group=merge.largest_group,
        largest_key=merge.largest_key,
    )
