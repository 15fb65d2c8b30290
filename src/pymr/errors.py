"""Every error PyMR raises, with its exit code and whether trying again can help.

    PymrError                       exit  retryable
    ├── UserCodeError                  1         the mapper, reducer, combiner … raised
    ├── BadRecordsError                1         the mapper raised for too many records
    ├── ConfigError                    2         a flag, setting or call is wrong
    │   └── WorkerFileError            2         worker.py cannot be used
    ├── InputError                     3         an input cannot be read as asked
    │   ├── InputDeviceError           3    yes  … since its disk failed
    │   └── RecordError                3         … at a known place of a known file
    ├── OutputError                    4         the output exists, or is claimed
    │   └── RunNotFoundError           4         no such run
    ├── StoreError                     5         the store said no
    │   ├── ObjectExistsError          5         put-if-absent found the object there
    │   ├── ObjectMissingError         5         no object under that key
    │   ├── ObjectChangedError         5         the object is not as it was read
    │   ├── UnsafeStoreError           5         the store does not do what a run relies on
    │   └── StoreUnavailableError      5    yes  the store did not answer
    ├── ResourceError                  6    yes  out of disk, memory or quota
    │   ├── TaskMemoryError            6    yes  … a task: it is tried once more, alone
    │   └── StoreFullError             6         … the store, for everybody
    ├── IntegrityError                 7         corrupt data, or books that do not balance
    │   └── CorruptDataError           7    yes  a checksum differs: read or make it again
    │       └── LostPartError          7    yes  a part is gone that was committed: make it again
    ├── ClusterError                   8         the cluster cannot run the job
    │   ├── UnreachableError           8    yes  the other side does not answer
    │   ├── RefusedError               8         … does not let this one in
    │   ├── ProtocolError              8         … speaks another protocol, or another version
    │   └── UnknownWorkerError         8    yes  … does not know this worker: it registers again
    ├── TimeoutReachedError            9         `--timeout`
    ├── IncompleteError               10         stopped before the end
    │   └── DeposedError              10         … since another process has taken the run on
    ├── TaskLostError                  1    yes  a task process ended without a report
    ├── InterruptedRunError          130         a signal stopped the run (143: SIGTERM)
    └── InternalError                 70         a bug of ours

An error crosses a process border as a dict (`to_dict`) and comes back as the same class
with the same fields (`from_dict`). It is turned into text at the last border only.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PymrError(Exception):
    """The base of all errors of PyMR.

    `message` says what happened, to what, the value seen and what was expected.
    `hint` is a command or setting the user can type. `fields` are plain values (str, int,
    float, bool, None, and lists and dicts of them) that the renderer and tests read.
    """

    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_dict, (to_dict(self),))


class UserCodeError(PymrError):
    """Code of the user raised, or broke the contract of its call.

    Fields: `function` (mapper, reducer, …), `error_type`, `frames` (a list of
    `{file, line, function, source}`, the user's own only), and where it is known the
    record: `input`, `offset`, `line`, `record` (escaped, at most 200 bytes), or `key`.
    """

    exit_code = 1


class BadRecordsError(PymrError):
    """The mapper raised for more records than may be left out.

    Fields: `bad_records` of `records` seen, `setting`: a flag that would bear them (None: there is
    none), and maybe `examples`: some of them, as `_bad/` has them.
    """

    exit_code = 1


class ConfigError(PymrError):
    """A flag, a setting or a call is wrong; nothing was started."""

    exit_code = 2


class WorkerFileError(ConfigError):
    """`worker.py` cannot be imported, or does not define a job that can run."""


class InputError(PymrError):
    """An input cannot be read as asked."""

    exit_code = 3


class InputDeviceError(InputError):
    """The disk of an input failed to give it; it may at the next try. Field: `input`."""

    retryable = True


class RecordError(InputError):
    """A record of an input cannot be read. Fields: `input`, `offset`, and `line` if known."""


class OutputError(PymrError):
    """The output exists, is claimed by another run, or cannot be written."""

    exit_code = 4


class RunNotFoundError(OutputError):
    """No run has that name, id or output."""


class StoreError(PymrError):
    """The object store refused or failed. Field: `key`."""

    exit_code = 5


class ObjectExistsError(StoreError):
    """The key exists; its bytes are as they were."""


class ObjectMissingError(StoreError):
    """No object has that key."""


class ObjectChangedError(StoreError):
    """The object is gone, or not as it was read; it was left as it is."""


class UnsafeStoreError(StoreError):
    """The store does not do what a run relies on: of two that create an object both have."""


class StoreUnavailableError(StoreError):
    """The store did not answer; the same call may succeed later."""

    retryable = True


class ResourceError(PymrError):
    """Out of disk, memory, file descriptors or quota."""

    exit_code = 6
    retryable = True


class TaskMemoryError(ResourceError):
    """A task needs more memory than it has.

    Fields: `used_bytes` (the most that was seen) and `had_bytes`; of a MemoryError those of a
    UserCodeError.
    """


class StoreFullError(ResourceError):
    """The object store has no room left, or none for this account. Field: `key`."""

    retryable = False


class IntegrityError(PymrError):
    """Data is corrupt, or the books do not balance. Nothing was published."""

    exit_code = 7


class CorruptDataError(IntegrityError):
    """A checksum differs. Fields: `path` or `key`, and `offset`."""

    retryable = True


class LostPartError(CorruptDataError):
    """A part that was committed is not there in full; nothing was published. Field: `key`."""


class ClusterError(PymrError):
    """The cluster cannot run the job."""

    exit_code = 8


class UnreachableError(ClusterError):
    """The other side does not answer; it may later. Field: `address`."""

    retryable = True


class RefusedError(ClusterError):
    """The other side does not let this one in: token, certificate or role are not right."""


class ProtocolError(ClusterError):
    """The other side speaks another protocol, or has another version."""


class UnknownWorkerError(ClusterError):
    """The master does not know this worker in its epoch: it must register again."""

    retryable = True


class TimeoutReachedError(PymrError):
    """`--timeout` was reached before the run was done."""

    exit_code = 9


class IncompleteError(PymrError):
    """The run stopped before its end."""

    exit_code = 10


class DeposedError(IncompleteError):
    """Another process has taken the run on: nothing of this one counts. Field: `epoch`."""


class TaskLostError(PymrError):
    """A task process ended without a report. Fields: `reason`, `returncode`."""

    exit_code = 1
    retryable = True


class InterruptedRunError(PymrError):
    """A signal stopped the run. Field: `signal`."""

    exit_code = 130


def cancelled_error(by: str) -> InterruptedRunError:
    """Return what a run ends with that was cancelled `by` somebody."""
    return InterruptedRunError(f"cancelled by {by}", signal="SIGTERM", is_cancelled=True)


class InternalError(PymrError):
    """A bug of PyMR."""


def to_dict(error: PymrError) -> dict[str, Any]:
    """Return `error` as plain values, for a pipe, a message or the journal."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "fields": error.fields,
    }


def from_dict(data: dict[str, Any]) -> PymrError:
    """Return the error that `to_dict` described: same class, message, hint and fields."""
    classes = {cls.__name__: cls for cls in _tree(PymrError)}
    error_class = classes.get(data["type"], InternalError)
    return error_class(data["message"], hint=data.get("hint"), **data.get("fields", {}))


def _tree(root: type[PymrError]) -> list[type[PymrError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]
