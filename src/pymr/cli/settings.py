"""The flags of the commands that plan or run, generated from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from pymr.config import SETTINGS, Resolved, resolve
from pymr.config.setting import ELSEWHERE, OF_HOSTS, OF_PODS
from pymr.core.spec import Code
from pymr.errors import ConfigError
from pymr.runner.plan import Request
from pymr.runner.reach import access_to

F = TypeVar("F", bound=Callable[..., Any])

# By where tasks run: the settings that say nothing about it.
_NO_USE: Final = {"local": ELSEWHERE, "hosts": OF_PODS, "kubernetes": OF_HOSTS}
_RUNS: Final = {
    "local": "of this machine",
    "hosts": "on workers that join",
    "kubernetes": "in pods",
}


def setting_options(function: F, *, is_resume: bool = False) -> F:
    """Add one flag for each setting; to resume, those that cannot change are not shown."""
    for setting in reversed(SETTINGS):
        function = click.option(
            setting.flag,
            setting.name,
            is_flag=setting.is_flag,
            default=None,
            metavar=None if setting.is_flag else setting.metavar,
            help=setting.about if is_resume else setting.help,
            hidden=setting.is_hidden or (is_resume and not setting.on_resume),
        )(function)
    return function


def run_options(function: F) -> F:
    """Add the worker, `--input`, `--set` and one flag for each setting."""
    function = setting_options(function)
    for option in (
        click.option("--set", "params", multiple=True, metavar="KEY=VALUE", help="ctx.params"),
        click.option(
            "--input",
            "-i",
            "inputs",
            multiple=True,
            metavar="PATH",
            help="A file, glob or folder, or - for stdin; may be given several times.",
        ),
        click.argument("worker", metavar="WORKER"),
    ):
        function = option(function)
    return function


def resolved_settings(flags: dict[str, Any]) -> Resolved:
    """Return the settings of this process: flags, environment, files, defaults."""
    given = {name: value for name, value in flags.items() if value is not None}
    return resolve(given, os.environ, os.getcwd(), os.path.expanduser("~"))


def request_of(
    worker: str, inputs: tuple[str, ...], params: tuple[str, ...], resolved: Resolved
) -> Request:
    """Return the request that a command line makes."""
    settings = resolved.settings
    return Request(
        code=Code(path=os.path.join(os.getcwd(), worker) if worker else worker),
        worker=worker,
        inputs=inputs,
        settings=settings,
        params=dict(map(_param, params)),
        warnings=resolved.warnings,
        access=access_to(inputs, settings),
    )


def _param(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigError(f"`--set {text}`, expected KEY=VALUE", hint="--set pattern=error")
    return key, value


def refuse_elsewhere(flags: dict[str, Any], on: str, *, is_resume: bool = False) -> None:
    """Refuse what was typed for a run `on` one kind of machines and is only about others.

    A run that is resumed stays where it is.

    Raises:
        ConfigError: names the first such flag.
    """
    for setting in SETTINGS:
        if setting.name in _NO_USE[on] and flags.get(setting.name) is not None:
            others = [each for each in _NO_USE if setting.name not in _NO_USE[each]]
            add = " or ".join(f"--on {each}" for each in others)
            hint = (
                f"add {add}"
                if on == "local" and not is_resume
                else f"the same without {setting.flag}"
            )
            raise _elsewhere_error(setting.flag, others, on, hint)


def detach_error() -> ConfigError:
    """Return the refusal to leave a run of this machine to the background."""
    hint = "nohup pymr … &   and   pymr attach RUN"
    return _elsewhere_error("--detach", ["hosts", "kubernetes"], "local", hint)


def _elsewhere_error(flag: str, others: list[str], on: str, hint: str) -> ConfigError:
    runs = " or ".join(f"{_RUNS[each]} (--on {each})" for each in others)
    return ConfigError(f"{flag} is for runs {runs}, and this one is {_RUNS[on]}", hint=hint)
