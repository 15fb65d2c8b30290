"""Calls of user functions: what they may return, and whose fault an exception is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

from pymr.api import IDENTITY, Builtin, Job, Reducer
from pymr.core.spec import JobSpec
from pymr.shuffle.builtin import combine_for, reduce_for
from pymr.shuffle.combine import Combine, Emit, FunctionCombine, UserCombiner
from pymr.shuffle.values import short_repr
from pymr.task import forked
from pymr.task.blame import key_fields, user_error
from pymr.task.context import CombinerContext


def emit_all(emit: Callable[[Any, Any], None], pairs: object, function: str) -> None:
    """Emit what a user function returned: nothing for None, else each `(key, value)`.

    Raises:
        TypeError: not an iterable of pairs.
    """
    if isinstance(pairs, (tuple, str, bytes)) or not isinstance(pairs, Iterable):
        raise TypeError(
            f"{function} returned {type(pairs).__name__} {short_repr(pairs)}, expected None or"
            f" an iterable of pairs: write `yield key, value` or `return [(key, value)]`"
        )
    try:
        for pair in pairs:
            if type(pair) is not tuple or len(pair) != 2:  # noqa: PLR2004 - a pair
                line = "return pairs.items()" if isinstance(pairs, dict) else "yield key, value"
                raise TypeError(  # noqa: TRY301 - a call for each pair would cost more
                    f"{function} yielded {type(pair).__name__} {short_repr(pair)}, expected a pair:"
                    f" write `{line}`"
                )
            emit(pair[0], pair[1])
    except BaseException as error:
        _show_the_yield(error, pairs)
        raise


def _show_the_yield(error: BaseException, pairs: Iterable[object]) -> None:
    """Add the line of the user's generator that yielded last to the traceback of `error`."""
    frame = getattr(pairs, "gi_frame", None)
    if frame is not None:  # It is None if the generator itself raised the error.
        inner = error.__traceback__
        error.__traceback__ = TracebackType(inner, frame, frame.f_lasti, frame.f_lineno)


def combine_of(job: Job, spec: JobSpec) -> Combine | None:
    """Return the combiner of a job over encoded keys and values, or None."""
    if isinstance(job.reducer, Builtin):
        return combine_for(job.reducer.value)
    if isinstance(job.combiner, Builtin):
        return combine_for(job.combiner.value)
    if job.combiner is None:
        return None
    bind = partial(_bound, job.combiner, spec.params)
    return FunctionCombine(bind, spec.limits.value_bytes_max)


def reduce_of(job: Job) -> Reducer:
    """Return what to call with each group; for a built-in, what emits its result."""
    reducer = job.reducer
    assert reducer is not None, "a map-only job has no groups"
    if not isinstance(reducer, Builtin):
        return reducer
    if reducer is IDENTITY:
        return _emit_each
    compute = reduce_for(reducer.value)
    return lambda ctx, key, values: ctx.emit(key, compute(values))


def _emit_each(ctx: Any, key: Any, values: Iterable[Any]) -> None:
    for value in values:
        ctx.emit(key, value)


def _bound(
    function: Callable[[Any, Any, Any], Any], params: dict[str, str], emit: Emit
) -> UserCombiner:
    """Return the user's combiner, emitting by `emit`."""

    def emit_returned(pairs: object) -> None:
        emit_all(emit, pairs, "combiner")

    def blame(error: BaseException, key: Any) -> NoReturn:
        raise user_error(error, "combiner", function, **key_fields(key)) from error

    context = CombinerContext(emit, params)
    return UserCombiner(function, context, emit_returned, forked.leave, blame)
