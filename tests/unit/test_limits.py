"""Every buffer, queue, retry and wait has a named limit with a unit: docs/reference/limits.md."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pymr.config import SETTINGS
from pymr.core.limit import PhaseLimits
from pymr.core.spec import Limits

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "check",
    "cluster",
    "cluster/wire",
    "config",
    "core",
    "kubernetes",
    "kubernetes/images",
    "kubernetes/objects",
    "records",
    "runner",
    "shuffle",
    "store",
    "task",
)
UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1}
LIMIT_NAME = re.compile(r"_?[A-Z_]+_(MAX|S)|[a-z_]+(_max|_bytes|_s)")
# How much a message shows bounds nothing that grows with the data.
OF_MESSAGES = re.compile(r"SHOWN|EXAMPLES|FRAMES|QUOTED|CHARS|CHARACTERS|blame\.RECORD")
# Lengths of a format, which its writer keeps to.
OF_FORMATS = re.compile(r"VARINT|_RECORD_BYTES_MAX")
# Which attempts are slow, how attempts are numbered, and what they may do: no limits.
NO_LIMITS = {"backup_after", "backup_ready", "attempt_first", "may_scan"}


def documented() -> dict[str, tuple[str, str]]:
    """Return value and setting of each limit on the page."""
    page = (ROOT / "docs/reference/limits.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (?:`(\w+)` )?\| .+ \|$", page, re.MULTILINE)
    assert len(rows) == len({row[0] for row in rows}), "a limit stands there twice"
    return {name: (value, setting) for name, value, setting in rows}


def fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the default of each field of a struct of limits."""
    found = {field.name: field.default for field in msgspec.structs.fields(struct)}
    return {name: default for name, default in found.items() if name not in NO_LIMITS}


def constants() -> dict[str, Any]:
    """Return the limits that are constants of a module."""
    found = {}
    package = ROOT / "src/pymr"
    paths = sorted(path for p in ("", *PACKAGES) for path in (package / p).glob("[a-z]*.py"))
    for path in paths:
        module = importlib.import_module(
            ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        )
        for node in ast.parse(path.read_bytes()).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else node
            target = target.target if isinstance(target, ast.AnnAssign) else target
            name = target.id if isinstance(target, ast.Name) else ""
            where = f"{path.stem}.{name}"
            if LIMIT_NAME.fullmatch(name) and not (
                OF_MESSAGES.search(where) or OF_FORMATS.search(where)
            ):
                value = found.setdefault(name, getattr(module, name))
                assert value == getattr(module, name), f"{where} is another limit elsewhere"
    return found


def limits() -> dict[str, Any]:
    """Return every limit of the code with its value."""
    return fields(Limits) | fields(PhaseLimits) | constants()


def test_every_limit_has_a_name_with_a_unit_and_a_default() -> None:
    """A size says bytes, a time says s, a count says max."""
    for name, default in limits().items():
        assert LIMIT_NAME.fullmatch(name), name
        assert isinstance(default, (int, float)), name
        assert default > 0, name


def test_the_page_has_every_limit_and_no_other() -> None:
    """A limit that no page tells is a surprise; a row without a limit is a lie."""
    assert sorted(documented()) == sorted(limits())


def test_the_page_tells_the_limits_as_they_are() -> None:
    """Number and unit."""
    for name, value in limits().items():
        number, _, unit = documented()[name][0].partition(" ")
        assert float(number) * UNITS[unit] == value, name
        assert (unit == "s") == name.lower().endswith("_s"), name
        assert (unit in ("", "s")) != ("bytes" in name.lower() or name == "GRID_STEP_MAX"), name


def test_the_page_names_settings_that_are() -> None:
    """What the user can type."""
    named = {setting for _, setting in documented().values() if setting}

    assert named <= {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_that_is_a_number_has_bounds_and_a_unit(setting: Any) -> None:
    """A size is in bytes and a time in seconds, which the field of `Settings` says."""
    unit = {"SIZE": "bytes", "TIME": "s"}.get(setting.kind.metavar)

    assert setting.unit == unit
    assert setting.field == (f"{setting.name}_{unit}" if unit else setting.name)
    if setting.kind.metavar in ("N", "SIZE", "TIME"):
        assert setting.kind.minimum is not None
        assert setting.kind.maximum is not None
