"""What a run shows under `--json`, however it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from pymr.cli.view import View
from pymr.config import resolve
from pymr.core.events import AnyEvent, Entry, RunFinished, Warned
from pymr.errors import ClusterError, to_dict
from pymr.task.manifest import Manifest

ERROR = ClusterError("the worker does not start: no room")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give signals back to those who had them: a view listens to some."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends_of(capfdbinary: pytest.CaptureFixture[bytes], *happened: AnyEvent) -> list[dict[str, Any]]:
    """Return the ends that a run tells, of which `happened` was told before it failed."""
    view = View(resolve({"json": True}, {}, "/nowhere", "/nowhere").settings)

    def work() -> Manifest | None:
        for number, event in enumerate(happened, start=1):
            view.entry(Entry(1, number, 0.0, event))
        raise ERROR

    assert view.show(work, adopts=False) == 8
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    return [line for line in lines if line["kind"] == "RunFinished"]


def test_the_last_line_says_how_it_ended_also_where_no_event_did(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Whose pods do not start has no master that would tell."""
    (end,) = ends_of(capfdbinary, Warned("a"), Warned("b"))

    assert (end["seq"], end["error"]["message"]) == (3, ERROR.message)


def test_an_end_that_was_told_is_told_once(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """By the run itself."""
    (end,) = ends_of(capfdbinary, Warned("a"), RunFinished(to_dict(ERROR)))

    assert end["seq"] == 2
