"""Workers of other machines as the crew of a run: a master at work, from its journal to the end.

what is kept ─► listen ─► workers come ─► grants, commits ─► published ─► workers go
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from pymr import errors, names
from pymr.cluster import message as m
from pymr.cluster.address import HostPort, hosts_of
from pymr.cluster.admission import Admission
from pymr.cluster.attendance import Attendance
from pymr.cluster.decisions import Decisions
from pymr.cluster.failure import with_memory_of_pods
from pymr.cluster.handler import MasterHandler, Terms
from pymr.cluster.join import MasterFile
from pymr.cluster.master import Master
from pymr.cluster.server import Server
from pymr.cluster.stop_signal import between_steps
from pymr.cluster.told import told_standing
from pymr.core import events
from pymr.core.limit import HOST_LOSSES_MAX, PhaseLimits
from pymr.core.spec import Code, JobSpec, Stored
from pymr.errors import DeposedError, InternalError, InterruptedRunError, LostPartError, PymrError
from pymr.observe.feed import Feed
from pymr.observe.snapshot import Snapshot
from pymr.runner.kept import kept, spread_over
from pymr.runner.life import Duty, interruption
from pymr.runner.plan import Plan
from pymr.store.access import Access
from pymr.store.credentials import with_keys_of
from pymr.store.outage import OUTAGES, Listener, Said
from pymr.store.place import Place
from pymr.task.commit import verify_attempt
from pymr.task.stored_object import get_stored, put_stored

if TYPE_CHECKING:
    from pymr.cluster.metrics import Gauges

Result = TypeVar("Result")

THREADS_MAX: Final = 32  # that wait for the store
TICK_S: Final = 0.5
TOLD_AT_ONCE: Final = 64  # of what is kept, to the core: it takes milliseconds
FAREWELL_S: Final = 5.0  # for workers to hear that the run is over


class Reception(msgspec.Struct, frozen=True, kw_only=True):
    """How workers come to a master: where it listens, and who is let in."""

    listen: str  # HOST:PORT
    secrets: MasterFile
    workers: int  # that are waited for
    worker_wait_s: float
    listening: Callable[[HostPort], None]  # told where it is, when workers may come
    worker_keys: str | None = None  # the file of those that workers get; None: the master's own


class HostsCrew:
    """Does the tasks of a run by workers that join."""

    def __init__(
        self,
        reception: Reception,
        code: Code,
        access: Access,
        snapshot: Snapshot,
        *,
        lease_s: float = PhaseLimits().lease_s,
    ) -> None:
        """`code` is what workers load: an object of the run's store; `snapshot` is of the feed.

        Raises:
            ConfigError: there are no keys for workers where the reception has them.
        """
        self.limits = PhaseLimits(losses_max=HOST_LOSSES_MAX, lease_s=lease_s)
        self.reception = reception
        self.code = code
        keys = reception.worker_keys
        self.access = access if keys is None else with_keys_of(keys, access)
        self.snapshot = snapshot

    @property
    def memory_peak_bytes(self) -> int | None:
        """Nobody knows: the processes are on other machines."""
        return None

    def begin(self, plan: Plan, place: Place, epoch: int) -> None:
        """Do nothing yet."""

    def settle(
        self, plan: Plan, feed: Feed, tick: Callable[[float], None], deadline: float | None
    ) -> Plan:
        """Not called: boundaries are settled when a run is planned."""
        raise InternalError("a run for other machines has its boundaries in its plan")

    def work(self, duty: Duty) -> None:
        """Be the master of a run until it is published."""
        threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="pymr-store")
        mastery = _Mastery(duty, self, threads)
        try:
            with asyncio.Runner() as runner:
                _run_or_stop(runner.get_loop(), mastery)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            duty.journal.close()  # A thread may be at it yet, and nobody else may then.

    def close(self) -> None:
        """Do nothing: the workers have been told."""


def _run_or_stop(loop: asyncio.AbstractEventLoop, mastery: _Mastery) -> None:
    """Be the master; a signal ends it alone at first, so that its server still tells the workers.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    stops: list[KeyboardInterrupt] = []

    def stop(raised: KeyboardInterrupt) -> None:
        stops.append(raised)
        mastery.stopped = interruption(raised)
        task.cancel()

    with between_steps(loop, stop):
        task = loop.create_task(mastery.run())
        try:
            loop.run_until_complete(task)
        except (asyncio.CancelledError, PymrError):
            if not stops:
                raise
    if stops:
        raise stops[0]


async def tick_and_look(
    tick: Callable[[], None], look: Callable[[], None], threads: Executor
) -> None:
    """Call `tick` now and then, and `look` in a thread, one at a time, until one of them raises."""
    loop = asyncio.get_running_loop()
    looking = loop.run_in_executor(threads, look)
    try:
        while True:
            await asyncio.sleep(TICK_S)
            tick()
            if looking.done():
                looking.result()
                looking = loop.run_in_executor(threads, look)
    finally:  # The run has ended: what a look finds now is no news, and asyncio would print it.
        if not looking.cancel():
            looking.exception()


class _Mastery:
    """One master, from its start to its end, in one event loop."""

    def __init__(self, duty: Duty, crew: HostsCrew, threads: Executor) -> None:
        self._duty = duty
        self._reception = crew.reception
        self._code = crew.code
        self._access = crew.access
        self._snapshot = crew.snapshot
        self._admission = Admission(duty.plan.spec.run, crew.reception.secrets.tokens)
        self._gauges: Gauges | None = None
        self._threads = threads
        self.stopped: InterruptedRunError | None = None  # by a signal
        self._spec = duty.plan.spec
        self._store = duty.place.objects

    async def run(self) -> None:
        """Return when the run is published.

        Raises:
            PymrError: what the core aborted with, or the master met.
        """
        listen = self._duty.settings.metrics
        if listen is None:
            return await self._run()
        from pymr.cluster.metrics import measured

        with measured(listen) as self._gauges:
            await self._run()
        return None

    async def _run(self) -> None:
        duty = self._duty
        took = None if self._gauges is None else self._gauges.slots.observe
        decisions = Decisions(duty.journal, self._threads, took)
        master = Master(
            duty.job,
            inputs=duty.plan.inputs,
            tasks=duty.plan.tasks,
            epoch=duty.epoch,
            store=self._store,
            decisions=decisions,
            feed=duty.feed,
            threads=self._threads,
            publish=duty.publish,
        )
        try:
            OUTAGES.listen(self._outage_listener(master))
            master.watch(decisions.run(master.durable))
            master.watch(self._keep_time(master))
            await self._take_on(master)
            if not master.ended.done():
                await self._serve(master)
            await master.ended
        finally:
            OUTAGES.listen(None)
            await master.stop()

    def _outage_listener(self, master: Master) -> Listener:
        """Return what puts into the feed that this master waits for the store."""
        loop, said = asyncio.get_running_loop(), Said()

        def note(store: str, since: float | None, how: str) -> None:
            if (line := said.line(store, since, time.time(), how)) is not None:
                master.note(events.Warned(line, at_once=True))

        def heard(store: str, since: float | None, how: str) -> None:
            with suppress(RuntimeError):  # The loop has ended, and a thread still waits.
                loop.call_soon_threadsafe(note, store, since, how)

        return heard

    async def _take_on(self, master: Master) -> None:
        """Hand the core what earlier masters have committed."""
        duty = self._duty
        if duty.earlier is None:
            return
        check = verify_attempt  # What a store has told to be there is there, or is found missing.
        spread = spread_over(self._threads)
        told = kept(self._store, duty.earlier, duty.again, check, spread)
        while some := await self._in_thread(lambda: list(islice(told, TOLD_AT_ONCE))):
            for each in some:
                master.take_in(each)
            await master.flush()
        master.tick()

    async def _serve(self, master: Master) -> None:
        """Let workers in until the run is over, and tell them how it ended."""
        duty, reception = self._duty, self._reception
        authority = reception.secrets.open()
        where = reception.listen
        host = reception.listen.rpartition(":")[0].strip("[]")
        handler = MasterHandler(
            master,
            await self._terms(),
            read=self._read,
            detail=lambda: told_standing(
                self._snapshot, master.roster, output=str(duty.place), address=where
            ),
            cancel=lambda: master.fail(errors.cancelled_error("an operator")),
            explain=partial(with_memory_of_pods, settings=self._duty.settings),
        )
        server = Server(
            handler,
            self._admission,
            authority.certificate,
            authority.for_master(hosts_of(host)),
        )
        address = await server.start(reception.listen, run=self._spec.run, epoch=self._duty.epoch)
        where = str(HostPort(hosts_of(address.host)[0], address.port))
        farewell: m.Done | None = None
        duty.can_be_asked(where)
        try:
            reception.listening(address)
            attendance = Attendance(master, reception.workers, reception.worker_wait_s)
            master.watch(attendance.watch())
            await asyncio.shield(master.ended)
            farewell = m.Done(None)
        except BaseException as error:
            farewell = self._farewell(error)
            raise
        finally:
            for member in master.roster:
                if farewell is not None:
                    member.tell(farewell)
                member.close()
            await server.stop(FAREWELL_S)

    def _farewell(self, error: BaseException) -> m.Done | None:
        """Return what workers are told of the end of the run; None: they wait for another master.

        SIGTERM is for this process, which may be moved to another machine; Ctrl-C is for the run.
        """
        if isinstance(error, KeyboardInterrupt):
            self.stopped = interruption(error)
        if self.stopped is not None:
            is_moved = self.stopped.fields["signal"] != "SIGINT"
            return None if is_moved else m.Done(errors.to_dict(self.stopped))
        if isinstance(error, DeposedError | LostPartError):  # Another one goes on, or this anew.
            return None
        known = error if isinstance(error, PymrError) else InternalError("the master has failed")
        return m.Done(errors.to_dict(known))

    async def _keep_time(self, master: Master) -> None:
        """Tell the core and who watches the time, and look whether the run was cancelled."""

        def tick() -> None:
            master.tick()
            self._duty.tick(time.monotonic())
            if self._gauges is not None:
                store = getattr(self._store, "counts", None)
                refused = self._admission.refused
                self._gauges.beat(self._snapshot, master.roster, refused=refused, store=store)

        await tick_and_look(tick, self._duty.look, self._threads)

    async def _terms(self) -> Terms:
        duty, settings = self._duty, self._duty.settings
        return Terms(
            epoch=duty.epoch,
            lease_s=duty.limits.lease_s,
            root=str(duty.place),
            access=self._access,
            spec=await self._in_thread(self._spec_to_send),
            code=self._code,
            settings=m.WorkerSettings(
                is_watched=settings.task_timeout_s is not None,
                task_timeout_s=settings.task_timeout_s,
                task_memory_bytes=settings.task_memory_bytes,
                storage_wait_s=settings.storage_wait_s,
            ),
        )

    def _spec_to_send(self) -> JobSpec | Stored:
        body = msgspec.json.encode(self._spec)
        if len(body) <= m.TOLD_BYTES_MAX:
            return self._spec
        return put_stored(self._store, body, partial(names.told_key, self._spec.run))

    async def _read(self, stored: Stored) -> bytes:
        return await self._in_thread(partial(get_stored, self._store, stored))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
