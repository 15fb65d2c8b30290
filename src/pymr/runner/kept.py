"""What earlier processes of a run have committed, handed to the core of the one at work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from pymr import failpoint
from pymr.core.events import Journal, Recovered, TaskInvalidated
from pymr.core.replay import Replay
from pymr.core.spec import MapFooter, Receipt
from pymr.errors import CorruptDataError
from pymr.store.base import ObjectStore

Check = Callable[[ObjectStore, Receipt], MapFooter]  # raises CorruptDataError
Spread = Callable[
    [Callable[[Receipt], Journal | Recovered], list[Receipt]], Iterable[Journal | Recovered]
]


def kept(
    store: ObjectStore,
    earlier: Replay,
    again: Collection[Receipt],
    check: Check,
    spread: Spread = map,
) -> Iterator[TaskInvalidated | Journal | Recovered]:
    """Yield what the core is told, in order: `Journal` is a command, the others are events.

    What is committed counts as far as `check` still finds it in the store. `again` is what a
    replay does once more. `spread` is `map`, maybe of many threads.
    """
    yield from earlier.invalidated.values()
    for receipt in again:
        reason = "its bad records are tried again"
        yield Journal(TaskInvalidated(receipt, reason, is_replay=True))
    done_again = {receipt.attempt for receipt in again}
    receipts = earlier.committed.values()
    wanted = [receipt for receipt in receipts if receipt.attempt not in done_again]
    yield from spread(partial(_look, store, check), wanted)


def _look(store: ObjectStore, check: Check, receipt: Receipt) -> Journal | Recovered:
    failpoint.hit("resume.keep")
    try:
        footer = check(store, receipt)
    except CorruptDataError as error:
        return Journal(TaskInvalidated(receipt, error.message))
    return Recovered(receipt, footer.partitions, footer.splits)
