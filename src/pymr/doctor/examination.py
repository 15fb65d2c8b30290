"""What `pymr doctor` looks at, area by area, each a function of the same subject.

Another area (a store, a cluster) is another function in a list of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pymr.config import Settings, resolve
from pymr.doctor.finding import Area, Finding
from pymr.doctor.installation import examine_installation
from pymr.doctor.machine import examine_machine
from pymr.doctor.place import OUTPUT, TEMPORARY, examine_place, examine_registry
from pymr.errors import ConfigError
from pymr.runner.plan import OUTPUT_FOLDER, temporary_folder
from pymr.store.access import is_address


class Subject(NamedTuple):
    """The settings that a run here would have, or what is wrong with them."""

    settings: Settings
    warnings: tuple[str, ...] = ()
    error: ConfigError | None = None  # the settings are then the defaults


Examine = Callable[[Subject], Iterable[Finding]]


def subject_of(
    flags: Mapping[str, Any], environ: Mapping[str, str], cwd: str, home: str
) -> Subject:
    """Return what to examine; wrong settings are a finding like others."""
    try:
        resolved = resolve(flags, environ, cwd, home)
    except ConfigError as error:
        return Subject(resolve(flags, {}, "", "").settings, error=error)
    return Subject(resolved.settings, resolved.warnings)


def examine(subject: Subject, areas: Iterable[Examine]) -> list[Finding]:
    """Return the findings of all areas, in their order."""
    return [finding for area in areas for finding in area(subject)]


def _settings(subject: Subject) -> Iterator[Finding]:
    area = Area("settings")
    if subject.error is not None:
        yield area.broken("values", subject.error.message, subject.error.hint)
    for warning in subject.warnings:
        yield area.warning("values", warning, "pymr config")
    if subject.error is None and not subject.warnings:
        yield area.ok("values", "the environment and the TOML files hold no wrong value")


def _output(output: str) -> Iterator[Finding]:
    """Yield how the folder of an output is; one in a store has none."""
    if not is_address(output):
        yield from examine_place(output, OUTPUT)


THIS_MACHINE: tuple[Examine, ...] = (
    lambda _: examine_installation(),
    _settings,
    lambda subject: examine_machine(subject.settings),
    lambda subject: _output(subject.settings.output or OUTPUT_FOLDER),
    lambda subject: examine_place(temporary_folder(subject.settings), TEMPORARY),
    lambda _: examine_registry(),
)
