"""PyMR: a MapReduce that Python programmers trust.

A worker file needs nothing but this façade:

    import pymr

    def mapper(ctx, chunk):
        for word in chunk.split():
            ctx.emit(word, 1)

    def reducer(ctx, key, values):
        ctx.emit(key, sum(values))

    job = pymr.Job(mapper=mapper, reducer=reducer, combiner=pymr.SUM)

`pymr.run(job, input=…)` runs it here and now, `pymr.resume(run)` goes on with one that stopped,
`pymr.replay(run)` tries its bad records again; `pymr start worker.py --input …` from a shell;
`pymr.main(job)` makes the file run itself. What is not named here is not public.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pymr.api import (
    COUNT,
    IDENTITY,
    LINES,
    MAX,
    MIN,
    SUM,
    TEXT,
    WHOLE,
    Context,
    Job,
    Values,
)

if TYPE_CHECKING:
    from pymr import errors
    from pymr.runner.library import replay, resume, run
    from pymr.runner.result import Result

if "t" in sys.abiflags:  # The build tells: setting PYTHON_GIL does not make it another.
    raise ImportError(
        f"PyMR needs a Python with the GIL, `{sys.executable}` is a free-threaded build;"
        " choose another, such as python3.13 in place of python3.13t"
    )

__version__ = "0.1.0"

__all__ = [
    "COUNT",
    "IDENTITY",
    "LINES",
    "MAX",
    "MIN",
    "SUM",
    "TEXT",
    "WHOLE",
    "Context",
    "Job",
    "Result",
    "Values",
    "__version__",
    "errors",
    "main",
    "replay",
    "resume",
    "run",
]

# Loaded when first used: a task process needs none of it, and a worker file rarely.
_LAZY = {
    "run": ("pymr.runner.library", "run"),
    "resume": ("pymr.runner.library", "resume"),
    "replay": ("pymr.runner.library", "replay"),
    "Result": ("pymr.runner.result", "Result"),
    "errors": ("pymr.errors", None),
}


def main(job: Job) -> None:
    """Run the file that calls this as `pymr start` would, with the same flags, and exit.

    Call it under `if __name__ == "__main__":` with the file's `job`.
    """
    from pymr.cli import run_file

    run_file(job)


if not TYPE_CHECKING:  # A type checker would take any name for one that is there.

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'pymr' has no attribute {name!r}")
        import importlib

        module_name, attribute = _LAZY[name]
        module = importlib.import_module(module_name)
        return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
