"""How a command reaches the store of a run: also when that is inside of a cluster.

Then a port of this machine leads there for as long as the command lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import msgspec

from pymr.config import Settings
from pymr.config.setting import BY_NAME
from pymr.runner import reach
from pymr.store.access import Access
from pymr.store.registry import Cluster

GLANCE_S: Final = 3.0  # for a store that does not answer, of a command that shows other things too

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: Final = "pymr.reach.flags"  # keys of a click context
_OPEN: Final = "pymr.reach.open"


def reach_options(function: F) -> F:
    """Add `--on`, `--context` and `--namespace`, for a run that this account did not start."""
    for name in ("namespace", "context", "on"):
        setting = BY_NAME[name]
        function = click.option(
            setting.flag,
            setting.name,
            metavar=setting.metavar,
            help=setting.about,
            expose_value=False,
            callback=_keep,
        )(function)
    return function


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_FLAGS, {})[option.name] = value


def usual_access(cluster: Cluster | None = None) -> Access:
    """Return how stores are reached by a command that has few flags, and only looks.

    Raises:
        ConfigError: the environment, files or flags are wrong.
        ClusterError: there is no way into the cluster.
    """
    from pymr.cli.settings import resolved_settings

    meta = click.get_current_context().meta
    if cluster is None:
        settings = resolved_settings(meta.get(_FLAGS, {})).settings
        if settings.on == "kubernetes" and settings.store is None:
            return access_through(settings.context, settings.namespace, reach.FIRST_WAIT_S)
    elif cluster.has_store:
        return access_through(cluster.context, cluster.namespace, reach.FIRST_WAIT_S)
    return reach.usual_access()


def at_a_glance(access: Access) -> Access:
    """Return how a store is reached by a command that has more to show than what is there."""
    return msgspec.structs.replace(access, storage_wait_s=GLANCE_S, silence_s=GLANCE_S)


def access_to_run(now: Settings, cluster: Cluster | None) -> Access:
    """Return how the store of a run is reached by who goes on with it; `now` are its settings.

    Raises:
        ConfigError, ClusterError: as `usual_access`.
    """
    if cluster is not None and cluster.has_store:
        return access_through(cluster.context, cluster.namespace, now.storage_wait_s)
    if cluster is None and now.on == "kubernetes" and now.store is None:
        return access_through(now.context, now.namespace, now.storage_wait_s)
    return reach.access_with(now)


def access_through(context: str | None, namespace: str | None, wait_s: float) -> Access:
    """Return how the storage of a namespace is reached until the command ends.

    Raises:
        ConfigError: packages are missing.
        ClusterError: there is no way there.
    """
    current = click.get_current_context()
    ways = current.meta.setdefault(_OPEN, {})
    if (way := ways.get((context, namespace))) is None:
        way = ways[context, namespace] = _opened(current, context, namespace, wait_s)
    known: Access = way
    return known


def _opened(
    current: click.Context, context: str | None, namespace: str | None, wait_s: float
) -> Access:
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.kubernetes.kube import open_kube
    from pymr.kubernetes.reach import known_storage, reached

    kube = current.with_resource(open_kube(context, namespace))
    return current.with_resource(reached(kube, known_storage(kube), wait_s=wait_s))
