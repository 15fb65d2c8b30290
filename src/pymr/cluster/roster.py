"""The workers of a run, as its master knows them: who they are, and what they are told.

A worker is known by the id that it was given when it registered, for as long as the run lasts:
whether it still lives is for the leases to say. Its stream may end and come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pymr.cluster.message import Ask, ForWorker, Grant
from pymr.cluster.stream import Outbox
from pymr.names import new_nonce


class Member:
    """One worker. `outbox` is what it is told; None: it has no stream now."""

    def __init__(self, name: str, host: str, slots: int) -> None:
        self.name = name
        self.host = host
        self.slots = slots
        self.outbox: Outbox | None = None
        self.heard = 0.0  # when it said something last, or registered; monotonic seconds
        self.is_leaving = False
        self.has_asked = False  # it can run the job: it has loaded the code
        self._free = 0  # slots, as it last said
        self._granted = 0  # grants put into this stream, ever
        self._seen = 0  # of those, the ones that it knew of when it said so
        self._reserved = 0  # for grants that are not sent yet

    @property
    def free(self) -> int:
        """The slots that an attempt can be granted to."""
        if self.outbox is None or self.is_leaving:
            return 0
        return max(0, self._free - (self._granted - self._seen) - self._reserved)

    def open(self, outbox: Outbox) -> None:
        """Begin a stream; whatever waited for the one before is dropped."""
        self.close()
        self.outbox = outbox
        self._free = self._granted = self._seen = 0

    def close(self) -> None:
        """End the stream, if there is one."""
        if self.outbox is not None:
            outbox, self.outbox = self.outbox, None
            outbox.close()

    def ask(self, ask: Ask) -> None:
        """Take note of how many slots are free: of those that it has."""
        self._free = min(ask.slots, self.slots)
        self._seen = min(ask.grants_seen, self._granted)

    def reserve(self) -> None:
        """Take a slot for a grant that is not sent yet."""
        self._reserved += 1

    def unreserve(self) -> None:
        """Give a slot back that was taken by `reserve`: its grant is sent now, or never."""
        self._reserved -= 1

    def tell(self, message: ForWorker) -> None:
        """Put a message into the stream; without one it is lost, as the worker will say."""
        if self.outbox is None:
            return
        if isinstance(message, Grant):
            self._granted += 1
        self.outbox.put(message)


class Roster:
    """All workers that have registered, and those of them that wait for work, in turn."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._hungry: deque[Member] = deque()
        self._waiting: set[str] = set()  # the names of the hungry ones

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> Member | None:
        """Return the worker with that id, if it is one of this run's."""
        return self._members.get(name)

    def add(self, host: str, slots: int) -> Member:
        """Take a worker in, under an id that nobody had."""
        member = Member(f"{host}-{new_nonce()[:8]}", host, slots)
        self._members[member.name] = member
        return member

    def remove(self, member: Member) -> None:
        """Forget a worker that has left in order."""
        member.close()
        self._members.pop(member.name, None)

    @property
    def connected(self) -> list[Member]:
        """Those that have a stream now."""
        return [member for member in self if member.outbox is not None]

    @property
    def slots(self) -> int:
        """The slots of all that are connected."""
        return sum(member.slots for member in self.connected)

    def feed(self, member: Member) -> None:
        """Put a worker that has free slots in the line for work, if it is not there."""
        if member.free and member.name not in self._waiting:
            self._waiting.add(member.name)
            self._hungry.append(member)

    def next(self) -> Member | None:
        """Take the first of the line that still has a free slot; None: nobody has."""
        while self._hungry:
            member = self._hungry.popleft()
            self._waiting.discard(member.name)
            if member.free:
                return member
        return None
