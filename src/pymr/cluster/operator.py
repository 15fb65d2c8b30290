"""What an operator asks a master directly: how far it is, and to stop.

The store tells it as well, a little later; the master is asked where this account has the
operator's file of the run (`cluster.run_files`), or was given one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from pymr.cluster.extra import require_extra
from pymr.cluster.run_files import RunFiles
from pymr.errors import ConfigError, PymrError
from pymr.observe.standing import Standing

ASK_S: Final = 2.0  # for a master to answer who can look into the store as well


class Operator:
    """Asks the master of one run."""

    def __init__(self, path: str, *, wait_s: float = ASK_S) -> None:
        """`path` is the operator's file of the run.

        Raises:
            ConfigError: it is none, or the extra is not installed.
        """
        require_extra()
        from pymr.cluster.client import Client
        from pymr.cluster.join import read_join_file

        self._join = read_join_file(path, "operator")
        self._client = Client(self._join, wait_s=wait_s)

    @property
    def run(self) -> str:
        """The id of the run."""
        return self._join.run

    def standing(self) -> Standing:
        """Return how the run stands, as its master knows.

        Raises:
            UnreachableError: no master answered.
            RefusedError, ProtocolError: it is another run's, or does not know this one.
        """
        from pymr.cluster.message import StatusRequest
        from pymr.observe.standing import read_standing

        return read_standing(self._client.status(StatusRequest(self.run)).detail)

    def cancel(self) -> bool:
        """Stop the run, and say whether there was something to stop. Raises as `standing`."""
        from pymr.cluster.message import CancelRequest

        return self._client.cancel(CancelRequest(self.run)).was_running

    def close(self) -> None:
        """End what is asked. May be called twice."""
        self._client.close()


def operator_of(run: str) -> Operator | None:
    """Return who can ask the master of a run from this account, if anybody can."""
    path = RunFiles(run).operator
    if os.path.exists(path):
        with suppress(ConfigError):
            return Operator(path)
    return None


def tell_cancel(run: str) -> None:
    """Tell the master of a run to stop, if this account can: sooner than it looks for the mark."""
    operator = operator_of(run)
    if operator is None:
        return
    try:
        with suppress(PymrError):  # It is gone, or on its way to its end.
            operator.cancel()
    finally:
        operator.close()


def forget_run(run: str) -> None:
    """Remove what this account keeps of a run that was cancelled: its secrets, its join file."""
    RunFiles(run).forget()
