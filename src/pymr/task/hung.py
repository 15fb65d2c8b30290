"""An attempt that makes no progress: how its process is asked where it is, and told to stop.

    STACKS_SIGNAL        the stacks of all threads are written to the prints, by C code: it works
                       where nothing else does, as when a call into C holds the interpreter
    INTERRUPT_SIGNAL   HungError is raised where user code is, if the interpreter comes by

So an endless loop fails as any other code does, with its record and its frames. What hears
neither is killed by the runner, who has the stacks.
"""

from __future__ import annotations

import signal
from types import FrameType

# The last real-time signals but three, which nobody else uses; the one after them tells a
# process that its parent has ended.
STACKS_SIGNAL = signal.SIGRTMAX - 4
INTERRUPT_SIGNAL = signal.SIGRTMAX - 5


class HungError(BaseException):
    """The attempt has made no progress for too long; user code that catches it is killed."""


class Interruption:
    """Raises HungError in this thread, while that is allowed."""

    def __init__(self) -> None:
        self.is_allowed = False

    def listen(self, prints: int) -> None:
        """Wait for both signals, and have the stacks written too if the process crashes."""
        import faulthandler

        faulthandler.enable(prints)
        faulthandler.register(STACKS_SIGNAL, prints)
        signal.signal(INTERRUPT_SIGNAL, self._raise)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_allowed:
            self.is_allowed = False
            raise HungError
