"""What the commands about a namespace of a cluster have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pymr.config import Settings
from pymr.text_form import show_text

if TYPE_CHECKING:
    from pymr.kubernetes.kube import Kube

F = TypeVar("F", bound=Callable[..., Any])


def kube_options(function: F) -> F:
    """Add `--context` and `--namespace`."""
    for flag, about in (
        ("--namespace", "Namespace of the cluster.  [default: the context's, else default]"),
        ("--context", "Context of the kubeconfig.  [default: its current one]"),
    ):
        function = click.option(flag, metavar="NAME", help=about)(function)
    return function


def open_namespace(settings: Settings) -> Kube:
    """Return the namespace that settings name.

    Raises:
        ClusterError: there is no such context.
    """
    from pymr.kubernetes.kube import open_kube

    return open_kube(settings.context, settings.namespace)


def say(line: str) -> None:
    """Tell the user what is done."""
    click.echo(f"  {show_text(line)}", err=True)
