"""The master: what it grants, keeps and forgets of workers, in one loop whose clock jumps."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from pymr.cluster.message import Grant, Held, Verdict
from pymr.core.events import AttemptFailed, AttemptLost, Journal, TaskInvalidated, Warned
from pymr.core.quarantine import LOSSES_MAX
from pymr.core.replay import attempt_first
from pymr.core.spec import Attempt, MapWork, Stored
from pymr.errors import CorruptDataError, DeposedError, ProtocolError, StoreUnavailableError
from pymr.store.slot_journal import SlotJournal
from pymr.task.stored_object import get_stored
from simulated_master import Bench, Caller, RoughWorker
from virtual_time import after, run_virtually, stand_still

Scene = Callable[[], Coroutine[Any, Any, None]]


def plays(scene: Scene) -> Callable[[], None]:
    """Make a test of what happens in an event loop."""

    def test() -> None:
        run_virtually(scene())

    test.__name__, test.__doc__ = scene.__name__, scene.__doc__
    return test


@pytest.mark.parametrize("seed", range(30))
def test_a_run_ends_whatever_its_workers_lose(seed: int) -> None:
    """Each task is committed once, the run is published once, and no worker holds anything."""

    async def scene() -> None:
        luck = random.Random(seed)
        is_reduce = seed % 2 == 1
        bench = Bench(mappers=8, reducers=8 * is_reduce)
        if is_reduce:
            bench.keep_maps()
        workers = [RoughWorker(bench, f"h{n % 2}", luck) for n in range(4)]
        living = [asyncio.create_task(worker.live()) for worker in workers]
        bench.master.open()
        async with asyncio.timeout(3600.0):
            await bench.end()
        await asyncio.gather(*living)
        phase = "reduce" if is_reduce else "map"
        assert sorted(bench.commits()) == [(phase, task) for task in range(8)]
        assert bench.job.done
        assert bench.published == 1
        assert not bench.master._fates._open
        assert not bench.master._grants.unsent

    run_virtually(scene())


@plays
async def test_a_grant_that_its_worker_has_not_seen_goes_to_another() -> None:
    """It is missed when the worker comes back by another stream."""
    bench = Bench(mappers=1)
    bench.master.open()
    worker = Caller(bench, "a")
    worker.hello()
    worker.ask(1)
    lost = worker.outbox

    worker.hello()
    other = Caller(bench, "b")
    other.hello()
    other.ask(1)

    assert lost is not worker.outbox
    assert [grant.attempt.number for grant in other.grants()] == [2]


@plays
async def test_a_bad_network_is_no_fault_of_the_host_behind_it() -> None:
    """However often a stream breaks before a grant is seen, there is work for that host."""
    bench = Bench(mappers=1)
    bench.master.open()
    worker, other = Caller(bench, "a"), Caller(bench, "b")
    other.hello()
    granted = []
    for _ in range(LOSSES_MAX + 2):
        worker.hello()
        worker.ask(1)
        granted += [grant.attempt.number for grant in worker.grants()]
        await after(10.0)

    assert granted == [1, 2, 3, 4, 5]
    assert [each for each in bench.told if isinstance(each, Warned)] == []


@plays
async def test_f33_a_master_that_stood_still_says_so() -> None:
    """For more than half a lease; no lease ends by that."""
    bench = Bench(mappers=1)
    _worker, _grant = working(bench)
    await after(5.0)
    stand_still(6.9)
    await after(2.0)
    stand_still(20.0)
    await after(2.0)

    told = [each.message for each in bench.told if isinstance(each, Warned)]
    assert len(told) == 1, told
    assert re.fullmatch(
        r"this master stood still for 20\.\d s: no lease has ended by that", told[0]
    )
    assert [each for each in bench.told if isinstance(each, AttemptLost)] == []


@plays
async def test_a_report_has_the_same_verdict_as_often_as_it_comes() -> None:
    """At once, while it is judged, and after that."""
    bench = Bench(mappers=2)
    _worker, grant = working(bench)
    receipt = bench.receipt(grant.attempt, grant.key)
    reports = [bench.master.complete(grant.attempt, receipt) for _ in range(2)]

    replies = await asyncio.gather(*reports)

    again = await bench.master.complete(grant.attempt, receipt)
    assert [reply.verdict for reply in replies] == [Verdict.COMMITTED] * 2
    assert again.verdict is Verdict.ALREADY
    assert bench.commits() == [("map", grant.attempt.task)]


@plays
async def test_a_verdict_waits_for_the_journal() -> None:
    """Nobody is told of a commit that a later master may not know of."""
    bench = Bench(mappers=1)
    worker, grant = working(bench)
    report = asyncio.create_task(worker.finish(grant))
    await after(0.001)  # It is verified, and gathers.
    bench.threads.is_stuck = True

    await after(60.0)
    assert not report.done()
    bench.threads.go_on()

    assert (await report).verdict is Verdict.COMMITTED
    assert bench.commits() == [("map", 0)]


@plays
async def test_a_report_of_another_attempt_is_refused() -> None:
    """It would be the output of the wrong task."""
    bench = Bench(mappers=2)
    _worker, grant = working(bench)
    receipt = bench.receipt(grant.attempt, grant.key)

    with pytest.raises(ProtocolError, match="map-0001"):
        await bench.master.complete(Attempt("map", 1, 1), receipt)


@plays
async def test_an_object_that_is_not_what_was_reported_is_refused() -> None:
    """Its task is done again."""
    bench = Bench(mappers=1)
    worker, grant = working(bench)
    receipt = bench.receipt(grant.attempt, grant.key)

    lie = msgspec.structs.replace(receipt, size=1)
    reply = await bench.master.complete(grant.attempt, lie)

    assert reply.verdict is Verdict.REFUSED
    assert reply.error is not None
    assert reply.error["type"] == CorruptDataError.__name__
    worker.ask(1, seen=1)
    assert [again.attempt.number for again in worker.grants()] == [2]


@plays
async def test_a_store_that_is_away_when_an_attempt_is_verified_is_no_fault_of_the_attempt() -> (
    None
):
    """The run stops, to be resumed; as when the journal cannot be written."""
    bench = Bench(mappers=1)
    _worker, grant = working(bench)
    receipt = bench.receipt(grant.attempt, grant.key)
    bench.threads.error = StoreUnavailableError("no answer")

    report = asyncio.create_task(bench.master.complete(grant.attempt, receipt))

    with pytest.raises(StoreUnavailableError):
        await bench.end()
    report.cancel()
    assert not any(isinstance(event, AttemptFailed) for event in bench.told)


@plays
async def test_who_waits_for_the_journal_is_told_that_another_master_writes_it() -> None:
    """It would wait for ever else, since nothing more is written."""
    bench = Bench(mappers=2)
    other = SlotJournal.create(bench.reader, 2)
    other.append(b"{}")
    other.sync()
    receipt = bench.receipt(Attempt("map", 0, 1), "k")

    bench.master.take_in(Journal(TaskInvalidated(receipt, "it is gone")))

    with pytest.raises(DeposedError, match="epoch 2"):
        await bench.master.flush()


@plays
async def test_a_worker_that_is_gone_without_a_word_is_forgotten() -> None:
    """It is not taken for a host that could do what another one may not."""
    bench = Bench(mappers=1)
    bench.master.open()
    gone = Caller(bench, "a")
    gone.hello()
    gone.part()
    Caller(bench, "b")  # Registered, and never heard of again.
    there = Caller(bench, "c")
    there.hello()

    await after(60.0)

    assert [member.host for member in bench.master.roster] == ["c"]
    assert bench.job.quarantine.is_only(there.member.name)


@plays
async def test_a_worker_that_holds_something_is_not_forgotten_before_its_lease_ends() -> None:
    """Whether it lives is for the lease to say."""
    bench = Bench(mappers=1)
    worker, _grant = working(bench)
    worker.part()

    await after(14.0)
    assert list(bench.master.roster) == [worker.member]
    await after(60.0)

    assert not list(bench.master.roster)
    assert any(isinstance(event, AttemptLost) for event in bench.told)


@plays
async def test_grants_wait_for_a_store_that_is_away() -> None:
    """Their leases do not end meanwhile, whatever becomes of the worker's stream."""
    bench = Bench(mappers=2, reducers=2)
    bench.keep_maps()
    bench.master.open()
    bench.threads.is_stuck = True
    worker = Caller(bench)
    worker.hello()
    worker.ask(2)

    await after(300.0)
    worker.hello()
    worker.ask(2)
    assert not worker.grants()
    bench.threads.go_on()
    await after(0.1)

    grants = worker.grants()
    assert [(each.attempt.task, each.attempt.number) for each in grants] == [(0, 1), (1, 1)]
    assert worker.member.free == 0
    assert not any(isinstance(event, AttemptLost) for event in bench.told)


@plays
async def test_grants_whose_sources_are_lost_meanwhile_are_given_back() -> None:
    """The map task is done again first; no task is charged, and the run goes on."""
    bench = Bench(mappers=2, reducers=1)
    bench.keep_maps()
    bench.master.open()
    worker = Caller(bench)
    worker.hello()
    worker.ask(1)
    receipt = bench.job.map.committed[1]
    bench.master.durable(TaskInvalidated(receipt, "it is gone"))  # Before the list is made.

    await after(1.0)

    assert [grant.attempt for grant in worker.grants()] == [Attempt("map", 1, 1)]
    failures = [event for event in bench.told if isinstance(event, AttemptFailed)]
    assert [(event.attempt.phase, event.will_retry) for event in failures] == [("reduce", True)]


@plays
async def test_work_that_is_too_long_for_a_message_is_an_object() -> None:
    """A task of very many small files is granted like any other."""
    bench = Bench(mappers=1, inputs_each=8000)
    bench.master.open()
    worker = Caller(bench)
    worker.hello()
    worker.ask(1)
    await after(0.1)
    (grant,) = worker.grants()

    assert isinstance(grant.work, Stored)
    work = msgspec.json.decode(get_stored(bench.objects, grant.work), type=MapWork)
    assert len(work.splits) == len(work.inputs) == 8000


@plays
async def test_a_publication_that_has_begun_comes_to_its_end() -> None:
    """Whoever stops a master then is told that the run is done, as it is."""
    bench = Bench(mappers=1)
    worker, grant = working(bench)
    bench.is_stuck_at_end = True
    await worker.finish(grant)
    await after(0.1)
    assert not bench.published

    stopping = asyncio.create_task(bench.master.stop())
    await after(1.0)
    assert not stopping.done()
    bench.threads.go_on()
    await stopping

    assert bench.published == 1


@plays
async def test_what_an_earlier_master_has_granted_is_adopted() -> None:
    """Its worker goes on with it, under another name; what this one never granted is revoked."""
    bench = Bench(mappers=2, epoch=2)
    worker = Caller(bench)
    earlier, unknown = Attempt("map", 0, 1), Attempt("map", 1, attempt_first(2))
    worker.hello(Held(earlier, "k"), Held(unknown, "l"))
    bench.master.open()

    reply = await worker.finish(Grant(epoch=1, attempt=earlier, key="k", work=MapWork((), {})))

    assert reply.verdict is Verdict.COMMITTED
    assert [each.attempt for each in worker.arrived()] == [unknown]


def working(bench: Bench) -> tuple[Caller, Grant]:
    """Return a worker with one slot, and its grant."""
    bench.master.open()
    worker = Caller(bench)
    worker.hello()
    worker.ask(1)
    (grant,) = worker.grants()
    return worker, grant
