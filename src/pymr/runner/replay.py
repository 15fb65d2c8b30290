"""Tries the bad records of a run that is done again, with the code as it is now.

    claim ─► the manifest has bad records? ─► inputs as planned? ─► another life of the run:
             map tasks that left some out are open again, and so are all reduce tasks
          ─► a manifest of a later epoch takes the place of the one that is there

Law: a task that is done again is done whole, so that the result is the same bytes as if no record
had ever failed. Until the new manifest appears the old result stands; a replay that was stopped is
gone on with by the next one.
"""

from __future__ import annotations

from pymr.core.spec import Code
from pymr.errors import OutputError
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.runner.resume import (
    Change,
    Held,
    Reach,
    Resumed,
    go_on,
    refuse_gone,
    remove_leftovers,
    settings_of,
)
from pymr.runner.stored import read_stored
from pymr.task.output import reclaim_output
from pymr.text_form import show_path


def replay_run(
    found: FoundRun,
    change: Change,
    observer: Observer,
    access: Reach,
    code: Code | None = None,
) -> Resumed:
    """Do again what bad records were left out of, and return the manifest of the new result.

    It may have bad records again, as far as the settings allow it. `was_done`: it had none.
    `code` takes the place of functions that travelled by value.

    Raises:
        OutputError: the run is not done, or still runs, or its output has become another's.
        RunNotFoundError: its journal is gone.
        InputError: inputs have changed since it was planned; they are named.
        ConfigError: the code does another job now, or a setting cannot be changed.
        PymrError: the replay failed; the result is as it was.
    """
    refuse_gone(found)
    with reclaim_output(found.place, run=found.run, name=found.name) as output:
        manifest = output.previous
        if manifest is None or manifest.run != found.run:
            raise not_done(found)
        if manifest.bad_records is None:
            remove_leftovers(found, manifest)
            return Resumed(manifest, was_done=True)
        stored = read_stored(found.place, found.run)
        held = Held(found, stored, output, access, is_replay=True)
        settings = settings_of(held, change)
        return Resumed(go_on(held, settings, observer, code), was_done=False)


def not_done(found: FoundRun) -> OutputError:
    """Return the refusal to try bad records again of a run that has not come to its end."""
    return OutputError(
        f"run {found.name} has no result in `{show_path(found.output)}`, expected one with bad"
        " records to try again",
        hint=f"pymr resume {found.name}   goes on with a run that stopped",
        run=found.run,
    )
