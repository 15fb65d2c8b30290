"""The packages of `pip install 'pymr[cluster]'`, and what is said where they are missing."""

from __future__ import annotations

import importlib.util
from typing import Final

from pymr.errors import ConfigError

PACKAGES: Final = ("grpc", "google.protobuf", "cryptography", "prometheus_client")


def require_extra() -> None:
    """Refuse to go on without the packages that a run on many machines needs; loads none.

    Raises:
        ConfigError: one is not installed.
    """
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if missing:
        raise ConfigError(
            f"a run on other machines needs packages that are not installed: {', '.join(missing)}",
            hint="pip install 'pymr[cluster]'",
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # `google`, above `google.protobuf`
        return False
