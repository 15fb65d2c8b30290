"""Numbers for people: three digits are enough, units are decimal (1 GB is 10^9 bytes)."""

from __future__ import annotations

from collections.abc import Sequence

from pymr.config.value import spell_size

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("", " k", " M", " G", " T")
_MIB = 1 << 20
_EXACT_MAX = 100_000  # counts up to here are shown to the last digit


def show_size(size: float) -> str:
    """Return `18.4 GB`, `96 MB`, `512 B`."""
    number, unit = _scaled(size, _BYTE_UNITS)
    return f"{number} {unit}"


def show_size_of(done: float, total: float) -> str:
    """Return `13.1/18.4 GB`: both in the unit of the total."""
    number, unit = _scaled(total, _BYTE_UNITS)
    return f"{_digits(done / 1000 ** _BYTE_UNITS.index(unit))}/{number} {unit}"


def show_memory(peak_bytes: int, limit_bytes: int) -> str:
    """Return `326M of 512M`: in the units of `--memory`, whole ones, rounded up."""
    return f"{spell_size(-(-peak_bytes // _MIB) * _MIB)} of {spell_size(limit_bytes)}"


def show_count(number: float) -> str:
    """Return `412`, `12,345`, `3.9 M`."""
    if number < _EXACT_MAX:
        return f"{round(number):,}"
    return "".join(_scaled(number, _COUNT_UNITS))


def show_many(number: int, thing: str) -> str:
    """Return `1 file`, `412 files`."""
    return f"{show_count(number)} {thing}{'' if number == 1 else 's'}"


def show_kept(maps: int, map_tasks: int, reduces: int, reduce_tasks: int) -> str:
    """Return `61 of 64 map tasks are finished and kept`, with reduce tasks once there are any."""
    text = f"{show_count(maps)} of {show_many(map_tasks, 'map task')}"
    if reduces:
        text += f" and {show_count(reduces)} of {show_many(reduce_tasks, 'reduce task')}"
    is_one = map_tasks == 1 and not reduces
    return f"{text} {'is' if is_one else 'are'} finished and kept"


def show_duration(seconds: float) -> str:
    """Return `0:58`, `2:05:09`: (hours,) minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def show_elapsed(seconds: float) -> str:
    """Return `0.4 s` where minutes and seconds would say nothing, else `0:58`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else show_duration(seconds)  # noqa: PLR2004


def show_percent(part: float, whole: float) -> str:
    """Return `11 %`; 100 % only for the whole."""
    percent = int(100 * part / whole) if whole else 100
    return f"{percent} %"


def _scaled(number: float, units: Sequence[str]) -> tuple[str, str]:
    index = 0
    while number >= 999.5 and index < len(units) - 1:  # noqa: PLR2004 - would show as 1000
        number /= 1000
        index += 1
    return _digits(number), units[index]


def _digits(number: float) -> str:
    """Return three digits, without a useless `.0`."""
    if number >= 99.95:  # noqa: PLR2004 - would show as 100.0
        return str(round(number))
    return f"{number:.1f}".removesuffix(".0")
