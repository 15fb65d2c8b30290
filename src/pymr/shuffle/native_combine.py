"""What the compiled shuffle combines with."""

from __future__ import annotations

from typing import TypeAlias

from pymr._native import CombinerOutput, FunctionCombiner
from pymr.core.spec import Limits
from pymr.shuffle.builtin import name_of
from pymr.shuffle.combine import Combine, FunctionCombine

NativeCombine: TypeAlias = str | FunctionCombiner | None


def native_combine(combine: Combine | None, limits: Limits) -> NativeCombine:
    """Return `combine`, a built-in or a function of the user, as the compiled shuffle takes it."""
    if not isinstance(combine, FunctionCombine):
        name = name_of(combine)
        assert combine is None or name is not None, f"{combine!r} is no combiner of a job"
        return name
    # The output knows nothing of who calls: a cycle through it would never be collected.
    output = CombinerOutput(
        key_bytes_max=limits.key_bytes_max, value_bytes_max=limits.value_bytes_max
    )
    return FunctionCombiner(output=output, **combine.bind(output.emit)._asdict())
