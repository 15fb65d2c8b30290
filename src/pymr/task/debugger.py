"""The Python debugger on user code in this process, and the part of a traceback that is the user's.

The debugger reads standard input and writes to standard output, as `python -m pdb` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from pymr.errors import PymrError
from pymr.task.blame import is_our_file, is_user_file


def raised_by_user(error: BaseException) -> BaseException:
    """Return the exception of user code that `error` came from, or itself."""
    cause = error.__cause__
    return cause if isinstance(error, PymrError) and cause is not None else error


def users_traceback(error: BaseException) -> TracebackType | None:
    """Return the traceback of `error` from the first frame of the user's on, without ours.

    Frames of libraries that the user's code called stay; None: no frame is the user's.
    """
    traceback = error.__traceback__
    while traceback is not None and not is_user_file(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    last = frame = traceback
    while frame is not None:
        if not is_our_file(frame.tb_frame.f_code.co_filename):
            last = frame
        frame = frame.tb_next
    if last is not None:
        last.tb_next = None
    return traceback


def debug_after(error: BaseException) -> None:
    """Open the debugger where `error` was raised, if a frame of the user's is there."""
    import pdb  # noqa: T100 - what the user has asked for

    traceback = users_traceback(error)
    if traceback is not None:
        pdb.post_mortem(traceback)


def debug_from(function: Callable[..., object] | None, run: Callable[[], object]) -> None:
    """Call `run` under the debugger, which opens at the first line of `function`.

    Raises:
        bdb.BdbQuit: the user has left it.
    """
    import pdb  # noqa: T100

    debugger = pdb.Pdb()
    debugger.reset()
    code = getattr(function, "__code__", None)
    if code is not None:  # Without a line of the user's, it opens nowhere.
        debugger.botframe = sys._getframe()  # noqa: SLF001 - what bdb.runcall does
        debugger.set_continue()
        debugger.set_break(
            code.co_filename, code.co_firstlineno, temporary=True, funcname=code.co_name
        )
    sys.settrace(debugger.trace_dispatch)
    try:
        run()
    finally:
        debugger.quitting = True
        sys.settrace(None)
