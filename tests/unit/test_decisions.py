"""Group commit: decisions are durable before anybody is told, and few puts are many decisions."""

from __future__ import annotations

import asyncio

import pytest

from core_samples import attempt, committed
from pymr.cluster.decisions import DEPOSED_LOOK_S, GROUP_MAX, Decisions
from pymr.core.events import Decision
from pymr.errors import DeposedError
from pymr.store.slot_journal import SlotJournal, SlotReader
from staged_run import memory_store
from virtual_time import Inline, after, run_virtually

MANY = GROUP_MAX + 10


class Writing:
    """Decisions that are written into a journal in memory."""

    def __init__(self) -> None:
        self.reader = SlotReader(memory_store(), "r", "memory")
        self.threads = Inline()
        self.decisions = Decisions(SlotJournal.create(self.reader, 1), self.threads)
        self.told: list[Decision] = []
        self.task = asyncio.create_task(self.decisions.run(self.told.append))

    def slots(self) -> list[int]:
        """Return how many records each slot of the journal has."""
        return [len(slot.records) for slot in self.reader.read()]


def test_decisions_that_come_together_are_one_slot() -> None:
    """Up to a limit; they are told in their order."""

    async def scene() -> None:
        writing = Writing()
        asked = [committed(attempt(task)) for task in range(MANY)]
        for decision in asked:
            writing.decisions.add(decision)
        await writing.decisions.flush()
        assert writing.told == asked
        assert writing.slots() == [GROUP_MAX, 10]

    run_virtually(scene())


def test_nobody_is_told_before_it_is_durable() -> None:
    """And what comes meanwhile goes into the next slot."""

    async def scene() -> None:
        writing = Writing()
        writing.threads.is_stuck = True
        writing.decisions.add(committed(attempt(0)))
        await after(5.0)
        writing.decisions.add(committed(attempt(1)))
        assert not writing.told
        writing.threads.go_on()
        await writing.decisions.flush()
        assert writing.slots() == [1, 1]

    run_virtually(scene())


def test_a_master_that_was_deposed_tells_nobody() -> None:
    """Its successor decides now."""

    async def scene() -> None:
        writing = Writing()
        other = SlotJournal.create(writing.reader, 2)
        other.append(b"{}")
        other.sync()
        writing.decisions.add(committed(attempt(0)))
        with pytest.raises(DeposedError):
            await writing.task
        assert not writing.told

    run_virtually(scene())


def test_a_master_that_decides_nothing_learns_that_it_was_deposed() -> None:
    """It would wait for its workers for ever: they are another's now."""

    async def scene() -> None:
        writing = Writing()
        await after(60.0)
        assert not writing.task.done()
        other = SlotJournal.create(writing.reader, 2)
        other.append(b"{}")
        other.sync()
        async with asyncio.timeout(2 * DEPOSED_LOOK_S):
            with pytest.raises(DeposedError):
                await writing.task

    run_virtually(scene())
