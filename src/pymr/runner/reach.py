"""How this process reaches stores, as its environment, files and settings say.

It reads files that may be broken, and a run in folders does not care: only who has to do with a
store asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from pymr.config import Settings, resolve
from pymr.errors import ConfigError
from pymr.store.access import Access, is_address
from pymr.store.registry import Cluster

# From where a run is, None if that is no cluster, to how its store is reached.
Reaching = Callable[[Cluster | None], Access]
FIRST_WAIT_S = 10.0  # for a store that has not answered yet: its address may be wrong


def access_with(settings: Settings) -> Access:
    """Return how stores are reached with these settings.

    Raises:
        ConfigError: a variable or file is wrong, or names keys that it does not have.
    """
    from pymr.store.credentials import access_of

    return access_of(settings, os.environ, os.path.expanduser("~"))


def access_to(inputs: Iterable[str | bytes], settings: Settings) -> Access:
    """Return how the inputs and the output of a run are reached; where all are files, nobody asks.

    Raises:
        ConfigError: as `access_with`.
    """
    places = (*inputs, settings.output or settings.store or "")
    is_in_store = any(is_address(os.fsdecode(place)) for place in places)
    return access_with(settings) if is_in_store else Access()


def at_first(access: Access) -> Access:
    """Return how a store is reached by who has nothing to lose yet: with little patience."""
    wait_s = min(access.storage_wait_s, FIRST_WAIT_S)
    return msgspec.structs.replace(access, storage_wait_s=wait_s)


def usual_access(cluster: Cluster | None = None) -> Access:
    """Return how stores are reached by who has given no settings, and only looks.

    Raises:
        ConfigError: as `access_with`, or the settings of environment and files are wrong; or the
            store is in a cluster, and only commands lead there.
    """
    if cluster is not None and cluster.has_store:
        raise ConfigError(
            f"the store of the run is in namespace `{cluster.namespace}` of the cluster"
            f" `{cluster.context}`: a program reaches it by an endpoint and keys",
            hint=f"pymr store --context {cluster.context} --namespace {cluster.namespace}",
        )
    home = os.path.expanduser("~")
    return at_first(access_with(resolve({}, os.environ, os.getcwd(), home).settings))
