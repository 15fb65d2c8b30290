"""What `pymr doctor` looks at, area by area, each a function of the same subject.

Another area is another function in a list of its own (`kubernetes.examination`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pymr.config import Settings, resolve
from pymr.doctor.finding import Area, Finding
from pymr.doctor.installation import examine_installation
from pymr.doctor.machine import examine_machine
from pymr.doctor.place import OUTPUT, TEMPORARY, examine_place, examine_registry
from pymr.doctor.store import examine_store
from pymr.errors import ConfigError
from pymr.runner.plan import OUTPUT_FOLDER, temporary_folder
from pymr.store.access import is_address
from pymr.store.credentials import access_of


class Subject(NamedTuple):
    """The settings that a run here would have, or what is wrong with them."""

    settings: Settings
    warnings: tuple[str, ...] = ()
    error: ConfigError | None = None  # the settings are then the defaults
    environ: Mapping[str, str] = {}  # with the usual variables of stores
    home: str = ""
    given: frozenset[str] = frozenset()  # the settings that have no default's value


Examine = Callable[[Subject], Iterable[Finding]]


def subject_of(
    flags: Mapping[str, Any], environ: Mapping[str, str], cwd: str, home: str
) -> Subject:
    """Return what to examine; wrong settings are a finding like others."""
    try:
        resolved = resolve(flags, environ, cwd, home)
    except ConfigError as error:
        return Subject(resolve(flags, {}, "", "").settings, (), error, environ, home)
    given = frozenset(resolved.origins)
    return Subject(resolved.settings, resolved.warnings, None, environ, home, given)


def examine(subject: Subject, areas: Iterable[Examine]) -> list[Finding]:
    """Return the findings of all areas, in their order."""
    return [finding for area in areas for finding in area(subject)]


def examine_settings(subject: Subject) -> Iterator[Finding]:
    """Yield whether what the environment and files say can be."""
    area = Area("settings")
    if subject.error is not None:
        yield area.broken("values", subject.error.message, subject.error.hint)
    for warning in subject.warnings:
        yield area.warning("values", warning, "pymr config")
    if subject.error is None and not subject.warnings:
        yield area.ok("values", "the environment and the TOML files hold no wrong value")


def _output(subject: Subject) -> Iterator[Finding]:
    output = subject.settings.output or OUTPUT_FOLDER
    yield from _at(output, subject) if is_address(output) else examine_place(output, OUTPUT)


def examine_named_store(subject: Subject) -> Iterator[Finding]:
    """Yield how the store is that runs would be on; nothing, if none is named."""
    if subject.settings.store is not None:  # Else it was wrong, which is one of the settings'.
        yield from _at(subject.settings.store, subject)


def _at(address: str, subject: Subject) -> Iterator[Finding]:
    """Yield how the store at an address is."""
    try:
        access = access_of(subject.settings, subject.environ, subject.home)
    except ConfigError as error:
        yield Area("store").broken("access", error.message, error.hint)
        return
    yield from examine_store(address, access)


A_STORE: tuple[Examine, ...] = (examine_settings, examine_named_store)

THIS_MACHINE: tuple[Examine, ...] = (
    lambda _: examine_installation(),
    examine_settings,
    lambda subject: examine_machine(subject.settings),
    _output,
    lambda subject: examine_place(temporary_folder(subject.settings), TEMPORARY),
    lambda _: examine_registry(),
)
