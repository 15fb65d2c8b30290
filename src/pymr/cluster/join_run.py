"""`pymr worker`: one machine's part in a run, from its join file to the end.

join file ─► register ─► code from the store, loaded once ─► slots ─► attempts …
"""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from select import select
from types import FrameType
from typing import Final

import msgspec

import pymr
from pymr import errors
from pymr.cluster.client import Client
from pymr.cluster.join import JoinFile
from pymr.cluster.link import Link, Opened
from pymr.cluster.message import Done, Hello, Leaving, RegisterReply, RegisterRequest
from pymr.cluster.work_folder import work_folder
from pymr.cluster.worker import Worker
from pymr.config import this_machine
from pymr.core.budget import task_memory
from pymr.core.spec import JobSpec, Stored
from pymr.errors import PymrError
from pymr.runner.hang import HangWatch
from pymr.runner.pool import Pool
from pymr.runner.prints import Logs
from pymr.runner.slots import Slots
from pymr.store.place import Place, open_place
from pymr.task.bundle import get_code
from pymr.task.stored_object import get_stored

EXCUSE_S: Final = 10.0  # for a master to listen to why this worker cannot work
OWN_STORE_WAIT_S: Final = 5.0  # of this process; task processes wait as long as the run does
SAY_S: Final = 0.5  # for what was sent to be on its way, before the link is closed


def work_for(
    join: JoinFile,
    *,
    slots: int | None,
    tmp_dir: str | None,
    wait_s: float,
    say: Callable[[str], object],
) -> Done | signal.Signals | None:
    """Work for the run of a join file and return how that ended, or what told this worker to go.

    None: its master did.

    `say` is told what keeps this worker from its work, by any thread.

    Raises:
        UnreachableError: no master answered for `wait_s`.
        ResourceError: there is no room for its folder.
        PymrError: this machine cannot run the job.
    """
    wanted = slots or this_machine().cores
    client = Client(join, wait_s=wait_s, say=say)
    request = RegisterRequest(
        run=join.run,
        host=os.uname().nodename,
        pid=os.getpid(),
        pymr=pymr.__version__,
        python=platform.python_version(),
        slots=wanted,
    )
    with work_folder(tmp_dir) as folder, closing(Pool()) as pool:
        pool.warm_up()  # While the master is not there yet, or answers.
        joined = client.register(request)
        pool.name = joined.worker  # No other worker of the run has processes of that name.
        link = Link(client, request, joined)
        try:
            return _work(link, joined, pool, folder, wanted, say)
        finally:
            pool.close()
            link.close()


def _work(
    link: Link,
    joined: RegisterReply,
    pool: Pool,
    folder: str,
    wanted: int,
    say: Callable[[str], object],
) -> Done | signal.Signals | None:
    """Work in `wanted` slots until the run is over, or this worker has left."""
    # Whoever waits for the store longer than a lease lasts has lost what its slots run.
    access = msgspec.structs.replace(joined.access, storage_wait_s=OWN_STORE_WAIT_S)
    place = open_place(joined.root, access)
    worker = Worker(link, joined, place.objects, folder, say)
    try:
        spec = _ready(pool, place, joined, folder)
    except PymrError as error:
        _excuse(link, joined, error)
        raise
    pool.keep_prints(Logs(place, spec.run, joined.epoch, folder))
    settings, machine = joined.settings, this_machine()
    slots = Slots(
        worker,
        pool,
        wanted=wanted,
        spec=spec,
        root=joined.root,
        access=joined.access,
        memory=task_memory(settings.task_memory_bytes, machine.memory_bytes, 0, wanted),
        hangs=HangWatch(settings.task_timeout_s),
    )
    pool.watch(link.fileno())
    with _leaving_on_signals(worker) as told:
        try:
            return worker.run(slots) or next(iter(told), None)
        except PymrError as error:
            link.send(_leaving(error))  # As far as there is anybody to hear it.
            time.sleep(SAY_S)
            raise


def _ready(pool: Pool, place: Place, joined: RegisterReply, folder: str) -> JobSpec:
    """Load the code in a first task process, and return what the run is.

    Raises:
        WorkerFileError: it cannot be loaded here: a package is missing, for instance.
        PymrError: the store does not have it.
    """
    spec = joined.spec
    if isinstance(spec, Stored):
        spec = msgspec.json.decode(get_stored(place.objects, spec), type=JobSpec)
    code = get_code(place.objects, joined.code, os.path.join(folder, "code"))
    pool.start(code)
    shape = pool.wait_shape()
    if shape.digest != spec.shape.digest:
        raise errors.WorkerFileError(
            f"the code of the run is other here: its digest is `{shape.digest[:16]}`, expected"
            f" `{spec.shape.digest[:16]}`"
        )
    return spec


def _excuse(link: Link, joined: RegisterReply, error: PymrError) -> None:
    """Tell the master why this worker cannot work, as far as it listens."""
    until = time.monotonic() + EXCUSE_S
    while (left_s := until - time.monotonic()) > 0 and select([link], [], [], left_s)[0]:
        with suppress(PymrError):
            for arrival in link.receive():
                if isinstance(arrival, Opened):
                    link.send(Hello(joined.run, arrival.epoch, arrival.joined.worker))
                    link.send(_leaving(error))
                    time.sleep(SAY_S)
                    return


def _leaving(error: PymrError) -> Leaving:
    return Leaving(error.message, errors.to_dict(error))


@contextmanager
def _leaving_on_signals(worker: Worker) -> Iterator[list[signal.Signals]]:
    """Have the worker leave in order at a first signal, and at once at a second; yield them."""
    told: list[signal.Signals] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        told.append(signal.Signals(number))
        worker.leave(f"it was told to end ({signal.Signals(number).name})")

    before = {each: signal.signal(each, leave) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
