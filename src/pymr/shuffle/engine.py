"""Which shuffle runs: the compiled one, or the plain one where that is asked for or needed.

Both keep the same promises and read and write the same sorted runs. The plain form does what
the compiled one does not: it calls a function combiner, and takes partitions and records beyond
what offsets of 31 bits can name.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from pymr.core.spec import Limits
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.builtin import name_of
from pymr.shuffle.combine import Combine
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge

REFERENCE = "PYMR_REFERENCE_SHUFFLE"  # environment; "1": whole jobs on the plain form, for tests
Merge: TypeAlias = ReduceMerge | NativeReduceMerge

_PARTITIONS_MAX = 1 << 16
_RECORD_BYTES_MAX = 1 << 30


def map_buffer(*, limits: Limits, combine: Combine | None = None, **options: Any) -> MapBuffer:
    """Return a buffer for the calling thread; the options are those of `MapBuffer`."""
    is_native = (
        _is_native(combine)
        and options["partitions"] <= _PARTITIONS_MAX
        and limits.key_bytes_max + limits.value_bytes_max <= _RECORD_BYTES_MAX
    )
    make: Any = NativeMapBuffer if is_native else MapBuffer
    buffer: MapBuffer = make(limits=limits, combine=combine, **options)
    return buffer


def reduce_merge(
    sources: Any, partition: int, *, limits: Limits, combine: Combine | None, **options: Any
) -> Merge:
    """Return the groups of a partition; the options are those of `NativeReduceMerge`."""
    is_combined = len(sources) > limits.merge_fan_in_max
    if _is_native(combine if is_combined else None):
        return NativeReduceMerge(sources, partition, limits=limits, combine=combine, **options)
    options.pop("paths", None)
    options.pop("on_tick", None)
    return ReduceMerge(sources, partition, limits=limits, combine=combine, **options)


def _is_native(combine: Combine | None) -> bool:
    is_known = combine is None or name_of(combine) is not None
    return is_known and os.environ.get(REFERENCE) != "1"
