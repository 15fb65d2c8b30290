"""PyMR itself: its compiled part, the packages it needs, the interpreter and the system."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import pymr
from pymr.doctor.finding import Area, Finding
from pymr.text_form import install_line

PYTHON_TESTED_MAX = (3, 14)  # newer ones may well do; nobody has tried them

_AREA = Area("installation")


def examine_installation() -> Iterator[Finding]:
    """Yield what is known about the software."""
    yield _system()
    yield _python()
    yield _AREA.ok("pymr", f"{pymr.__version__} in {os.path.dirname(pymr.__file__)}")
    yield _native()
    try:
        wanted = requires("pymr") or []
    except PackageNotFoundError:
        yield _AREA.warning(
            "packages", "PyMR is not installed here, only found", "pip install it, or make setup"
        )
        return
    yield from examine_packages(wanted)


def _system() -> Finding:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform != "linux":
        return _AREA.broken("system", f"{name}, expected Linux", "run PyMR on Linux")
    return _AREA.ok("system", name)


def _python() -> Finding:
    name = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] > PYTHON_TESTED_MAX:
        tested = ".".join(map(str, PYTHON_TESTED_MAX))
        return _AREA.warning(
            "python", f"{name}: newer than what PyMR is tested with", f"use Python {tested}"
        )
    return _AREA.ok("python", name)


def _native() -> Finding:
    remedy = "install PyMR again; in its source: make setup"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        remedy = "use a build of Python that has a GIL"
    try:
        native = importlib.import_module("pymr._native")
    except ImportError as error:
        return _AREA.broken("compiled part", f"cannot be loaded: {error}", remedy)
    found = getattr(native, "__version__", "unknown")
    if found != pymr.__version__:
        return _AREA.broken(
            "compiled part", f"is of version {found}, expected {pymr.__version__}", remedy
        )
    return _AREA.ok("compiled part", found)


def examine_packages(wanted: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each requirement, as `requires` of the distribution names them."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, wanted):
        marker = requirement.marker
        is_needed = marker is None or marker.evaluate({"extra": ""})
        if is_needed or (marker is not None and marker.evaluate({"extra": "zstd"})):
            yield _package(requirement.name, str(requirement.specifier), is_needed=is_needed)


def _package(name: str, specifier: str, *, is_needed: bool) -> Finding:
    from packaging.specifiers import SpecifierSet

    remedy = install_line(f"{name}{specifier}")
    try:
        found = version(name)
    except PackageNotFoundError:
        if not is_needed:
            return _AREA.ok(name, "not installed; only inputs compressed by zstd need it")
        return _AREA.broken(name, "not installed", remedy)
    if not SpecifierSet(specifier).contains(found, prereleases=True):
        return _AREA.broken(name, f"{found}, expected {specifier}", remedy)
    return _AREA.ok(name, found)
