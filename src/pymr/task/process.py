"""The task process: a child that loads the user's code once and runs attempts, one by one.

It is started by `subprocess` (never forked), talks over two inherited pipes, has /dev/null
as standard input, and dies with its parent. Ending without a report is how it fails.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pymr import errors, failpoint
from pymr.core.spec import Attempt, AttemptSpec, JobSpec, Receipt, SampleWork
from pymr.errors import PymrError
from pymr.memory_use import pages_of
from pymr.task import channel, forked

if TYPE_CHECKING:
    from pymr.api import Job
    from pymr.core.trial import MapTrialWork, ReduceTrialWork
    from pymr.store.base import ObjectStore
    from pymr.task.trial import Trial


def main(requests_fd: int, replies_fd: int, parent: int) -> None:
    """Serve one runner, the process `parent`, until its end of the pipe is closed."""
    from pymr._native import die_with_parent, keep_little_memory

    die_with_parent()
    if os.getppid() != parent:
        return  # It has ended already, and no signal will come.
    keep_little_memory()
    sys.set_int_max_str_digits(0)  # an int of 5,000 digits is data, not an attack
    process = _TaskProcess(replies_fd)
    os.register_at_fork(after_in_child=forked.mark)
    try:
        for request in channel.read_requests(requests_fd):
            process.handle(request)
    except BrokenPipeError:
        return  # The runner is gone; nobody is left to tell.


class _TaskProcess:
    """The state of a task process: the job it loaded, the run it works for."""

    def __init__(self, replies_fd: int) -> None:
        self._replies_fd = replies_fd
        self._job: Job | None = None
        self._spec: JobSpec | None = None
        self._store: ObjectStore | None = None
        self._trial: Trial | None = None

    def handle(self, request: channel.ToProcess) -> None:
        match request:
            case channel.Load(code):
                from pymr.task.user_code import load_job

                failpoint.hit("task.load")
                try:
                    self._job, shape = load_job(code)
                except PymrError as error:
                    self._reply(channel.LoadFailed(errors.to_dict(error)))
                else:
                    self._reply(channel.Loaded(shape, pages_of()))
            case channel.Sample(spec, work):
                self._sample(spec, work)
            case channel.Begin(spec, root):
                from pymr.store.local import LocalStore

                self._spec = spec
                self._store = LocalStore(root)
            case channel.Run(attempt):
                self._run(attempt)
            case channel.Try(work):
                self._try(work)

    def _sample(self, spec: JobSpec, work: SampleWork) -> None:
        from pymr.task.sample import sample_keys

        assert self._job is not None, "Load comes before Sample"
        try:
            sample = sample_keys(self._job, spec, work)
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

        def progress(bytes_in: int, records_in: int) -> None:
            self._reply(channel.Progressed(attempt.attempt, bytes_in, records_in))

        try:
            receipt: Receipt = run_attempt(job, spec, attempt, store, progress)
        except BrokenPipeError:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._reply(_failed(attempt.attempt, _typed(error)))
        else:
            failpoint.hit("attempt.manifest")
            self._reply(channel.Finished(receipt))
            failpoint.hit("attempt.reported")
        trim_memory()  # Others may need it more than the next attempt here.

    def _try(self, work: MapTrialWork | ReduceTrialWork) -> None:
        from pymr.task.trial import Trial

        job, spec = self._job, self._spec
        assert job is not None, "Load comes before Try"
        assert spec is not None, "Begin comes before Try"
        self._trial = self._trial or Trial(job, spec)
        try:
            trial = self._trial.run(work)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._reply(channel.TryFailed(errors.to_dict(_typed(error))))
        else:
            self._reply(channel.Tried(trial))

    def _reply(self, message: channel.Message) -> None:
        channel.write_all(self._replies_fd, channel.frame(message))


def _typed(error: BaseException) -> PymrError:
    """Return `error` as one of ours; what is not yet ours is a bug or the machine's limit."""
    if isinstance(error, PymrError):
        return error
    if isinstance(error, MemoryError):
        return errors.ResourceError("a task ran out of memory", hint="lower --workers")
    import traceback

    text = "".join(traceback.format_exception(error))
    return errors.InternalError(f"{type(error).__name__}: {error}", traceback=text)


def _failed(attempt: Attempt, error: PymrError) -> channel.Failed:
    fields = error.fields
    place = (fields.get("input"), fields.get("offset"), fields.get("key"))
    signature = f"{type(error).__name__} {error.message} {place}"
    return channel.Failed(attempt, errors.to_dict(error), error.retryable, signature)
