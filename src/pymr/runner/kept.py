"""What earlier processes of a run have committed, handed to the core of the one at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from pymr import failpoint
from pymr.core.events import Journal, Recovered, TaskInvalidated
from pymr.core.replay import Replay
from pymr.core.spec import MapFooter, Receipt
from pymr.errors import CorruptDataError
from pymr.store.base import ObjectStore

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

AHEAD_MAX: Final = (
    128  # objects looked at before the core was told: each has sums of its partitions
)

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
    replay does once more. `spread` is `map`, maybe of many threads (`spread_over`).
    """
    yield from earlier.invalidated.values()
    for receipt in again:
        reason = "its bad records are tried again"
        yield Journal(TaskInvalidated(receipt, reason, is_replay=True))
    done_again = {receipt.attempt for receipt in again}
    receipts = earlier.committed.values()
    wanted = [receipt for receipt in receipts if receipt.attempt not in done_again]
    yield from spread(partial(_look, store, check), wanted)


def spread_over(threads: Executor) -> Spread:
    """Return a `map` of many threads, of which no more than AHEAD_MAX results wait."""

    def spread(
        look: Callable[[Receipt], Journal | Recovered], receipts: list[Receipt]
    ) -> Iterator[Journal | Recovered]:
        ahead: deque[Future[Journal | Recovered]] = deque()
        for receipt in receipts:
            if len(ahead) == AHEAD_MAX:
                yield ahead.popleft().result()
            ahead.append(threads.submit(look, receipt))
        while ahead:
            yield ahead.popleft().result()

    return spread


def _look(store: ObjectStore, check: Check, receipt: Receipt) -> Journal | Recovered:
    failpoint.hit("resume.keep")
    try:
        footer = check(store, receipt)
    except CorruptDataError as error:
        return Journal(TaskInvalidated(receipt, error.message))
    return Recovered(receipt, footer.partitions, footer.splits)
