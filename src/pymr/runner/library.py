"""`pymr.run`: a job as a function call, from a script, a test or a notebook.

Functions travel to task processes by cloudpickle: those of a script or notebook by value,
those of an importable module by name. Task processes never import the caller again, so no
`if __name__ == "__main__":` is needed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymr.api import Job
from pymr.config import Resolved, change, resolve
from pymr.core.events import Entry
from pymr.core.spec import Code
from pymr.errors import ConfigError, UserCodeError
from pymr.observe.failure import render_failure, render_prints
from pymr.observe.snapshot import Snapshot, fold
from pymr.runner.find import find_run
from pymr.runner.life import Observer
from pymr.runner.plan import Plan, Request
from pymr.runner.reach import access_to, access_with
from pymr.runner.replay import replay_run
from pymr.runner.result import Result
from pymr.runner.resume import resume_run
from pymr.runner.run import run_request
from pymr.store.place import Place
from pymr.task.user_code import refuse_while_loading

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
    refuse_while_loading("pymr.run")
    if not isinstance(job, Job):
        raise ConfigError(f"the first argument is {job!r}, expected a pymr.Job")
    resolved, inputs = _resolved(settings), _inputs(input)
    if resolved.settings.on != "local":
        raise ConfigError(
            f"`on` is `{resolved.settings.on}`: a function call runs on this machine, expected"
            " `local`",
            hint="pymr start --on hosts worker.py   and then   pymr.Result of its address",
        )
    request = Request(
        code=_code_of(job),
        worker=getattr(job.mapper, "__name__", "job"),
        inputs=inputs,
        settings=resolved.settings,
        params=_params(params or {}),
        warnings=resolved.warnings,
        access=access_to(inputs, resolved.settings),
    )
    observer = _Watching()
    with observer.noting():
        run_request(request, observer)
    assert observer.place is not None, "a run that is done was planned"
    return Result(observer.place)


def resume(run: PathLike, *, job: Job | None = None, **settings: Any) -> Result:
    """Take on a run that was killed, interrupted or failed, and return its committed result.

    `run` is its name, its id or its output folder. Finished tasks are kept. `job` has the
    functions as they are now, for a run of `pymr.run`: they had travelled by value. Settings
    that decide the result cannot change; the others are those of the run's start, unless given.
    A run of workers that join goes on by the command only: `pymr resume`.

    Raises:
        PymrError: as `pymr.run`; `InputError` if the inputs have changed since.
    """
    return _take_on("pymr.resume", resume_run, run, job, settings)


def replay(run: PathLike, *, job: Job | None = None, **settings: Any) -> Result:
    """Try the bad records of a run again, and return its result: as if they had never failed.

    `run` and `job` are those of `resume`. Records that are still bad stay left out, as far as
    `skip_bad_records` of the run allows it, or that given now.

    Raises:
        PymrError: as `pymr.resume`; the result is then as it was.
    """
    return _take_on("pymr.replay", replay_run, run, job, settings)


def _take_on(
    call: str,
    take_on: Callable[..., object],
    run: PathLike,
    job: Job | None,
    settings: Mapping[str, Any],
) -> Result:
    refuse_while_loading(call)
    now = _resolved(settings).settings
    found = find_run(os.fsdecode(run), lambda _: access_with(now))
    observer = _Watching()
    with observer.noting():
        take_on(
            found,
            lambda before: change(before, settings, now),
            observer,
            access_with,
            None if job is None else _code_of(job),
        )
    return Result(found.place)


class _Watching(Observer):
    """Remembers the output, and how far the run came."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self._snapshot = Snapshot()

    def planned(self, plan: Plan, place: Place) -> None:
        self.place = place

    def entry(self, entry: Entry) -> None:
        fold(self._snapshot, entry)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Put the user's line and record, and what was kept, under the traceback."""
        try:
            yield
        except UserCodeError as error:
            error.add_note(render_prints(error) + render_failure(error, self._snapshot))
            raise


def _resolved(settings: Mapping[str, Any]) -> Resolved:
    given = {name: _plain(value) for name, value in settings.items() if value is not None}
    return resolve(given, os.environ, str(Path.cwd()), str(Path.home()))


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _inputs(given: PathLike | Iterable[PathLike]) -> tuple[str | bytes, ...]:
    if isinstance(given, str | bytes | os.PathLike):
        given = [given]
    try:
        return tuple(os.fspath(path) for path in given)
    except TypeError as error:
        raise ConfigError(f"`input` is {given!r}, expected a path or several") from error


def _params(given: Mapping[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(
                f"`params` has {name!r}: {value!r}, expected names and values of type str, as"
                " `--set` gives them",
                hint=f"params={{{str(name)!r}: {str(value)!r}}}",
            )
    return dict(given)


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
