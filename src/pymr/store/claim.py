"""Who owns an output: a lock, with a record for people.

The lock is `flock` on `OUT/_pymr/CLAIM`, and it alone is the truth: the kernel drops it when
its owner dies, however it dies, so an output is never blocked by a run that is gone. The
record in the file says who it is. The file is never removed: a lock on a file without a name
would guard nothing.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from typing import Final, Self

import msgspec

from pymr import failpoint
from pymr.errors import OutputError
from pymr.names import CLAIM
from pymr.store.disk import make_folder, translated
from pymr.text_form import show_path

GC: Final = "gc"  # `pymr gc` holds an output as if it were a run
_TRIES_MAX: Final = 1000  # as often as somebody who only looks may be in the way
_RECORD_WAIT_S: Final = 1.0  # for the winner to write its record, before the message
_RECORD_BYTES_MAX: Final = 64 << 10


class ClaimRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a claim, or held it last and died."""

    run: str
    name: str
    pid: int
    host: str
    started: float  # Unix seconds


class LocalClaim:
    """The claim of this process on an output, until `release` or the process's end."""

    def __init__(self, descriptor: int, record: ClaimRecord) -> None:
        self._descriptor = descriptor
        self.record = record

    @classmethod
    def take(cls, root: str, record: ClaimRecord) -> Self:
        """Claim the output `root` for `record`; its `_pymr` folder is made on demand.

        Of any number of processes and threads exactly one holds it. Child processes do not
        inherit it.

        Raises:
            OutputError: a living process holds it; the message and fields name its run.
            ResourceError, StoreError: the file system refuses.
        """
        path = os.path.join(root, CLAIM)
        with translated("write", path, key=CLAIM):
            make_folder(os.path.dirname(path))
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, root)
                failpoint.hit("commit.claim")
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, msgspec.json.encode(record), 0)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor, record)

    def release(self) -> None:
        """Give the output up. May be called twice."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def read_claim(root: str) -> tuple[ClaimRecord | None, bool]:
    """Return who holds the output `root`, or died holding it, and whether it is held now.

    The record is None if nobody ever claimed it, or the last owner released it.
    """
    path = os.path.join(root, CLAIM)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None, False
    try:
        is_held = not _try_lock(descriptor, fcntl.LOCK_SH)
        return (_wait_for_record if is_held else _read_record)(descriptor), is_held
    finally:
        os.close(descriptor)


def _lock(descriptor: int, root: str) -> None:
    """Take the lock for writing, or raise that another process has it.

    Looking (`read_claim`) takes a shared lock for a moment, which is no reason to give up: a
    lock that can be shared has no owner.
    """
    for _ in range(_TRIES_MAX):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return
        if not _try_lock(descriptor, fcntl.LOCK_SH):
            break
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.001)  # who looks is gone by then
    raise claimed_error(root, _wait_for_record(descriptor))


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_record(descriptor: int) -> ClaimRecord | None:
    deadline = time.monotonic() + _RECORD_WAIT_S
    while True:
        record = _read_record(descriptor)
        if record or time.monotonic() > deadline:
            return record
        time.sleep(0.001)


def _read_record(descriptor: int) -> ClaimRecord | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, _RECORD_BYTES_MAX, 0), type=ClaimRecord)
    except msgspec.DecodeError:
        return None


def claimed_error(root: str, owner: ClaimRecord | None) -> OutputError:
    """Return the refusal of an output that a living run has."""
    place = show_path(root)
    if owner is None:
        return OutputError(f"output `{place}` is claimed by another run")
    age_s = max(0, round(time.time() - owner.started))
    # Its name may be another run's in this account.
    followed = f"pymr attach {shlex.quote(root)}   follows it"
    return OutputError(
        f"output `{place}` is claimed by run {owner.run}"
        f" (pid {owner.pid} on {owner.host}, started {age_s} s ago)",
        hint="wait for it" if owner.run == GC else followed,
        **msgspec.structs.asdict(owner),
    )
