"""Which hosts get no work for a time, since they lose what they are given. Pure.

A worker's id is issued anew each time it registers, so what is counted is its host: so many
losses within a time, and nothing is granted there for as long. That is a rule about fairness, not
about safety: a host that comes and goes would be granted a task at each return, and lose it.

Nobody starves: while every host that is there is in quarantine, none is held back. Workers that
have not joined are on no host, and never held back.
"""

from __future__ import annotations

from collections import deque

LOSSES_MAX = 3  # of a host within QUARANTINE_S; then it is in quarantine
QUARANTINE_S = 300.0
SAME_LOSS_S = 1.0  # a worker that goes loses the attempts of all of its slots: one loss


class Quarantine:
    """The hosts of a run, and what each has lost of late."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}  # of each worker that is there
        self._workers: dict[str, int] = {}  # that are there, of each host
        self._losses: dict[str, deque[float]] = {}  # the last times, of each host
        self._until: dict[str, float] = {}  # the end of each quarantine

    def join(self, worker: str, host: str) -> None:
        """Note that a worker is there."""
        self.leave(worker)
        self._hosts[worker] = host
        self._workers[host] = self._workers.get(host, 0) + 1

    def leave(self, worker: str) -> None:
        """Note that a worker is gone, if it was there."""
        host = self._hosts.pop(worker, None)
        if host is None:
            return
        self._workers[host] -= 1
        if not self._workers[host]:
            del self._workers[host]

    def is_only(self, worker: str) -> bool:
        """Say whether a worker has joined, and no other one is there."""
        return len(self._hosts) == 1 and worker in self._hosts

    def count(self, worker: str, now: float) -> str | None:
        """Note that a worker has lost something; return what people are told if it was too much."""
        host = self._hosts.get(worker)
        if host is None:
            return None
        losses = self._losses.get(host) or self._begin(host, now)
        if losses and now - losses[-1] < SAME_LOSS_S:
            return None
        losses.append(now)
        if len(losses) < LOSSES_MAX or now - losses[0] > QUARANTINE_S:
            return None
        del self._losses[host]
        self._until[host] = now + QUARANTINE_S
        return (
            f"host `{host}` has lost its work {LOSSES_MAX} times within {QUARANTINE_S:g} s:"
            f" it gets none for {QUARANTINE_S:g} s, unless no other host is there"
        )

    def _begin(self, host: str, now: float) -> deque[float]:
        """Begin to count for a host, and forget those that have lost nothing for long."""
        gone = [each for each, of in self._losses.items() if now - of[-1] > QUARANTINE_S]
        for each in gone:
            del self._losses[each]
        losses = self._losses[host] = deque(maxlen=LOSSES_MAX)
        return losses

    def holds_back(self, worker: str, now: float) -> bool:
        """Say whether a worker gets nothing for now. O(hosts in quarantine) for one that is."""
        host = self._hosts.get(worker)
        if host is None or host not in self._until:
            return False
        for each in [each for each, until in self._until.items() if until <= now]:
            del self._until[each]
        there = sum(each in self._workers for each in self._until)
        return host in self._until and there < len(self._workers)
