"""The history of all measures: one JSON line a run, in `history/<measure>.jsonl`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contest import Figure, Result, Times

HISTORY = Path(__file__).parent / "history"


def append(result: Result, command: str) -> Path:
    """Append what was measured, where and with what; return the file."""
    path = HISTORY / f"{result.measure.name}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(_entry(result, command)) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Return what the machine is, and how busy it has been in the last minute."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return the versions of what was measured."""
    return {"pymr": version("pymr"), "commit": _commit(), "python": platform.python_version()}


def _entry(result: Result, command: str) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "measure": result.measure.name,
        "about": result.measure.about,
        "command": command,
        "versions": versions(),
        "machine": machine(),
        "sides": [_side(entry, result.times[0]) for entry in result.times],
        "figures": [_figure(figure, result) for figure in result.measure.figures],
    }


def _side(entry: Times, first: Times) -> dict[str, Any]:
    """Return all rounds of one side; what was not taken is left out."""
    middle, base = entry.middle(), first.middle()
    side: dict[str, Any] = {"name": entry.side.name}
    if middle.wall:
        side["wall_s"] = [round(seconds, 4) for seconds in entry.wall]
        side["cpu_s"] = [round(seconds, 4) for seconds in entry.cpu]
        side["wall_ratio"] = round(middle.wall / base.wall, 3)
        side["cpu_ratio"] = round(middle.cpu / base.cpu, 3)
    if middle.memory_mb:
        side["memory_mb"] = [round(run.memory_mb, 1) for run in entry.runs]
    if middle.instructions:
        side["instructions"] = [run.instructions for run in entry.runs]
    return side


def _figure(figure: Figure, result: Result) -> dict[str, Any]:
    low, high = result.spread(figure)
    return {
        "label": figure.label,
        "about": figure.about,
        "value": round(result.value(figure), 4),
        "min": round(low, 4),
        "max": round(high, 4),
        "unit": figure.unit,
        "limit": figure.limit,
        "at_least": figure.at_least,
        "full_size": figure.full_size,
        "reached": result.is_reached(figure),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown"


def _commit() -> str:
    """Return the commit that is checked out, with a `+` if files that matter differ from it."""
    root = HISTORY.parent.parent
    git = ["git", "-c", "safe.directory=*", "-C", str(root)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short=10", "HEAD"], text=True)
        differs = subprocess.check_output([*git, "status", "--short", "src", "rust"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("+" if differs else "")


def command_line() -> str:
    """Return the command that this process was started with."""
    return " ".join(["python", "benchmarks/run.py", *sys.argv[1:]])
