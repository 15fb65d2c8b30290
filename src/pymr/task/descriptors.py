"""The descriptors of a task process: ours are out of user code's way, its standard ones a pipe.

User code closes descriptors that it has not opened (`os.closerange(3, 256)`, as daemons do), and
puts others in the place of 0, 1 and 2. Ours have high numbers, and children do not inherit them;
the standard ones are put back before each attempt, or the next file that is opened would have
their number.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import suppress

HIGH = 1000  # beyond what is closed by the way; a process may usually have 1,024 or more
HIGH_ROOM = 16  # of a lower limit, for ours
EXIT_CLOSED = 87  # of a task process whose pipes were closed in it


def move_up(descriptor: int) -> int:
    """Return a high number for `descriptor`, which is closed; children do not inherit it."""
    high = copy_up(descriptor)
    os.close(descriptor)
    return high


def copy_up(descriptor: int) -> int:
    """Return a second, high number for `descriptor`, which children do not inherit."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = HIGH if limit == resource.RLIM_INFINITY else min(HIGH, max(3, limit - HIGH_ROOM))
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


class StandardDescriptors:
    """Standard input, which is empty, and the pipe that takes what is printed."""

    def __init__(self) -> None:
        nothing, self.prints = copy_up(0), copy_up(1)  # the pipe that takes what is printed
        self._standard = ((0, nothing), (1, self.prints), (2, self.prints))
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        for stream in self._streams[1:]:
            # A line is seen also if the process ends without a word; no text is refused.
            stream.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )

    def restore(self) -> None:
        """Put them back, whatever user code has done to them."""
        sys.stdin, sys.stdout, sys.stderr = self._streams
        for descriptor, copy in self._standard:
            with suppress(OSError):  # Closed: then a pipe of ours was, too.
                os.dup2(copy, descriptor)

    def flush(self) -> None:
        """Write what was printed, so that it comes before what is reported next."""
        from pymr._native import flush_c_streams

        for stream in (sys.stdout, sys.stderr, *self._streams[1:]):
            with suppress(BaseException):  # It may be anything.
                stream.flush()
        flush_c_streams()


def is_closed(error: BaseException | None) -> bool:
    """Say whether an error comes from a descriptor that was closed under our hands."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            return True
        error = error.__cause__ or error.__context__
    return False
