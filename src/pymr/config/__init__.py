"""Settings of a run, in layers: the first of these that gives a value wins.

    flags > PYMR_* variables > ./pymr.toml > ~/.config/pymr/config.toml > the default

In a file, the table `[profile.NAME]` chosen by `--profile` or `PYMR_PROFILE` goes before the
file's own top. `$XDG_CONFIG_HOME` is respected. Every wrong value is a `ConfigError` that names
the flag, the variable, or the file, line and key.

The rows stand in `setting`, the ways to write a value in `value`. There is no global state:
`resolve` is a function of its arguments and the files it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pymr.config.machine import FILES_OF_WORKER, OTHER_FILES, Machine, this_machine
from pymr.config.setting import (
    BY_NAME,
    MEMORY_BYTES_MIN,
    SETTINGS,
    WORKERS_MAX,
    MiB,
    Setting,
    Settings,
)
from pymr.config.source import (
    Given,
    Layer,
    environment_layer,
    file_layers,
    flag_layer,
    nearest,
    unknown_variables,
)
from pymr.config.value import spell_size
from pymr.errors import ConfigError

__all__ = [
    "SETTINGS",
    "Machine",
    "Resolved",
    "Setting",
    "Settings",
    "change",
    "resolve",
    "this_machine",
]


class Resolved(msgspec.Struct, frozen=True):
    """The settings of a run, and where each comes from.

    `warnings` are lines for people: what was changed, or has no effect.
    """

    settings: Settings
    origins: dict[str, str]  # of the settings that were given
    warnings: tuple[str, ...]

    def origin(self, name: str) -> str:
        """Return `flag --workers`, `environment PYMR_WORKERS`, `./pymr.toml line 3`, `default`."""
        return self.origins.get(name, "default")


def resolve(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: str,
    home: str,
    machine: Machine | None = None,
) -> Resolved:
    """Return the settings that hold for a run started in `cwd` by the owner of `home`.

    `flags` maps names of settings to text as typed, or to typed values (of a Python call);
    None is a flag that was not given. `machine` gives the defaults of workers and memory.

    Raises:
        ConfigError: a value is wrong, a key is unknown, or a file cannot be used.
    """
    machine = machine or this_machine()
    typed, variables = flag_layer(flags), environment_layer(environ)
    files = [
        file_layers(path, shown)
        for path, shown in (_user_file(environ, home), (f"{cwd}/pymr.toml", "./pymr.toml"))
    ]
    given: Layer = {}
    for top, profile in _choose(files, typed.get("profile") or variables.get("profile")):
        given |= top | profile
    given |= variables | typed
    warnings = unknown_variables(environ)
    is_here = "on" not in given or given["on"].value == "local"
    if "workers" in given and is_here:
        given["workers"], notice = _clamp_workers(given["workers"], machine)
        warnings += notice
    if "memory" in given and is_here:
        warnings += _too_much_memory(given["memory"].value, machine)
    values = {
        setting.field: given[setting.name].value
        if setting.name in given
        else _default(setting, machine)
        for setting in SETTINGS
    }
    origins = {name: each.origin for name, each in given.items()}
    return Resolved(Settings(**values), origins, tuple(warnings))


def change(before: Settings, flags: Mapping[str, Any], now: Settings) -> Settings:
    """Return the settings with which a run goes on that was started with `before`.

    Of `now`, the settings of this command, those count that were given as `flags`, and how to
    report. What the bytes of the output depend on stays as it was; to say so is no change.

    Raises:
        ConfigError: a flag would change what is frozen.
    """
    given = [BY_NAME[name] for name, value in flags.items() if value is not None]
    for setting in given:
        is_other = getattr(now, setting.field) != getattr(before, setting.field)
        if is_other and not setting.on_resume:
            raise ConfigError(
                f"{setting.flag} cannot change when a run is resumed: what its result is, and"
                " where, was settled at the start",
                hint=f"pymr start {setting.flag} …   begins a new run",
                setting=setting.name,
            )
    fields = {setting.field for setting in given} | {"json", "quiet", "verbose"}
    return msgspec.structs.replace(before, **{field: getattr(now, field) for field in fields})


def _user_file(environ: Mapping[str, str], home: str) -> tuple[str, str]:
    """Return the user's file and its name for messages."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    if folder.startswith("/"):  # the standard says to ignore a relative one
        return f"{folder}/pymr/config.toml", f"{folder}/pymr/config.toml"
    return f"{home}/.config/pymr/config.toml", "~/.config/pymr/config.toml"


def _choose(
    files: list[tuple[Layer, dict[str, Layer]]], profile: Given | None
) -> list[tuple[Layer, Layer]]:
    """Return each file's top and its table of the chosen profile."""
    if profile is None:
        return [(top, {}) for top, _ in files]
    names = {name for _, profiles in files for name in profiles}
    if profile.value not in names:
        raise ConfigError(
            f"no profile `{profile.value}` ({profile.origin}) in ./pymr.toml or the user's"
            f" config.toml{nearest(profile.value, names)}",
            hint=f"add a table [profile.{profile.value}] to ./pymr.toml",
            setting="profile",
            profiles=sorted(names),
        )
    return [(top, profiles.get(profile.value, {})) for top, profiles in files]


def _clamp_workers(given: Given, machine: Machine) -> tuple[Given, list[str]]:
    """Return as many workers as may start, with a notice if they are fewer."""
    limit, reason = _workers_max(machine)
    if given.value <= limit:
        return given, []
    notice = f"workers is {given.value}, going on with {limit}, {reason}"
    return Given(limit, given.origin), [notice]


def _too_much_memory(memory_bytes: int, machine: Machine) -> Iterator[str]:
    """Yield that there is not so much. Most runs use far less than they may, so it is allowed."""
    if memory_bytes > machine.memory_bytes:
        there = spell_size(machine.memory_bytes & -MiB)
        yield (
            f"memory is {spell_size(memory_bytes)}, this machine has {there}:"
            " the system ends processes of a run that needs more"
        )


def _workers_max(machine: Machine) -> tuple[int, str]:
    """Return the limit of workers and its reason; half of the processes are left to others."""
    limits = [(WORKERS_MAX, "the limit of one machine")]
    if machine.processes_max is not None:
        reason = f"half of the {machine.processes_max} processes allowed here (ulimit -u)"
        limits.append((max(machine.processes_max // 2, 1), reason))
    if machine.files_max is not None:
        each = f"with five of the {machine.files_max} open files allowed here (ulimit -n) for each"
        limits.append((max((machine.files_max - OTHER_FILES) // FILES_OF_WORKER, 1), each))
    return min(limits)


def _default(setting: Setting, machine: Machine) -> Any:
    if setting is BY_NAME["workers"]:
        return min(machine.cores, _workers_max(machine)[0])
    if setting is BY_NAME["memory"]:
        half = machine.memory_bytes // 2 & -MiB  # whole MiB, to read well
        return max(half, MEMORY_BYTES_MIN)
    return setting.default
