"""What becomes of attempts that workers have finished: who asks waits here for the answer."""

from __future__ import annotations

import asyncio
from typing import Any

from pymr.cluster.message import CompletionReply, Verdict
from pymr.core.job import Job
from pymr.core.spec import Attempt

Fate = asyncio.Future[CompletionReply]


class Fates:
    """The attempts whose workers wait to be told, each asked for any number of times."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._open: dict[Attempt, list[Fate]] = {}

    def of(self, attempt: Attempt) -> Fate:
        """Return what will be the answer; a future of the caller's own, who may cancel it."""
        fate: Fate = asyncio.get_running_loop().create_future()
        self._open.setdefault(attempt, []).append(fate)
        return fate

    def settle(self, attempt: Attempt) -> None:
        """Answer, if the core has decided: by a commit, or since another attempt won."""
        if attempt not in self._open:
            return
        verdict = self._job.verdict(attempt)
        if verdict != "open":
            answer = Verdict.COMMITTED if verdict == "committed" else Verdict.STALE
            self._answer(attempt, CompletionReply(answer))

    def refuse(self, attempt: Attempt, error: dict[str, Any]) -> None:
        """Answer that the object is not what its receipt says."""
        self._answer(attempt, CompletionReply(Verdict.REFUSED, error))

    def _answer(self, attempt: Attempt, reply: CompletionReply) -> None:
        for fate in self._open.pop(attempt, ()):
            if not fate.done():
                fate.set_result(reply)
