"""The table of what was measured: medians, ratios with their spread, and what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from contest import Measure, Times

HEAD = ("", "wall s", "min-max", "CPU s", "wall ratio", "min-max", "CPU ratio", "target", "")


def render(results: list[tuple[Measure, list[Times]]]) -> str:
    """Return a table of all results: a row for each side, medians unless it says otherwise."""
    rows: list[tuple[str, ...]] = [HEAD]
    for measure, times in results:
        rows.append((f"{measure.about}, {len(times[0].runs)} rounds",))
        rows.extend(_row(entry, times[0]) for entry in times)
    widths = [max(map(len, column)) for column in zip(*_full(rows), strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _full(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows that have all columns."""
    return (row for row in rows if len(row) == len(HEAD))


def _row(entry: Times, first: Times) -> tuple[str, ...]:
    low, high = entry.ratio_spread(first)
    target, verdict = _verdict(entry, first)
    return (
        f"  {entry.side.name}",
        f"{median(entry.wall):.3f}",
        f"{min(entry.wall):.3f}-{max(entry.wall):.3f}",
        f"{median(entry.cpu):.3f}",
        f"{entry.wall_ratio(first):.2f}",
        f"{low:.2f}-{high:.2f}",
        f"{entry.cpu_ratio(first):.2f}",
        target,
        verdict,
    )


def _verdict(entry: Times, first: Times) -> tuple[str, str]:
    """Return the target of a side, and whether it is reached."""
    side = entry.side
    if side.wall_max is not None:
        reached = median(entry.wall) <= side.wall_max
        return f"{side.wall_max} s", "reached" if reached else "not reached"
    if side.ratio_max is not None:
        reached = entry.wall_ratio(first) <= side.ratio_max
        return f"ratio {side.ratio_max}", "reached" if reached else "not reached"
    return "", ""


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    if len(row) < len(widths):
        return row[0]
    name, *cells, target, verdict = row
    numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False)]
    return "  ".join([name.ljust(widths[0]), *numbers, target.rjust(widths[-2]), verdict]).rstrip()
