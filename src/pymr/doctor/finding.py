"""A finding: one thing that was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from pymr.errors import ClusterError, ConfigError, PymrError, ResourceError, StoreError

Level = Literal["ok", "warning", "broken"]

# Worst first: nothing starts, nothing can be kept there, something may run out.
WORST_FIRST: tuple[type[PymrError], ...] = (
    ConfigError,
    ClusterError,
    StoreError,
    ResourceError,
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How one thing is. `exit_code` is that of a run that fails for it; 0 if none would."""

    area: str
    name: str
    level: Level
    text: str
    remedy: str | None = None
    exit_code: int = 0


class Area:
    """Makes the findings of one area."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ok(self, name: str, text: str) -> Finding:
        """Return a finding that is as it should be."""
        return Finding(area=self.name, name=name, level="ok", text=text)

    def warning(self, name: str, text: str, remedy: str | None) -> Finding:
        """Return a finding with which a run may end, or may be slower or less safe."""
        return Finding(area=self.name, name=name, level="warning", text=text, remedy=remedy)

    def broken(
        self, name: str, text: str, remedy: str | None, error: type[PymrError] = ConfigError
    ) -> Finding:
        """Return a finding with which every run ends, by an error of the class."""
        return Finding(
            area=self.name,
            name=name,
            level="broken",
            text=text,
            remedy=remedy,
            exit_code=error.exit_code,
        )


def worst_error(findings: Iterable[Finding]) -> PymrError | None:
    """Return the error that stands for all that is broken; None if nothing is."""
    broken = [finding for finding in findings if finding.level == "broken"]
    for error_class in WORST_FIRST:
        for finding in broken:
            if finding.exit_code == error_class.exit_code:
                return error_class(f"{finding.area}: {finding.text}", hint=finding.remedy)
    assert not broken, "an exit code that WORST_FIRST does not know"
    return None
