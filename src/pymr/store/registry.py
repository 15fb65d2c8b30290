"""Where runs were started from this account: a hint, never the truth.

One small JSON file a run in the user's state directory names its output; whether the run is
done, running or failed stands in the output itself. Losing the registry loses names only.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class RegisteredRun(msgspec.Struct, frozen=True):
    """A run that was started here; `output` is absolute, `started` Unix seconds."""

    run: str
    name: str
    output: str
    started: float


def state_folder() -> Path:
    """Return `$XDG_STATE_HOME/pymr/runs`, by default under `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "pymr" / "runs"


def register(run: RegisteredRun) -> None:
    """Remember a run; best effort, since a read-only home must not stop a job."""
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{run.run}.json").write_bytes(msgspec.json.encode(run))
    except OSError:
        return


def registered_runs() -> list[RegisteredRun]:
    """Return all remembered runs, oldest first; an unreadable entry is passed over."""
    runs = []
    try:
        paths = sorted(state_folder().glob("*.json"))
    except OSError:
        return []
    for path in paths:
        try:
            runs.append(msgspec.json.decode(path.read_bytes(), type=RegisteredRun))
        except (OSError, msgspec.DecodeError):
            continue
    return runs


def forget(run: str) -> None:
    """Drop a run from the registry, if it is there."""
    (state_folder() / f"{run}.json").unlink(missing_ok=True)
