"""Leases: who may run an attempt, and until when. Pure; times are monotonic seconds.

A lease ends by being dropped: because its attempt won, lost, failed, or because it expired.
Finding the expired ones is a heap with lazy deletion, so a tick costs what it finds, not what
there is. Leases are Gray and Cheriton's (SOSP 1989).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, Literal

import msgspec

from pymr.core.spec import Attempt
from pymr.errors import TaskLostError

DEAF_LEAST_S: Final = 1.0  # no shorter than two ticks: else it is deaf each time

LeaseState = Literal["running", "verifying", "verified"]


class Lease(msgspec.Struct):
    """The right of one attempt. Only a running one belongs to its worker and can expire."""

    worker: str
    started: float
    expires: float
    state: LeaseState = "running"
    finished: float = 0.0


def is_deaf(silent_s: float, lease_s: float) -> bool:
    """Say whether a core was deaf that had no tick for so long, so that nobody could renew."""
    return silent_s > max(lease_s / 2, DEAF_LEAST_S)


class LeaseBook:
    """All leases of a phase."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._leases: dict[Attempt, Lease] = {}
        self._held: dict[str, dict[Attempt, None]] = {}  # running attempts by worker, in order
        self._expiries: list[tuple[float, Attempt]] = []  # heap; renewed and gone ones linger
        self._heard: float | None = None  # when the core last looked at the clock

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._leases)

    def __getitem__(self, attempt: Attempt) -> Lease:
        return self._leases[attempt]

    @property
    def is_busy(self) -> bool:
        """Whether any worker runs anything."""
        return bool(self._held)

    def get(self, attempt: Attempt) -> Lease | None:
        """Return the lease of `attempt`, if it has one."""
        return self._leases.get(attempt)

    def held_by(self, worker: str) -> list[Attempt]:
        """Return what `worker` runs, in the order granted."""
        return list(self._held.get(worker, ()))

    def grant(self, attempt: Attempt, worker: str, now: float) -> Lease:
        """Let `worker` run `attempt`."""
        if self._heard is None:
            self._heard = now
        lease = self._leases[attempt] = Lease(worker, now, now + self._lease_s)
        self._held.setdefault(worker, {})[attempt] = None
        heappush(self._expiries, (lease.expires, attempt))
        return lease

    def renew(self, lease: Lease, now: float) -> None:
        """Start the time of `lease` again."""
        lease.expires = max(lease.expires, now + self._lease_s)

    def move(self, attempt: Attempt, worker: str) -> None:
        """Let an attempt that runs be `worker`'s: the one that has it goes by another name now."""
        lease = self._leases[attempt]
        if lease.state == "running" and lease.worker != worker:
            self._detach(attempt, lease.worker)
            self._held.setdefault(worker, {})[attempt] = None
            lease.worker = worker

    def settle(self, attempt: Attempt, now: float) -> None:
        """Note that the object of `attempt` is complete: worker and time matter no more."""
        lease = self._leases[attempt]
        lease.state, lease.finished = "verifying", now
        self._detach(attempt, lease.worker)

    def drop(self, attempt: Attempt) -> Lease:
        """End the lease of `attempt` and return it as it was."""
        lease = self._leases.pop(attempt)
        if lease.state == "running":
            self._detach(attempt, lease.worker)
        return lease

    def listen(self, now: float) -> None:
        """Take the time of a tick; renew every lease if the core was deaf before it.

        A sleeping machine or a stalled loop is no fault of the workers: nobody can renew with
        a core that does not listen. So half a lease without a tick counts for nobody (`is_deaf`).
        O(leases), and at most once in half a lease.
        """
        deaf_s = 0.0 if self._heard is None else now - self._heard
        self._heard = now
        if is_deaf(deaf_s, self._lease_s):
            for lease in self._leases.values():
                self.renew(lease, now)
                lease.started = min(lease.started + deaf_s, now)

    def pop_expired(self, now: float) -> Attempt | None:
        """Return a running attempt whose time is over, for the caller to drop; else None."""
        while self._expiries and self._expiries[0][0] <= now:
            attempt = heappop(self._expiries)[1]
            lease = self._leases.get(attempt)
            if lease is None or lease.state != "running":
                continue
            if lease.expires <= now:
                return attempt
            heappush(self._expiries, (lease.expires, attempt))
        return None

    def expiry(self, attempt: Attempt) -> TaskLostError:
        """Return the error of a lease that has expired."""
        worker = self._leases[attempt].worker
        return TaskLostError(
            f"`{attempt}`: no sign of worker `{worker}` for {self._lease_s:g} s",
            reason="lease expired",
            returncode=None,
        )

    def check(self) -> None:
        """Assert that each running lease is held by its worker and can expire. O(leases)."""
        running = {a: lease for a, lease in self._leases.items() if lease.state == "running"}
        held = {a: worker for worker, attempts in self._held.items() for a in attempts}
        assert held == {a: lease.worker for a, lease in running.items()}, f"held: {held}"
        assert all(self._held.values()), f"workers that hold nothing: {self._held}"
        due = {attempt: time for time, attempt in self._expiries}
        assert all(due[a] <= lease.expires for a, lease in running.items()), f"due: {due}"

    def _detach(self, attempt: Attempt, worker: str) -> None:
        del self._held[worker][attempt]
        if not self._held[worker]:
            del self._held[worker]
