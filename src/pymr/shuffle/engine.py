"""Which shuffle runs: the compiled one, or the plain one where that is asked for.

Both keep the same promises and read and write the same sorted runs. The plain form is what the
tests compare the compiled one with.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from pymr.core.spec import Limits
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.combine import Combine
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge

REFERENCE = "PYMR_REFERENCE_SHUFFLE"  # environment; "1": whole jobs on the plain form, for tests
Merge: TypeAlias = ReduceMerge | NativeReduceMerge


def map_buffer(*, limits: Limits, combine: Combine | None = None, **options: Any) -> MapBuffer:
    """Return a buffer for the calling thread; the options are those of `MapBuffer`."""
    make: Any = NativeMapBuffer if is_native() else MapBuffer
    buffer: MapBuffer = make(limits=limits, combine=combine, **options)
    return buffer


def reduce_merge(
    sources: Any, partition: int, *, limits: Limits, combine: Combine | None, **options: Any
) -> Merge:
    """Return the groups of a partition; the options are those of `NativeReduceMerge`."""
    if is_native():
        return NativeReduceMerge(sources, partition, limits=limits, combine=combine, **options)
    options.pop("paths", None)
    options.pop("on_tick", None)
    return ReduceMerge(sources, partition, limits=limits, combine=combine, **options)


def is_native() -> bool:
    """Say whether the compiled form runs."""
    return os.environ.get(REFERENCE) != "1"
