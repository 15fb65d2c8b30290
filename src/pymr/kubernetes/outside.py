"""A store that the user has, outside of what we have made: `--store` with `--on kubernetes`.

This machine and the pods reach it under one address. Whoever has a right to it here lends it to the
pods: as keys of one run, where the store makes such keys (`credentials`), else as it is.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from pymr.config import Settings
from pymr.errors import ConfigError, StoreUnavailableError
from pymr.kubernetes.objects.policy import OutsideStore
from pymr.runner.reach import access_with, at_first
from pymr.store.access import Access
from pymr.store.root import check_root

_PORTS: Final = {"http": 80, "https": 443}


def settings_outside(settings: Settings) -> Settings:
    """Return settings with all by which pods find the store: they have no variables of this shell.

    Raises:
        ConfigError: a variable or file is wrong.
    """
    here = access_with(settings)
    return msgspec.structs.replace(settings, endpoint=here.endpoint, region=here.region)


def refuse_lone_endpoint(settings: Settings, typed_region: str | None = None) -> None:
    """Refuse to be told how a store is reached by a run that has no `--store`.

    `typed_region` is that of a flag: one of the settings may be that of other runs.

    Raises:
        ConfigError: `--endpoint` or `--region` without `--store`.
    """
    if settings.store is None:
        hint = "--store s3://bucket   of it, or no "
        _refuse_own_reached(settings.endpoint, typed_region, hint)


def refuse_another_endpoint(endpoint: str | None, region: str | None) -> None:
    """Refuse flags that would lead a run away from the storage of its namespace.

    Raises:
        ConfigError: one was given.
    """
    _refuse_own_reached(endpoint, region, "the same without ")


def _refuse_own_reached(endpoint: str | None, region: str | None, hint: str) -> None:
    for flag, value in (("--endpoint", endpoint), ("--region", region)):
        if value is not None:
            raise ConfigError(
                f"{flag} is `{value}`, and without --store a run in pods keeps all in the storage"
                " of its namespace",
                hint=hint + flag,
            )


def outside_access(settings: Settings) -> Access:
    """Return how the store is reached from here, and by pods; asked before anything is made.

    Raises:
        StoreError: the keys are wrong, there is no such bucket, …
        StoreUnavailableError: it does not answer here.
    """
    access = access_with(settings)
    assert settings.store is not None, "it is what makes a store one of outside"
    try:
        check_root(settings.store, at_first(access))
    except StoreUnavailableError as error:
        error.hint = "--endpoint URL   of the store, as this machine and the pods reach it"
        raise
    return access


def outside_store(access: Access) -> OutsideStore:
    """Return what policies know of a store that is outside of the cluster."""
    parts = urlsplit(access.endpoint or "https://")
    return OutsideStore(parts.port or _PORTS.get(parts.scheme, _PORTS["https"]))
