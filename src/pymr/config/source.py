"""Where values come from: flags, the environment, and TOML files with profiles.

Each function returns the values of one layer, parsed and checked, with their origin. A value
that a higher layer hides is checked all the same, so that a mistake is found when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pymr.config.setting import BY_NAME, SETTINGS, Setting
from pymr.config.value import Kind, RefusedValueError, quote, read_value
from pymr.errors import ConfigError

Layer = dict[str, "Given"]


class Given(msgspec.Struct, frozen=True):
    """A value that somebody gave, and where: `flag --workers`, `./pymr.toml line 3`."""

    value: Any
    origin: str


class Place(msgspec.Struct, frozen=True):
    """Where a raw value stands, for origins and messages."""

    origin: str  # "environment PYMR_WORKERS"
    label: str  # "PYMR_WORKERS", the start of a message
    assign: str  # "PYMR_WORKERS=", what stands before an example value
    is_toml: bool = False
    file: str | None = None
    line: int | None = None


def flag_layer(flags: Mapping[str, Any]) -> Layer:
    """Return the flags that were given: those that are not None.

    Raises:
        ConfigError: not a setting, or a wrong value.
    """
    layer = {}
    for name, raw in flags.items():
        if raw is None:
            continue
        setting = BY_NAME.get(name)
        if setting is None:
            raise ConfigError(f"no setting `{name}`{nearest(name, BY_NAME)}", setting=name)
        place = Place(f"flag {setting.flag}", setting.flag, f"{setting.flag} ")
        layer[name] = read(setting, raw, place, typed=not isinstance(raw, str))
    return layer


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Return the settings of `PYMR_*` variables; an empty variable is not set.

    Raises:
        ConfigError: a wrong value; the message names the variable.
    """
    layer = {}
    for setting in SETTINGS:
        raw = environ.get(setting.variable)
        if raw:
            place = Place(
                f"environment {setting.variable}", setting.variable, f"{setting.variable}="
            )
            layer[setting.name] = read(setting, raw, place, typed=False)
    return layer


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each `PYMR_*` variable that is no setting."""
    known = {setting.variable for setting in SETTINGS}
    return [
        f"{quote(name)} is not a setting and has no effect{nearest(name, known)}"
        for name in environ
        if name.startswith("PYMR_") and name not in known
    ]


def file_layers(path: str, shown: str) -> tuple[Layer, dict[str, Layer]]:
    """Return the settings of a TOML file, and of each of its profiles; none if there is no file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown key or a wrong
            value; the message has the file as `shown`, the line and the key.
    """
    from pymr.config import toml_file

    text = toml_file.read_text(path, shown)
    if text is None:
        return {}, {}
    data = toml_file.parse(text, shown)
    lines = toml_file.key_lines(text)
    profiles = data.pop("profile", {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise ConfigError(
            f"{shown}: profile is not a table of tables, expected such as `[profile.big]`",
            file=shown,
            setting="profile",
        )
    top = _table_layer(data, (), lines, shown)
    return top, {
        name: _table_layer(table, ("profile", name), lines, shown)
        for name, table in profiles.items()
    }


def _table_layer(
    table: dict[str, Any], path: tuple[str, ...], lines: dict[tuple[str, ...], int], shown: str
) -> Layer:
    layer = {}
    for key, raw in table.items():
        line = lines.get((*path, key))
        where = shown if line is None else f"{shown} line {line}"
        setting = BY_NAME.get(key)
        if setting is None or not setting.in_files:
            names = [setting.name for setting in SETTINGS if setting.in_files]
            raise ConfigError(
                f"{where}: no setting {quote(key)}{nearest(key, names)}",
                hint="pymr config   lists the settings",
                setting=key,
                file=shown,
                line=line,
            )
        place = Place(where, f"{where}: {key}", f"{key} = ", is_toml=True, file=shown, line=line)
        layer[key] = read(setting, raw, place, typed=True)
    return layer


def read(setting: Setting, raw: object, place: Place, *, typed: bool) -> Given:
    """Return the value of `setting` that stands at `place` as `raw`.

    Raises:
        ConfigError: it is not of the setting's kind, or out of its bounds.
    """
    try:
        return Given(read_value(setting.kind, raw, typed=typed), place.origin)
    except RefusedValueError as error:
        kind_of = " (a string)" if place.is_toml and isinstance(raw, str) else ""
        shown = _example(setting.kind, error.example or setting.kind.example, place)
        example = f", such as `{place.assign}{shown}`"
        raise ConfigError(
            f"{place.label} is {error.seen}{kind_of}, expected {error.expected}"
            f"{example if error.exampled else ''}",
            setting=setting.name,
            origin=place.origin,
            file=place.file,
            line=place.line,
        ) from error


def _example(kind: Kind, example: str, place: Place) -> str:
    return f'"{example}"' if place.is_toml and str in kind.types else example


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `, did you mean …?` with the one of `names` nearest to `name`, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name.replace("-", "_"), list(names), n=1)
    return f", did you mean `{found[0]}`?" if found else ""
