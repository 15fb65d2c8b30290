"""The packages of `pip install 'pymr[cluster]'`, and what is said where they are missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from pymr.errors import ConfigError

PACKAGES: Final = ("grpc", "google.protobuf", "cryptography", "prometheus_client")


def require_extra() -> None:
    """Refuse to go on without the packages that a run on many machines needs; loads none.

    Raises:
        ConfigError: one is not installed.
    """
    require_packages(PACKAGES, "a run on other machines", "pymr[cluster]")


def require_packages(packages: Iterable[str], what: str, extra: str) -> None:
    """Refuse to do `what` without these packages, which come with `extra`; loads none.

    Raises:
        ConfigError: one is not installed.
    """
    missing = [name for name in packages if not _is_installed(name)]
    if missing:
        raise ConfigError(
            f"{what} needs packages that are not installed: {', '.join(missing)}",
            hint=f"pip install '{extra}'",
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # `google`, above `google.protobuf`
        return False
