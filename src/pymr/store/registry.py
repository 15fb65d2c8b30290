"""Where runs were started from this account: a hint, never the truth.

One small JSON file a run in the user's state directory names its output; whether the run is
done, running or failed stands in the output itself. Losing the registry loses names only, and
the oldest are dropped. Files are named by the runs' ids, which ascend with time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

RUNS_MAX = 1_000  # the newest; who looks for a name that is not there reads them all
_SUFFIX = ".json"


class Cluster(msgspec.Struct, frozen=True):
    """A namespace of Kubernetes where a run is; `has_store`: its store is there, too."""

    context: str
    namespace: str
    has_store: bool


NO_CLUSTER: Final = Cluster("", "", has_store=False)  # of a run that is known to be in none


class RegisteredRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run that was started here; `output` is absolute, `started` Unix seconds.

    Where a store is, stands here too; what opens it does not.
    """

    run: str
    name: str
    output: str
    started: float
    endpoint: str | None = None
    region: str | None = None
    cluster: Cluster | None = None


def state_folder() -> str:
    """Return `$XDG_STATE_HOME/pymr/runs`, by default under `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return os.path.join(os.path.expanduser(base), "pymr", "runs")


def register(run: RegisteredRun) -> bool:
    """Remember a run, forget all but the newest `RUNS_MAX`, and say whether that was possible.

    Best effort, since a read-only home must not stop a job.
    """
    try:
        os.makedirs(state_folder(), exist_ok=True)
        with open(os.path.join(state_folder(), run.run + _SUFFIX), "wb") as file:
            file.write(msgspec.json.encode(run))
    except OSError:
        return False
    for entry in _entries()[:-RUNS_MAX]:
        with suppress(OSError):
            os.remove(os.path.join(state_folder(), entry))
    return True


def newest_runs() -> Iterator[RegisteredRun]:
    """Yield the remembered runs, newest first, each read when it is asked for.

    An entry that cannot be read is passed over.
    """
    for entry in reversed(_entries()):
        try:
            with open(os.path.join(state_folder(), entry), "rb") as file:
                run = msgspec.json.decode(file.read(), type=RegisteredRun)
        except (OSError, msgspec.DecodeError):
            continue
        yield run


def _entries() -> list[str]:
    """Return the names of the files, oldest run first."""
    try:
        return sorted(name for name in os.listdir(state_folder()) if name.endswith(_SUFFIX))
    except OSError:
        return []
