"""The task process: a child that loads the user's code once and runs attempts, one by one.

It is started by `subprocess` (never forked), talks over two inherited pipes, has /dev/null
as standard input and a pipe as standard output and error, and dies with its parent. Ending
without a report is how it fails.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from pymr import errors, failpoint
from pymr.core.spec import Attempt, AttemptSpec, Code, JobSpec, Receipt, SampleWork
from pymr.errors import PymrError, UserCodeError
from pymr.memory_use import pages_of
from pymr.store.access import AMBIENT, Access, open_store
from pymr.store.outage import OUTAGES
from pymr.task import channel, forked, huge_pages
from pymr.task.descriptors import EXIT_CLOSED, StandardDescriptors, is_closed, move_up
from pymr.task.hung import Interruption
from pymr.task.surroundings import PrivateModules, Surroundings

if TYPE_CHECKING:
    from pymr.api import Job
    from pymr.core.trial import MapTrialWork, ReduceTrialWork
    from pymr.store.base import ObjectStore
    from pymr.task.attempt import ProgressReport
    from pymr.task.trial import Trial

Done = TypeVar("Done")

_TRIAL = Attempt("map", 0, 1)  # stands for a trial, of which only progress is told
_OF_ATTEMPTS = ("pymr.store.local", "pymr.task.map_attempt", "pymr.task.reduce_attempt")


def main(requests_fd: int, replies_fd: int, parent: int) -> None:
    """Serve one runner, the process `parent`, until its end of the pipe is closed."""
    from pymr._native import adopt_orphans, die_with_parent, keep_little_memory

    die_with_parent()
    if os.getppid() != parent:
        return  # It has ended already, and no signal will come.
    huge_pages.hide(os.environ)
    adopt_orphans()  # What user code starts is ended with the attempt, whoever started that.
    keep_little_memory()
    sys.set_int_max_str_digits(0)  # an int of 5,000 digits is data, not an attack
    requests_fd, replies_fd = move_up(requests_fd), move_up(replies_fd)
    standard, interruption = StandardDescriptors(), Interruption()
    interruption.listen(standard.prints)
    process = _TaskProcess(replies_fd, standard, interruption)
    os.register_at_fork(after_in_child=forked.mark)
    try:
        for request in channel.read_requests(requests_fd):
            process.handle(request)
    except BrokenPipeError:
        return  # The runner is gone; nobody is left to tell.
    except OSError as error:
        if is_closed(error):
            os._exit(EXIT_CLOSED)
        raise


class _TaskProcess:
    """The state of a task process: the job it loaded, the run it works for."""

    def __init__(
        self, replies_fd: int, standard: StandardDescriptors, interruption: Interruption
    ) -> None:
        self._replies_fd = replies_fd
        self._sending = allocate_lock()  # Threads that wait for a store say so; few runs have any.
        self._standard = standard
        self._interruption = interruption
        self._modules = PrivateModules()
        self._surroundings: Surroundings | None = None  # as they were when the code was loaded
        self._job: Job | None = None
        self._spec: JobSpec | None = None
        self._store: ObjectStore | None = None
        self._access = AMBIENT  # opens the stores of inputs
        self._trial: Trial | None = None

    def handle(self, request: channel.ToProcess) -> None:
        self._standard.restore()
        if self._surroundings is not None:
            self._surroundings.restore()
            self._modules.give()
        match request:
            case channel.Load(code):
                self._load(code)
            case channel.Sample(spec, work, access):
                self._sample(spec, work, access)
            case channel.Begin(spec, root, is_watched, access):
                from pymr.task.attempt import Ticker

                Ticker.each_call = is_watched
                self._spec = spec
                self._store, self._access = open_store(root, access), access
                OUTAGES.listen(self._tell_outage)
            case channel.Run(attempt):
                self._run(attempt)
            case channel.Try(work):
                self._try(work)

    def _load(self, code: Code) -> None:
        from pymr.task.user_code import load_job

        failpoint.hit("task.load")
        _keep_folder()
        self._modules.give()
        try:
            self._job, shape = load_job(code)
        except PymrError as error:
            self._reply(channel.LoadFailed(errors.to_dict(error)))
            return
        self._standard.keep()
        self._surroundings = Surroundings()
        self._reply(channel.Loaded(shape, pages_of()))
        for name in _OF_ATTEMPTS:  # While the runner makes its plan.
            import_module(name)
        self._modules.give()

    def _sample(self, spec: JobSpec, work: SampleWork, access: Access) -> None:
        from pymr.task.sample import sample_keys

        assert self._job is not None, "Load comes before Sample"
        self._modules.give()
        try:
            sample = self._interruptible(partial(sample_keys, self._job, spec, work, access))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._reply(channel.SampleFailed(errors.to_dict(_typed(error))))
        else:
            self._reply(channel.Sampled(sample))

    def _run(self, attempt: AttemptSpec) -> None:
        from pymr._native import trim_memory
        from pymr.task.attempt import run_attempt

        job, spec, store = self._job, self._spec, self._store
        assert job is not None, "Load comes before Run"
        assert spec is not None, "Begin comes before Run"
        assert store is not None, "Begin comes before Run"
        progress = self._progress_of(attempt.attempt)
        try:
            receipt: Receipt = self._interruptible(
                partial(run_attempt, job, spec, attempt, store, progress, self._access)
            )
        except BrokenPipeError:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            left = channel.Left(self._end_strays())
            self._reply(_failed(attempt.attempt, _typed(error), left))
            trim_memory()
        else:
            failpoint.hit("attempt.manifest")
            trim_memory()  # Others may need it more than the next attempt here.
            pages = pages_of()
            left = channel.Left(self._end_strays(), pages.private if pages else None)
            self._reply(channel.Finished(receipt, left))
            failpoint.hit("attempt.reported")

    def _progress_of(self, attempt: Attempt) -> ProgressReport:
        """Return what tells the runner how far an attempt is."""

        def progress(bytes_in: int, records_in: int) -> None:
            self._send(channel.Progressed(attempt, bytes_in, records_in))

        return progress

    def _end_strays(self) -> int:
        assert self._surroundings is not None, "Load comes before Run"
        return self._surroundings.end_strays()

    def _interruptible(self, run: Callable[[], Done]) -> Done:
        """Do what may be interrupted; what is written to the runner afterwards may not."""
        self._interruption.is_allowed = True
        try:
            return run()
        finally:
            self._interruption.is_allowed = False

    def _try(self, work: MapTrialWork | ReduceTrialWork) -> None:
        from pymr.task.trial import Trial

        job, spec = self._job, self._spec
        assert job is not None, "Load comes before Try"
        assert spec is not None, "Begin comes before Try"
        self._modules.give()
        self._trial = self._trial or Trial(job, spec, self._progress_of(_TRIAL), self._access)
        try:
            trial = self._interruptible(partial(self._trial.run, work))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._reply(channel.TryFailed(errors.to_dict(_typed(error))))
        else:
            self._reply(channel.Tried(trial))

    def _reply(self, message: channel.Message) -> None:
        self._standard.flush()
        self._send(message)

    def _send(self, message: channel.Message) -> None:
        with self._sending:
            channel.write_all(self._replies_fd, channel.frame(message))

    def _tell_outage(self, store: str, since: float | None, how: str) -> None:
        self._send(channel.StoreAway(store, since, how))


def _keep_folder() -> None:
    """Have inputs looked up in the folder as it is now, wherever user code goes."""
    from pymr.records import source

    with suppress(OSError):  # It was removed: then nothing is found there anyway.
        source.folder = move_up(os.open(".", os.O_RDONLY | os.O_DIRECTORY))


def _typed(error: BaseException) -> PymrError:
    """Return `error` as one of ours; what is not yet ours is a bug or the machine's limit."""
    if isinstance(error, UserCodeError):
        return error
    if is_closed(error):
        return UserCodeError(
            "a descriptor of the task was closed under its hands",
            hint="close only what your code has opened: no os.closerange",
        )
    if isinstance(error, PymrError):
        return error
    if not isinstance(error, Exception):  # Raised in our own frames: by a thread of user code.
        return UserCodeError(f"user code has ended its task by {type(error).__name__}")
    if isinstance(error, MemoryError):
        return errors.TaskMemoryError("it ran out of memory")
    import traceback

    text = ""
    with suppress(Exception):  # It calls what user code may have patched.
        text = "".join(traceback.format_exception(error))
    return errors.InternalError(f"{type(error).__name__}: {error}", traceback=text)


def _failed(attempt: Attempt, error: PymrError, left: channel.Left) -> channel.Failed:
    fields = error.fields
    place = (fields.get("input"), fields.get("offset"), fields.get("key"))
    signature = f"{type(error).__name__} {error.message} {place}"
    return channel.Failed(attempt, errors.to_dict(error), error.retryable, signature, left)
