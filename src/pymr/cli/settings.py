"""The flags of the commands that plan or run, generated from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from pymr.config import SETTINGS, Resolved, resolve
from pymr.config.setting import ELSEWHERE
from pymr.core.spec import Code
from pymr.errors import ConfigError
from pymr.runner.plan import Request
from pymr.runner.reach import access_to

F = TypeVar("F", bound=Callable[..., Any])


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


def refuse_elsewhere(flags: dict[str, Any], *, detach: bool) -> None:
    """Refuse what was typed for a run of this machine and is only about others.

    Raises:
        ConfigError: names the first such flag.
    """
    if detach:
        raise detach_error()
    for setting in SETTINGS:
        if setting.name in ELSEWHERE and flags[setting.name] is not None:
            raise _elsewhere_error(setting.flag, hint="add --on hosts or --on kubernetes")


def detach_error() -> ConfigError:
    """Return the refusal to leave a run of this machine to the background."""
    return _elsewhere_error("--detach", hint="nohup pymr … &   and   pymr attach RUN")


def _elsewhere_error(flag: str, *, hint: str) -> ConfigError:
    return ConfigError(
        f"{flag} is for runs on workers that join (--on hosts) or in pods (--on kubernetes), and"
        " this one is of this machine",
        hint=hint,
    )
