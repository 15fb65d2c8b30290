"""A worker without task processes, over the real client: what tests of the transport use.

python tests/cluster_worker.py JOIN_FILE     holds a stream open until it is ended
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable
from typing import Any

from cluster_stub import receipt, request
from pymr.cluster import message as m
from pymr.cluster.client import Client
from pymr.cluster.join import JoinFile, read_join_file
from pymr.cluster.link import Arrival, Link, Opened
from pymr.core.spec import Attempt

WAIT_S = 20.0  # for what happens at once, on a machine that is busy


class StubWorker:
    """A registered worker, and what has arrived for it. It says Hello as often as it must."""

    def __init__(self, join: JoinFile, wait_s: float = WAIT_S, run: str = "run-1") -> None:
        self.run = run
        self.client = Client(join, wait_s=wait_s)
        self.joined = self.client.register(request(run))
        self.link = Link(self.client, request(run), self.joined)
        self.arrived: list[Arrival] = []
        self.until(Opened)

    @property
    def id(self) -> str:
        """The id that it has now."""
        return self.joined.worker

    @property
    def hello(self) -> m.Hello:
        """What it says first."""
        return m.Hello(self.run, self.joined.epoch, self.id)

    def until(self, kind: type[Any], count: int = 1, wait_s: float = WAIT_S) -> list[Any]:
        """Wait for so many arrivals of that kind, and return them."""
        deadline = time.monotonic() + wait_s
        while len(found := [each for each in self.arrived if isinstance(each, kind)]) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"only {self.arrived[-5:]}"
            select.select([self.link], [], [], left)
            self.take()
        return found

    def take(self) -> None:
        """Take what has arrived."""
        for arrival in self.link.receive():
            self.arrived.append(arrival)
            if isinstance(arrival, Opened):
                self.joined = arrival.joined
                self.link.send(self.hello)

    def complete(self, task: int, seq: int, outcome: Any = None) -> m.Completion:
        """Report an attempt."""
        outcome = outcome or receipt(task)
        completion = m.Completion(seq, 1, Attempt("map", task, 1), outcome)
        self.link.complete(completion)
        return completion


def eventually(is_so: Callable[[], bool], wait_s: float = WAIT_S) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)


if __name__ == "__main__":
    worker = StubWorker(read_join_file(sys.argv[1], "worker"))
    sys.stdout.write("open\n")
    sys.stdout.flush()
    worker.until(m.Done, wait_s=600.0)
