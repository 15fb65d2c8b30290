"""Who asks what becomes of an attempt is told so when it is decided."""

from __future__ import annotations

import asyncio

import pytest

from core_samples import asked, attempt, job
from pymr.cluster.fate import Fates
from pymr.cluster.message import CompletionReply, Verdict
from pymr.errors import CorruptDataError, to_dict

REFUSAL = to_dict(CorruptDataError("it has 3 bytes, expected 4"))


def test_all_who_ask_for_one_attempt_are_told() -> None:
    """A worker that comes back asks again, while its first question still waits."""

    async def ask() -> list[CompletionReply]:
        fates = Fates(job())
        waiting = [fates.of(attempt()), fates.of(attempt())]
        fates.refuse(attempt(), REFUSAL)
        return await asyncio.gather(*waiting)

    assert asyncio.run(ask()) == [CompletionReply(Verdict.REFUSED, REFUSAL)] * 2


def test_one_who_gives_up_takes_the_answer_from_nobody() -> None:
    """Each has a future of its own, so to cancel one is to cancel that one."""

    async def ask() -> CompletionReply:
        fates = Fates(job())
        first, second = fates.of(attempt()), fates.of(attempt())
        first.cancel()
        fates.refuse(attempt(), REFUSAL)
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(ask()).verdict is Verdict.REFUSED


def test_what_is_open_is_not_answered() -> None:
    """Only a decision of the core is an answer; one that lost its lease is stale."""

    async def ask() -> tuple[bool, CompletionReply]:
        machine = job()
        machine.handle(asked())
        fates = Fates(machine)
        running, unknown = fates.of(attempt()), fates.of(attempt(1))
        fates.settle(attempt())
        fates.settle(attempt(1))
        return running.done(), await unknown

    assert asyncio.run(ask()) == (False, CompletionReply(Verdict.STALE))
