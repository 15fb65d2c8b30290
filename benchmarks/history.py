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

from contest import Measure, Times

HISTORY = Path(__file__).parent / "history"


def append(measure: Measure, times: list[Times], command: str) -> Path:
    """Append what was measured, where and with what; return the file."""
    path = HISTORY / f"{measure.name}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(_entry(measure, times, command)) + "\n")
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


def _entry(measure: Measure, times: list[Times], command: str) -> dict[str, Any]:
    first = times[0]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "measure": measure.name,
        "about": measure.about,
        "command": command,
        "versions": versions(),
        "machine": machine(),
        "sides": [
            {
                "name": entry.side.name,
                "wall_s": [round(seconds, 4) for seconds in entry.wall],
                "cpu_s": [round(seconds, 4) for seconds in entry.cpu],
                "wall_ratio": round(entry.wall_ratio(first), 3),
                "cpu_ratio": round(entry.cpu_ratio(first), 3),
                "wall_max": entry.side.wall_max,
                "ratio_max": entry.side.ratio_max,
            }
            for entry in times
        ],
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
