"""What this account keeps of a run on hosts: for a later master, and for who asks about it.

    masters/<run>.json            secrets of the master          removed when the run is over
    masters/<run>.operator.json   secrets of status and cancel   removed when the run is over
    masters/<run>.spec.json       what a master of the background was told   the same
    masters/<run>.log             what that one has said         stays: no secret is in it

All are for the eyes of the owner alone. A run that failed or was stopped can be resumed, so it is
not over: it is when it is done or cancelled.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pymr.store.registry import state_folder


class _Told(msgspec.Struct):
    join_file: str | None


class _OfRun(msgspec.Struct):
    run: str


class RunFiles(NamedTuple):
    """The paths of a run's files."""

    run: str

    @property
    def secrets(self) -> str:
        """What a later master of the run needs."""
        return self._path("json")

    @property
    def operator(self) -> str:
        """What an operator of the run needs."""
        return self._path("operator.json")

    @property
    def spec(self) -> str:
        """What a master in the background is told."""
        return self._path("spec.json")

    @property
    def log(self) -> str:
        """What that one says."""
        return self._path("log")

    def make_folder(self) -> None:
        """Make the folder of all of them, for its owner alone."""
        os.makedirs(os.path.dirname(self.secrets), mode=0o700, exist_ok=True)

    def forget(self, join_file: str | None = None) -> None:
        """Remove what nobody needs of a run that is over, its join file too. May be repeated."""
        join_file = join_file or self._told_join_file()
        if join_file is not None and self._is_own(join_file):
            os.unlink(join_file)
        for path in (self.secrets, self.operator, self.spec):
            with suppress(OSError):
                os.unlink(path)

    def sizes(self) -> list[int]:
        """Return the bytes of each file that `forget` would remove."""
        sizes = []
        for path in (self.secrets, self.operator, self.spec):
            with suppress(OSError):
                sizes.append(os.path.getsize(path))
        return sizes

    def _told_join_file(self) -> str | None:
        """Return where a master in the background has put the join file."""
        with suppress(OSError, msgspec.MsgspecError), open(self.spec, "rb") as file:
            return msgspec.json.decode(file.read(), type=_Told).join_file
        return None

    def _is_own(self, join_file: str) -> bool:
        """Say whether a join file is that of this run: it may have been replaced."""
        with suppress(OSError, msgspec.MsgspecError), open(join_file, "rb") as file:
            return msgspec.json.decode(file.read(), type=_OfRun).run == self.run
        return False

    def _path(self, end: str) -> str:
        return os.path.join(os.path.dirname(state_folder()), "masters", f"{self.run}.{end}")
