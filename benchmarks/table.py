"""What was measured as text: a table of all sides, then each figure beside its target."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from contest import Figure, Result, Times

HEAD = ("", "wall s", "min-max", "CPU s", "wall ratio", "CPU ratio", "runs")
FIGURES_HEAD = ("", "", "found", "min-max", "target", "")
Row = tuple[str, ...]


def render(results: list[Result]) -> str:
    """Return the tables: medians, with the lowest and highest of the rounds."""
    sides: list[Row] = [HEAD]
    figures: list[Row] = [FIGURES_HEAD]
    for result in results:
        timed = [entry for entry in result.times if any(entry.wall)]
        if timed:
            sides.append((result.measure.about,))
            sides.extend(_side(entry, timed[0]) for entry in timed)
        sides.extend((f"  skipped: {reason}",) for reason in result.measure.skipped)
        figures.append((result.measure.about,))
        figures.extend(_figure(figure, result) for figure in result.measure.figures)
    return f"{_aligned(sides)}\n\n{_aligned(figures, left=(0, 1, 5))}"


def _side(entry: Times, first: Times) -> Row:
    middle, base = entry.middle(), first.middle()
    return (
        f"  {entry.side.name}",
        f"{middle.wall:.3f}",
        f"{min(entry.wall):.3f}-{max(entry.wall):.3f}",
        f"{middle.cpu:.3f}",
        f"{middle.wall / base.wall:.2f}",
        f"{median(entry.cpu) / base.cpu:.2f}",
        f"{len(entry.runs)}",
    )


def _figure(figure: Figure, result: Result) -> Row:
    low, high = result.spread(figure)
    return (
        f"  {figure.label}",
        figure.about,
        f"{_number(result.value(figure))} {figure.unit}".rstrip(),
        f"{_number(low)}-{_number(high)}",
        _target(figure),
        _verdict(figure, reached=result.is_reached(figure)),
    )


def _target(figure: Figure) -> str:
    if figure.limit is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {_number(figure.limit)} {figure.unit}"


def _verdict(figure: Figure, *, reached: bool | None) -> str:
    if reached is None:
        return ""
    word = "reached" if reached else "not reached"
    return word if figure.full_size else f"{word}, at a smaller size"


def _number(value: float) -> str:
    """Return about three digits, and all of a large number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _aligned(rows: list[Row], left: tuple[int, ...] = (0,)) -> str:
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return "\n".join(_line(row, widths, left) for row in rows)


def _line(row: Row, widths: list[int], left: tuple[int, ...]) -> str:
    if len(row) < len(widths):
        return row[0]
    return "  ".join(_cells(row, widths, left)).rstrip()


def _cells(row: Row, widths: list[int], left: tuple[int, ...]) -> Iterator[str]:
    for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if at in left else cell.rjust(width)
