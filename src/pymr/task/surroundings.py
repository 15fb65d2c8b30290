"""What user code may change of its process, put back for the next attempt.

Kept as it is when the worker was imported: what it did then holds for all of its attempts. What
an attempt changes is gone with it: current folder, umask, environment, signals, timers, the
interpreter's limits, and the processes that it has started and left. What it puts in the place
of functions of the standard library stays; our own modules do not see it.
"""

from __future__ import annotations

import builtins
import gc
import os
import signal
import sys
import time
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

from pymr.offspring import children_of

STRAY_GRACE_S = 0.1  # for processes that are about to end

# The modules that ours use by name, and user code is known to patch.
_PATCHED = (
    *("codecs", "fcntl", "genericpath", "hashlib", "heapq", "json", "math", "operator", "os"),
    *("posixpath", "re", "select", "signal", "stat", "struct", "time", "unicodedata"),
)


class Surroundings:
    """How the process is now."""

    def __init__(self) -> None:
        self._folder = _current_folder()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environ = dict(os.environ)
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._recursion = sys.getrecursionlimit()
        self._collects = gc.isenabled()
        self._children = frozenset(children_of())

    def restore(self) -> None:
        """Put everything back that has changed."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler and handler is not None:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        os.umask(self._umask)
        if self._folder is not None:
            with suppress(OSError):  # It was removed.
                os.chdir(self._folder)
        if os.environ != self._environ:
            os.environ.clear()
            os.environ.update(self._environ)
        sys.setrecursionlimit(self._recursion)
        sys.set_int_max_str_digits(0)  # an int of 5,000 digits is data, not an attack
        (gc.enable if self._collects else gc.disable)()

    def end_strays(self) -> int:
        """End the processes that were started since, and theirs; return how many still ran."""
        if not _has_children():
            return 0
        ended, until = 0, time.monotonic() + STRAY_GRACE_S
        while strays := set(children_of()) - self._children - _helpers():
            for pid in strays:
                if _is_over(pid):
                    continue
                with suppress(ProcessLookupError):
                    if _ends_by(pid, until):
                        continue
                    os.kill(pid, signal.SIGKILL)
                    ended += 1
            for pid in strays:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        return ended


class PrivateModules:
    """Copies of modules as they are now, for our own; user code cannot reach them by chance."""

    def __init__(self) -> None:
        originals = {name: sys.modules[name] for name in _PATCHED if name in sys.modules}
        self._copies = {name: _copy(module) for name, module in originals.items()}
        homes = {id(vars(originals[name])): vars(copy) for name, copy in self._copies.items()}
        for copy in self._copies.values():
            self._use(copy)
            _move(vars(copy), homes)
        self._open = builtins.open
        self._done: set[str] = set()

    def give(self) -> None:
        """Let our modules use them; those that were imported since the last time, too."""
        for name in sys.modules.keys() - self._done:
            if name.startswith("pymr."):
                self._use(sys.modules[name])
                vars(sys.modules[name]).setdefault("open", self._open)
        self._done |= sys.modules.keys()

    def _use(self, module: ModuleType) -> None:
        names: dict[str, Any] = vars(module)
        for name, value in list(names.items()):
            if isinstance(value, ModuleType) and value.__name__ in self._copies:
                names[name] = self._copies[value.__name__]


def _copy(module: ModuleType) -> ModuleType:
    copy = ModuleType(module.__name__)
    vars(copy).update(vars(module))
    return copy


def _move(names: dict[str, Any], homes: dict[int, dict[str, Any]]) -> None:
    """Let functions find what they call in the copy of their module, too."""
    for name, value in list(names.items()):
        if isinstance(value, FunctionType) and id(value.__globals__) in homes:
            home = homes[id(value.__globals__)]
            moved = FunctionType(
                value.__code__, home, value.__name__, value.__defaults__, value.__closure__
            )
            moved.__kwdefaults__ = value.__kwdefaults__
            names[name] = moved


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # It was removed.
        return None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _helpers() -> set[int | None]:
    """Return processes that `multiprocessing` starts once, and ends itself."""
    found: set[int | None] = set()
    for module, holder, field in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        found.add(getattr(getattr(sys.modules.get(module), holder, None), field, None))
    return found


def _is_over(pid: int) -> bool:
    """Reap a child that has ended; return whether it has."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # User code has waited for it.
        return True


def _ends_by(pid: int, until: float) -> bool:
    """Wait for the end of a child, but no longer than `until`; return whether it came."""
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # An old system, or no room for one more.
        return False
    try:
        return bool(select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0])
    finally:
        os.close(descriptor)
