"""Says in the history of a run why it ended, where none of its masters has.

A run that is submitted has no process that works on it, until a master takes it on: what ends it
there is told by whoever has submitted it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pymr.core.events import Entry, RunFinished
from pymr.errors import DeposedError, PymrError, StoreUnavailableError, to_dict
from pymr.observe.feed import Feed, JsonLines, read_entries, thin
from pymr.runner.find import FoundRun
from pymr.runner.life import interruption
from pymr.runner.reach import at_first
from pymr.store.access import Access
from pymr.store.place import open_place


@contextmanager
def ending_told(found: FoundRun, access: Access) -> Iterator[None]:
    """Have the history of a run say that the block has ended it, if it does."""
    try:
        yield
    except KeyboardInterrupt as error:
        tell_ending(found, interruption(error), access)
        raise
    except PymrError as error:
        tell_ending(found, error, access)
        raise


def tell_ending(found: FoundRun, error: PymrError, access: Access) -> None:
    """Have the history of a run say that `error` has ended it, unless it says an end. Best effort.

    A run that is another process's has not ended, and a store that is away takes no word.
    """
    if isinstance(error, DeposedError | StoreUnavailableError):
        return
    with suppress(PymrError):
        place = open_place(found.output, at_first(access))
        told = list(read_entries(place.read_history_end(found.run)))
        if told and is_end(told[-1]):
            return  # Of a master that was removed for this end its own word is only that.
        seq = told[-1].seq + 1 if told else 1
        with place.history(found.run, thin) as history:
            Feed([JsonLines(history.append)], time.time, seq).append(RunFinished(to_dict(error)))


def is_end(entry: Entry) -> bool:
    """Say whether a run has ended with an entry, and not only a life of it."""
    return isinstance(entry.event, RunFinished) and not is_moved(entry)


def is_moved(entry: Entry) -> bool:
    """Say whether it was SIGTERM that ended a life of the run there: another master may go on."""
    if not isinstance(entry.event, RunFinished):
        return False
    fields = (entry.event.error or {}).get("fields", {})
    return fields.get("signal") == "SIGTERM" and not fields.get("is_cancelled")
