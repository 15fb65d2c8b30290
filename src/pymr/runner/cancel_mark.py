"""The mark of `pymr cancel`, as whoever works on a run sees it."""

from __future__ import annotations

import time

from pymr import errors, names
from pymr.errors import StoreError, StoreUnavailableError
from pymr.store.base import is_there
from pymr.store.place import Place

CANCEL_LOOK_S = 0.5  # how often a run looks whether it was cancelled
STORE_LOOK_S = 2.0  # the same in a store, where a look is a request


class CancelMark:
    """Looks into the place of a run whether the run was cancelled."""

    def __init__(self, place: Place, run: str) -> None:
        self._place = place
        self._run = run
        self._due = 0.0

    def is_there(self) -> bool:
        """Say whether it is there, as far as this process may look.

        Raises:
            StoreUnavailableError: the store is away, for longer than it is waited for.
        """
        try:
            return is_there(self._place.objects, names.cancelled_key(self._run))
        except StoreUnavailableError:
            raise
        except StoreError:  # Who cannot look goes on.
            return False

    def look(self) -> None:
        """Look for it, if it is time again; cheap else.

        Raises:
            InterruptedRunError: it is there.
            StoreUnavailableError: as `is_there`.
        """
        now = time.monotonic()
        if now >= self._due:
            self._due = now + (CANCEL_LOOK_S if self._place.folder is not None else STORE_LOOK_S)
            if self.is_there():
                raise errors.cancelled_error("`pymr cancel`")
