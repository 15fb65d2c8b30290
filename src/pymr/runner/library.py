"""`pymr.run`: a job as a function call, from a script, a test or a notebook.

Functions travel to task processes by cloudpickle: those of a script or notebook by value,
those of an importable module by name. Task processes never import the caller again, so no
`if __name__ == "__main__":` is needed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pymr.api import Job
from pymr.config import resolve
from pymr.core.spec import Code
from pymr.errors import ConfigError, UserCodeError
from pymr.observe.failure import render_failure
from pymr.runner.plan import Request
from pymr.runner.result import Result
from pymr.runner.run import Observer, run_request

PathLike = str | bytes | os.PathLike[str]


def run(
    job: Job,
    *,
    input: PathLike | Iterable[PathLike],  # noqa: A002 - the word of the command line
    params: Mapping[str, str] | None = None,
    **settings: Any,
) -> Result:
    """Run `job` on this machine and return its committed result.

    `settings` are those of `pymr start`, by the names of `pymr config`: `reducers=8`,
    `output="out"`, `memory="2G"`, `errors="replace"` … Values from the environment and the
    configuration files hold too, as on the command line. Prints nothing.

    Raises:
        PymrError: the run failed, and its output is as it was before; `pymr.errors` lists
            the classes. `UserCodeError` names the record.
    """
    if not isinstance(job, Job):
        raise ConfigError(f"the first argument is {job!r}, expected a pymr.Job")
    given = {name: _plain(value) for name, value in settings.items() if value is not None}
    resolved = resolve(given, os.environ, str(Path.cwd()), str(Path.home()))
    request = Request(
        code=_code_of(job),
        worker=getattr(job.mapper, "__name__", "job"),
        inputs=_inputs(input),
        settings=resolved.settings,
        params=dict(params or {}),
        warnings=resolved.warnings,
    )
    observer = _Planned()
    try:
        run_request(request, observer)
    except UserCodeError as error:
        error.add_note(render_failure(error))  # The user's line and record, under the traceback.
        raise
    return Result(observer.output)


class _Planned(Observer):
    """Remembers where the output is."""

    output = ""

    def planned(self, plan: Any) -> None:
        self.output = plan.output


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _inputs(given: PathLike | Iterable[PathLike]) -> tuple[str | bytes, ...]:
    if isinstance(given, str | bytes | os.PathLike):
        given = [given]
    return tuple(os.fspath(path) for path in given)


def _code_of(job: Job) -> Code:
    import cloudpickle

    try:
        body = cloudpickle.dumps(job, protocol=5)
    except Exception as error:
        raise ConfigError(
            f"the job cannot be sent to task processes: {type(error).__name__}: {error}",
            hint="open files and connections in setup(ctx), not in the script around it",
        ) from error
    path = tuple(entry or str(Path.cwd()) for entry in sys.path)
    return Code(pickle=body, digest=hashlib.sha256(body).hexdigest(), sys_path=path)
