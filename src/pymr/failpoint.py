"""Places where the tests let things break, by name; nothing happens there otherwise.

One place at a time is armed from the environment, for all processes of a command, and breaks
once: at the n-th time that a process comes there, if the file `token` was not there yet.

    _PYMR_FAILPOINT="journal.append kill 3 /tmp/token"

    kill, stop     the process gets SIGKILL, SIGSTOP
    raise          an exception that nothing foresees
    ENOSPC, EIO    what the operating system says of a full, a broken disk
    short          a write takes half of the bytes
    slow           it takes a while

Laws: a place that is not armed costs a look at a global; each name stands in `POINTS` and at one
place in the code, or at one for outputs in folders and one for those in stores
(`tests/unit/test_failpoint.py`), and each is reached by the crash test
(`tests/fault/test_crash.py`), with each of its kinds; those of a master and a worker by theirs
(`tests/fault/test_hosts_crash.py`).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator
from time import sleep
from typing import Final, NamedTuple, TypeVar

Item = TypeVar("Item")
VARIABLE: Final = "_PYMR_FAILPOINT"
PAUSE: Final = 0.3  # seconds

_PROCESS: Final = ("kill", "stop", "raise", "slow")
_DISK: Final = (*_PROCESS, "ENOSPC", "EIO")
_WRITE: Final = (*_DISK, "short")

POINTS: Final[dict[str, tuple[str, ...]]] = {
    # In the process that was started.
    "folder.made": _DISK,
    "commit.claim": _DISK,
    "journal.append": _WRITE,
    "journal.sync": _DISK,
    "history.append": _DISK,
    "lease.grant": _PROCESS,
    "commit.verify": _PROCESS,
    "commit.decide": _PROCESS,
    "publish.manifest": _PROCESS,
    "publish.visible": _PROCESS,
    "publish.part": _PROCESS,
    "publish.success": _PROCESS,
    "publish.sync": _DISK,
    "publish.remove": _PROCESS,
    "run.tidy": _PROCESS,
    "resume.reopen": _DISK,
    "resume.keep": _PROCESS,
    # In task processes.
    "task.load": _PROCESS,
    "map.record": _PROCESS,
    "reduce.group": _PROCESS,
    "spill.write": _DISK,
    "object.write": _WRITE,
    "object.sync": _DISK,
    "object.link": _DISK,
    "object.linked": _DISK,
    "attempt.manifest": _PROCESS,
    "attempt.reported": _PROCESS,
    # In a master, and in a worker, of a run on other machines.
    "grant.sent": _PROCESS,
    "completion.received": _PROCESS,
    "slot.put": _PROCESS,
    "worker.granted": _PROCESS,
    "worker.reports": _PROCESS,
}


class _Armed(NamedTuple):
    name: str
    kind: str
    time: int  # counted from 1
    token: str


def _arm(text: str | None) -> _Armed | None:
    if not text:
        return None
    name, kind, time, token = text.split(maxsplit=3)
    assert kind in POINTS[name], f"{name} does not know {kind}"
    return _Armed(name, kind, int(time), token)


_armed: _Armed | None = _arm(os.environ.get(VARIABLE))
_passed = 0  # times that this process came to the armed place


def hit(name: str) -> None:
    """Break here, if the place is armed and its time has come.

    Raises:
        OSError: what a disk says.
        RuntimeError: what nothing foresees.
    """
    if _armed is not None and _armed.name == name and _is_due(_armed):
        _break(_armed)


def cut(name: str, data: memoryview) -> memoryview:
    """As `hit`, for a write: return what of `data` is to be written at once."""
    if _armed is None or _armed.name != name or not _is_due(_armed):
        return data
    if _armed.kind == "short":
        return data[: len(data) // 2]
    _break(_armed)
    return data


def each(name: str, items: Iterable[Item]) -> Iterable[Item]:
    """Return `items` as they are; armed, with a `hit` before each of them."""
    if _armed is None or _armed.name != name:
        return items
    return _hitting(name, items)


def _hitting(name: str, items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        hit(name)
        yield item


def _is_due(armed: _Armed) -> bool:
    global _passed  # noqa: PLW0603 - of the process, as the place is
    _passed += 1
    if _passed != armed.time:
        return False
    try:
        os.close(os.open(armed.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    os.write(2, f"fail-point {armed.name} {armed.kind}\n".encode())
    return True


def _break(armed: _Armed) -> None:
    match armed.kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "slow":
            sleep(PAUSE)
        case "raise":
            raise RuntimeError(f"fail-point {armed.name}")
        case kind:
            number = getattr(errno, kind)
            raise OSError(number, os.strerror(number))
