"""A real master, its journal and its store in memory, and workers that lose what can be lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from core_samples import files, map_verified, reduce_verified, spec
from pymr.cluster import wire
from pymr.cluster.decisions import Decisions
from pymr.cluster.master import Master
from pymr.cluster.message import (
    Ask,
    CompletionReply,
    Failure,
    FailureKind,
    Grant,
    Held,
    Leaving,
    Progress,
    Renew,
    Revoke,
    Verdict,
)
from pymr.cluster.roster import Member
from pymr.cluster.stream import Outbox
from pymr.core.events import Entry, Event, Recovered, TaskCommitted
from pymr.core.job import Job
from pymr.core.limit import HOST_LOSSES_MAX, PhaseLimits
from pymr.core.plan import plan_map_tasks
from pymr.core.replay import attempt_first
from pymr.core.spec import Attempt, Receipt
from pymr.errors import TaskLostError, to_dict
from pymr.observe.feed import Feed
from pymr.store.slot_journal import SlotJournal, SlotReader
from staged_run import memory_store
from virtual_time import Inline, after

LOST = to_dict(TaskLostError("gone"))
RENEW_S = 2.0


class Bench:
    """A master in the loop that runs, of a job that is as told."""

    def __init__(
        self, mappers: int = 6, reducers: int = 0, epoch: int = 1, inputs_each: int = 1
    ) -> None:
        inputs = files(*[20] * mappers * inputs_each)
        self.tasks = plan_map_tasks(inputs, mappers)
        self.reducers = reducers
        limits = PhaseLimits(losses_max=HOST_LOSSES_MAX, attempt_first=attempt_first(epoch))
        self.job = Job(spec(reducers), inputs, self.tasks, limits)
        self.objects = memory_store()
        self.reader = SlotReader(self.objects, "r", "memory")
        self.threads = Inline()
        self.journal = SlotJournal.create(self.reader, epoch)
        self.decisions = Decisions(self.journal, self.threads)
        self.told: list[Event] = []
        self.published = 0
        self.is_stuck_at_end = False  # the threads take nothing more after a commit
        self.clock = asyncio.get_running_loop().time
        self.master = Master(
            self.job,
            inputs=inputs,
            tasks=self.tasks,
            epoch=epoch,
            store=self.objects,
            decisions=self.decisions,
            feed=Feed([self._take], self.clock),
            threads=self.threads,
            publish=self._publish,
            clock=self.clock,
        )
        self.master.watch(self.decisions.run(self.master.durable))
        self.master.watch(self._keep_time())

    def _take(self, entry: Entry) -> None:
        self.told.append(entry.event)
        self.threads.is_stuck |= self.is_stuck_at_end and isinstance(entry.event, TaskCommitted)

    def _publish(self) -> None:
        self.published += 1

    async def _keep_time(self) -> None:
        while True:
            await after(0.5)
            self.master.tick()
            self.job.check()

    def keep_maps(self) -> None:
        """Hand the core all map tasks as those of an earlier epoch."""
        for task in self.tasks:
            told = map_verified(Attempt("map", task.index, 1), task, self.reducers)
            self.master.take_in(Recovered(told.receipt, told.partitions, told.splits))

    def receipt(self, of: Attempt, key: str) -> Receipt:
        """Write the object of an attempt, and return what it says of it."""
        body = f"{of}\n".encode()
        self.objects.put_if_absent(key, body)
        if of.phase == "reduce":
            told = reduce_verified(of, len(self.tasks))
        else:
            told = map_verified(of, self.tasks[of.task], 0)
        return msgspec.structs.replace(
            told.receipt, key=key, size=len(body), footer_digest=None, splits=told.splits
        )

    def commits(self) -> list[tuple[str, int]]:
        """Return the tasks that the journal in the store says are committed, in its order."""
        records = [record for slot in self.reader.read() for record in slot.records]
        decided = [msgspec.json.decode(record, type=TaskCommitted) for record in records]
        return [(each.receipt.attempt.phase, each.receipt.attempt.task) for each in decided]

    async def end(self) -> None:
        """Wait for the end of the run, and stop what runs beside."""
        try:
            await self.master.ended
        finally:
            await self.master.stop()


class Caller:
    """One stream to a master, by hand: what it sends is read by whoever asks."""

    def __init__(self, bench: Bench, host: str = "h", slots: int = 2) -> None:
        self.bench = bench
        self.member: Member = bench.master.register(host, slots)
        self.outbox = Outbox()

    def hello(self, *held: Held) -> None:
        """Begin another stream."""
        self.outbox = Outbox()
        self.bench.master.hello(self.member, held, self.outbox)

    def ask(self, slots: int, seen: int = 0) -> None:
        """Say how many slots are free."""
        self.bench.master.take(self.member, Ask(slots, seen))

    def arrived(self) -> list[Any]:
        """Return what was sent, and not read yet."""
        pieces, self.outbox._pieces = list(self.outbox._pieces), type(self.outbox._pieces)()
        return [item for body in wire.pack(pieces) for item in wire.decode_for_worker(body)]

    def grants(self) -> list[Grant]:
        """Return the grants among what was sent."""
        return [item for item in self.arrived() if isinstance(item, Grant)]

    def part(self) -> None:
        """End the stream."""
        self.bench.master.part(self.member, self.outbox)

    async def finish(self, grant: Grant) -> CompletionReply:
        """Do an attempt and report it."""
        receipt = self.bench.receipt(grant.attempt, grant.key)
        return await self.bench.master.complete(grant.attempt, receipt)


class RoughWorker:
    """A worker with a bad network: streams end, grants and verdicts get lost, reports are doubled.

    It goes by the law of workers: what it holds it renews, what it reports it reports until there
    is a verdict, and what is answered or revoked it forgets.
    """

    def __init__(self, bench: Bench, name: str, luck: random.Random, slots: int = 2) -> None:
        self.bench = bench
        self.luck = luck
        self.slots = slots
        self.held: dict[Attempt, Grant] = {}
        self.doing: set[asyncio.Task[None]] = set()
        self._name = name
        self._member: Member | None = None

    async def live(self) -> None:
        """Work until the run is over."""
        while not self.bench.master.ended.done():
            await self._stream()
            await after(self.luck.choice([0.1, 1.0, 8.0, 20.0, 50.0]))

    async def _stream(self) -> None:
        master, outbox = self.bench.master, Outbox()
        member = self._member
        if member is None or master.roster.get(member.name) is None:
            member = self._member = master.register(self._name, self.slots)
        master.hello(member, [Held(a, g.key) for a, g in self.held.items()], outbox)
        ends = self.bench.clock() + self.luck.uniform(0.5, 40.0)
        beat = asyncio.create_task(self._speak(member, outbox))
        seen = 0
        async for body in outbox.messages():
            if self.bench.clock() > ends or self.luck.random() < 0.1:
                break  # What has just come is lost with the stream.
            for item in wire.decode_for_worker(body):
                if isinstance(item, Grant):
                    seen += 1
                    self._begin(item)
                elif isinstance(item, Revoke):
                    self.held.pop(item.attempt, None)
            master.take(member, Ask(self.slots - len(self.held), seen))
        beat.cancel()
        master.part(member, outbox)

    async def _speak(self, member: Member, outbox: Outbox) -> None:
        self.bench.master.take(member, Ask(self.slots, 0))
        while member.outbox is outbox:
            self.bench.master.take(member, Renew(tuple(map(Progress, self.held))))
            await after(RENEW_S)

    def _begin(self, grant: Grant) -> None:
        self.held[grant.attempt] = grant
        task = asyncio.create_task(self._do(grant))
        self.doing.add(task)
        task.add_done_callback(self.doing.discard)

    async def _do(self, grant: Grant) -> None:
        attempt = grant.attempt
        await after(self.luck.choice([0.1, 1.0, 3.0, 20.0]))
        if attempt not in self.held:
            return
        outcome: Receipt | Failure = self.bench.receipt(attempt, grant.key)
        if self.luck.random() < 0.1:
            outcome = Failure(error=LOST, retryable=True, signature="", kind=FailureKind.RETURNED)
        while attempt in self.held:
            reply = await self.bench.master.complete(attempt, outcome)
            if self.luck.random() < 0.7:  # else the verdict is lost, and it says so once more
                assert reply.verdict is not Verdict.REFUSED, reply
                self.held.pop(attempt, None)
            await after(self.luck.choice([0.0, 1.0]))

    def leave(self) -> None:
        """Say that this worker goes, when it holds nothing any more."""
        assert self._member is not None, "it has come"
        self.bench.master.take(self._member, Leaving("it was told to"))
