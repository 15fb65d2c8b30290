"""The result that a command is asked for; where there is none, how its run stands."""

from __future__ import annotations

from contextlib import suppress

from pymr.cli.reach import usual_access
from pymr.errors import CorruptDataError, RunNotFoundError
from pymr.runner.find import GOING, FoundRun, find_run, state_of, unfinished
from pymr.runner.result import Result
from pymr.text_form import show_path


def find_result(run: str) -> tuple[FoundRun, Result]:
    """Return the run that `run` names and its result, which is there.

    Raises:
        RunNotFoundError: there is none; the hint is the command that leads to one.
        PymrError: as `find_run`.
    """
    found = find_run(run, usual_access)
    result = Result(found.place)
    try:
        with suppress(CorruptDataError):  # There is one: `verify` tells what is wrong with it.
            _ = result.manifest
    except RunNotFoundError as error:
        raise _without_result(found) from error
    return found, result


def _without_result(found: FoundRun) -> RunNotFoundError:
    """Return how a run stands that has no result, and what to type next."""
    state, name = state_of(found), found.name
    if state in GOING:
        hint = f"pymr attach {name}   follows it"
    elif unfinished(found) is not None:
        hint = f"pymr resume {name}   goes on with it"
    else:
        hint = "pymr start   with its arguments does it anew"
    output = show_path(found.output)
    return RunNotFoundError(
        f"run {name} has no result in `{output}`: its state is {state}", hint=hint
    )
