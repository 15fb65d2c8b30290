"""How findings look: one line each, by area, with the remedy below."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from pymr.doctor.finding import Finding
from pymr.observe.quantity import show_many
from pymr.text_form import show_text

SIGNS = {"ok": "✓", "warning": "!", "broken": "✗"}


def finding_lines(findings: list[Finding]) -> Iterator[str]:
    """Yield the lines of all findings."""
    width = max((len(finding.name) for finding in findings), default=0)
    for area, members in groupby(findings, lambda finding: finding.area):
        yield area
        for finding in members:
            sign = SIGNS[finding.level]
            yield f"  {sign} {finding.name:<{width}}  {show_text(finding.text)}"
            if finding.remedy is not None:
                yield f"    {'':<{width}}  → {show_text(finding.remedy)}"


def verdict(findings: list[Finding], fine: str) -> str:
    """Return the line that sums up; `fine` is what to say where nothing is broken."""
    warnings = sum(finding.level == "warning" for finding in findings)
    noted = f", {show_many(warnings, 'warning')}" if warnings else ""
    if broken := sum(finding.level == "broken" for finding in findings):
        return f"✗ {show_many(broken, 'thing')} to mend first{noted}"
    return f"✓ {fine}{noted}"
