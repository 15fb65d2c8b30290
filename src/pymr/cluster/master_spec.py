"""What a master is told, by a file: whoever starts one elsewhere imports nothing of a master."""

from __future__ import annotations

import msgspec

from pymr.config import Settings
from pymr.errors import ConfigError
from pymr.text_form import show_path


class MasterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What `pymr master SPEC` is told, as JSON. No secret is in it."""

    v: int = 1
    output: str  # the address of the run's output
    run: str
    endpoint: str | None = None
    region: str | None = None
    secrets: str  # the file of the master (`cluster.join`)
    listen: str
    join_file: str | None  # None: workers have theirs already
    workers: int
    worker_wait_s: float
    worker_keys: str | None = None  # the file of those that workers get; None: the master's own
    is_replay: bool = False  # the run is done, and its bad records are tried again
    settings: Settings | None = None  # None: those of the run


def read_spec(path: str) -> MasterSpec:
    """Return what stands in the file of a master.

    Raises:
        ConfigError: there is none, or it is something else.
    """
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=MasterSpec)
    except OSError as error:
        raise ConfigError(f"cannot read `{show_path(path)}`: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{show_path(path)}` tells a master nothing: {error}") from error
