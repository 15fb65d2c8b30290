"""Makes docs/reliability.md of docs/design/fault-rows.toml and the names of tests.

A test proves the rows whose ids are in its name: `test_f58_f60_…`, `test_b3_…`. The crash test
proves rows by the fail-points that it hits. `make docs` writes the page anew.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "design" / "fault-rows.toml"
PAGE = ROOT / "docs" / "reliability.md"
CRASH = "fault/test_crash.py"

_NAME = re.compile(r"test_((?:[fb]\d+_)+)")
_SECTIONS = {  # the first row of each
    "F1": "A worker process",
    "F24": "Network and control plane",
    "F36": "Object stores",
    "F57": "The process with the journal",
    "F70": "User code",
    "F92": "The command and its life",
    "F107": "Kubernetes",
    "B1": "Inputs",
    "B7": "Text",
    "B19": "Amounts, and files that change",
    "B36": "Compression and archives",
    "B48": "Records, keys and values",
    "B63": "Distribution and reducers",
    "B77": "Worker files, settings, addresses",
}


def table() -> dict[str, Any]:
    """Return the rows, and what is said about them."""
    with TABLE.open("rb") as file:
        return tomllib.load(file)


def sorted_ids(ids: set[str]) -> list[str]:
    """Return ids in the order F1 to F127, B1 to B94."""
    return sorted(ids, key=lambda row: (row[0] == "B", int(row[1:])))


def elsewhere(rows: dict[str, Any]) -> dict[str, str]:
    """Return the reason of each row that does not exist on one machine."""
    return {row: why for why, ids in rows["elsewhere"].items() for row in ids.split()}


@cache
def tests_by_row() -> dict[str, list[str]]:
    """Return `file::test` of each row; fail-points, too."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _test_names(path):
            if match := _NAME.match(name):
                for row in match[1].upper().split("_")[:-1]:
                    found[row].append(f"{path.relative_to(ROOT / 'tests')}::{name}")
    for row, points in table()["points"].items():
        found[row] += [f"{CRASH}::{point.replace(' ', '-')}" for point in points]
    return found


def _test_names(path: Path) -> Iterator[str]:
    yield from re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)


def page() -> str:
    """Return the text of docs/reliability.md."""
    rows = table()
    tests, reasons = tests_by_row(), elsewhere(rows)
    by_hand = rows["by_hand"]
    lines = [_head(rows, tests, reasons)]
    for row, (fault, expected) in rows["rows"].items():
        if row in _SECTIONS:
            lines += ["", f"## {_SECTIONS[row]}", ""]
            lines += ["| | what happens | what must hold | proved by |", "|---|---|---|---|"]
        told = _shown(tests.get(row, []))
        told += [f"not here: it is {reasons[row]}"] if row in reasons else []
        told += [f"by hand: {by_hand[row]}"] if row in by_hand else []
        lines.append(f"| {row} | {fault} | {expected} | {'<br>'.join(told or ['no test yet'])} |")
    lines += ["", "## Longer than a test", "", *rows["longer"].values()]
    return "\n".join(lines) + "\n"


def _shown(tests: list[str]) -> list[str]:
    """Return links to the files, each with its tests."""
    files = defaultdict(list)
    for test in tests:
        file, _, name = test.partition("::")
        short = name.removeprefix("test_") if file != CRASH else name
        files[file].append(f"`{_NAME.sub('', name) if _NAME.match(name) else short}`")
    return [f"[{file}](../tests/{file}): {', '.join(names)}" for file, names in files.items()]


def _head(rows: dict[str, Any], tests: dict[str, list[str]], reasons: dict[str, str]) -> str:
    here = [row for row in rows["rows"] if row not in reasons]
    proved = [row for row in here if tests.get(row)]
    why = "; ".join(f"where a row is *{name}*, {text}" for name, text in rows["reasons"].items())
    return f"""\
# Reliability

<!-- Made by tests/reliability.py of design/fault-rows.toml and the names of tests: make docs -->

Every way in which things break (F) and input is bad (B) that PyMR has an answer to, and the tests that hold it to that answer. {len(proved)} of the {len(here)} rows that exist on one machine have a test; {len(reasons)} of all {len(rows["rows"])} do not exist there: {why}.

In each row the same holds unless it says otherwise: the result is complete and has the bytes of an undisturbed run, or is not there; nothing named `part-*` is there that no manifest names; no process and no temporary file is left.

`tests/fault/test_crash.py` hits every [fail-point](../src/pymr/failpoint.py) with each of its kinds on the real command line, resumes, and compares bytes; the rows name those that prove them."""


def shrunk() -> str:
    """Return the table, its list `open` without rows that have a test by now."""
    rows, tests = table(), tests_by_row()
    left = " ".join(row for row in rows["open"]["rows"].split() if not tests.get(row))
    return TABLE.read_text("utf-8").replace(f'rows = "{rows["open"]["rows"]}"', f'rows = "{left}"')


if __name__ == "__main__":
    TABLE.write_text(shrunk(), "utf-8")
    PAGE.write_text(page(), "utf-8")
