"""What granted attempts are told to do; what is too long for a message goes into the store first.

    Grant of the core ──► work ──short──────────────────────────────► worker
                           └──long, or a list not stored yet──► store ──┘

While the store takes its time a grant has its lease and its slot, though its worker does not know
of it. So its lease is renewed from here (`unsent`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from pymr import failpoint, names
from pymr.cluster.message import TOLD_BYTES_MAX, Grant, Work
from pymr.cluster.roster import Member, Roster
from pymr.core import events
from pymr.core.job import Job
from pymr.core.spec import Attempt, InputFile, MapTask, MapWork, ReduceWork, Stored
from pymr.store.base import ObjectStore
from pymr.task.stored_object import put_sources, put_stored

# So many splits are never too long, whatever the paths: an input has less than 7 KiB of them.
SPLITS_MAX: Final = TOLD_BYTES_MAX // (7 << 10)

InThread = Callable[[Callable[[], Stored]], Awaitable[Stored]]
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Unsent(NamedTuple):
    """A grant that its worker has not been told of."""

    member: Member
    grant: events.Grant
    key: str


class Grants:
    """Sends the attempts that `job` grants. All of it runs in the loop of the master."""

    def __init__(  # noqa: PLR0913 - keyword-only: the parts that a grant is made of
        self,
        job: Job,
        roster: Roster,
        *,
        inputs: Sequence[InputFile],
        tasks: Sequence[MapTask],
        epoch: int,
        store: ObjectStore,
        in_thread: InThread,
        spawn: Spawn,
        give_back: Callable[[Attempt], None],
    ) -> None:
        """`spawn` begins work whose failure is the run's.

        `give_back` is told of attempts that cannot be begun: what they read was lost meanwhile.
        """
        self._job = job
        self._roster = roster
        self._inputs = inputs
        self._tasks = tasks
        self._epoch = epoch
        self._store = store
        self._in_thread = in_thread
        self._spawn = spawn
        self._give_back = give_back
        self._sources: Stored | None = None  # of the map outputs as they are now
        self._waiting: list[Unsent] = []  # for that
        self._unsent: dict[Attempt, Unsent] = {}

    @property
    def unsent(self) -> Collection[Attempt]:
        """The attempts that were granted, and that no worker was told of yet."""
        return self._unsent.keys()

    def forget_sources(self) -> None:
        """Take note that a map output is lost: there will be another list of them."""
        self._sources = None

    def send(self, grant: events.Grant, member: Member) -> None:
        """Tell a worker of its grant, now or when the store has what is too long for a message."""
        attempt, run, nonce = grant.attempt, self._job.spec.run, names.new_nonce()
        key = names.attempt_key(run, attempt.phase, attempt.task, attempt.number, nonce)
        unsent = Unsent(member, grant, key)
        if attempt.phase == "map":
            work = self._map_work(grant, nonce)
            body = b"" if len(work.splits) <= SPLITS_MAX else msgspec.json.encode(work)
            if len(body) <= TOLD_BYTES_MAX:
                self._tell(unsent, work)
            else:
                self._hold(unsent)
                self._spawn(self._store_work(unsent, body))
        elif self._sources is not None:
            self._tell(unsent, ReduceWork(attempt.task, self._sources))
        else:
            self._hold(unsent)
            self._waiting.append(unsent)
            if len(self._waiting) == 1:
                self._spawn(self._store_sources())

    def _map_work(self, grant: events.Grant, nonce: str) -> MapWork:
        attempt = grant.attempt
        splits = self._tasks[attempt.task].splits
        inputs = {split.input: self._inputs[split.input] for split in splits}
        bad_key = names.bad_key(self._job.spec.run, attempt.task, attempt.number, nonce)
        return MapWork(splits, inputs, bad_key if grant.is_scan else None)

    async def _store_work(self, unsent: Unsent, body: bytes) -> None:
        key_of = partial(names.told_key, self._job.spec.run)
        self._release(unsent, await self._in_thread(partial(put_stored, self._store, body, key_of)))

    async def _store_sources(self) -> None:
        """Store the list of map outputs, once, and send the grants that wait for it."""
        while self._sources is None and self._job.map.done:
            listed = self._job.map_sources()
            put = partial(put_sources, self._store, self._job.spec.run, listed)
            stored = await self._in_thread(put)
            if self._job.map.done and self._job.map_sources() is listed:
                self._sources = stored
        waiting, self._waiting = self._waiting, []
        for unsent in waiting:
            if self._sources is not None:
                self._release(unsent, ReduceWork(unsent.grant.attempt.task, self._sources))
                continue
            self._drop(unsent)
            self._give_back(unsent.grant.attempt)

    def _hold(self, unsent: Unsent) -> None:
        unsent.member.reserve()
        self._unsent[unsent.grant.attempt] = unsent

    def _drop(self, unsent: Unsent) -> None:
        del self._unsent[unsent.grant.attempt]
        unsent.member.unreserve()
        self._roster.feed(unsent.member)  # It has asked for this slot, and will not ask again.

    def _release(self, unsent: Unsent, work: Work) -> None:
        """Send what was held, unless the attempt is not wanted any more."""
        self._drop(unsent)
        if self._job.verdict(unsent.grant.attempt) == "open":
            self._tell(unsent, work)

    def _tell(self, unsent: Unsent, work: Work) -> None:
        grant = unsent.grant
        message = Grant(
            epoch=self._epoch, attempt=grant.attempt, key=unsent.key, work=work, alone=grant.alone
        )
        unsent.member.tell(message)
        failpoint.hit("grant.sent")
