"""A signal ends what it is for, and no task of an event loop that has its turn."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pymr.cluster.stop_signal import between_steps


def refuse(number: int, _frame: object) -> None:
    """Raise as the command line does."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_task_that_has_its_turn_goes_on(number: signal.Signals) -> None:
    """The loop is told what the handler raises, between two steps."""
    told: list[str] = []
    heard = asyncio.Event()
    before = signal.signal(number, refuse)

    def stop(raised: KeyboardInterrupt) -> None:
        told.append(str(raised))
        heard.set()

    async def writes() -> str:
        os.kill(os.getpid(), number)
        told.append("it goes on")
        await heard.wait()
        return "written"

    try:
        with asyncio.Runner() as runner, between_steps(runner.get_loop(), stop):
            assert runner.get_loop().run_until_complete(writes()) == "written"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)

    assert told == ["it goes on", number.name]


def test_a_signal_that_nobody_handles_stays_as_it_is() -> None:
    """`nohup` ignores one, and so does what it has started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with (
            asyncio.Runner() as runner,
            between_steps(runner.get_loop(), lambda _: pytest.fail("it is ignored")),
        ):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
