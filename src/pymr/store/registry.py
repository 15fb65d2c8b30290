"""Where runs were started from this account: a hint, never the truth.

One small JSON file a run in the user's state directory names its output; whether the run is
done, running or failed stands in the output itself. Losing the registry loses names only.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec


class RegisteredRun(msgspec.Struct, frozen=True):
    """A run that was started here; `output` is absolute, `started` Unix seconds."""

    run: str
    name: str
    output: str
    started: float


def state_folder() -> str:
    """Return `$XDG_STATE_HOME/pymr/runs`, by default under `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return os.path.join(os.path.expanduser(base), "pymr", "runs")


def register(run: RegisteredRun) -> None:
    """Remember a run; best effort, since a read-only home must not stop a job."""
    try:
        os.makedirs(state_folder(), exist_ok=True)
        with open(_entry_path(run.run), "wb") as file:
            file.write(msgspec.json.encode(run))
    except OSError:
        return


def registered_runs() -> list[RegisteredRun]:
    """Return all remembered runs, oldest first; an unreadable entry is passed over."""
    runs = []
    try:
        entries = sorted(os.listdir(state_folder()))
    except OSError:
        return []
    for entry in entries:
        try:
            with open(f"{state_folder()}/{entry}", "rb") as file:
                runs.append(msgspec.json.decode(file.read(), type=RegisteredRun))
        except (OSError, msgspec.DecodeError):
            continue
    return runs


def forget(run: str) -> None:
    """Drop a run from the registry, if it is there."""
    with suppress(FileNotFoundError):
        os.remove(_entry_path(run))


def _entry_path(run: str) -> str:
    return f"{state_folder()}/{run}.json"
