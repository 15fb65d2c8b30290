"""The packages of `pip install 'pymr[kubernetes]'`, and what is said where they are missing."""

from __future__ import annotations

from typing import Final

from pymr.cluster import extra

PACKAGES: Final = (*extra.PACKAGES, "lightkube", "yaml")


def require_extra() -> None:
    """Refuse to go on without the packages that a run on Kubernetes needs; loads none.

    Raises:
        ConfigError: one is not installed.
    """
    extra.require_packages(PACKAGES, "a run on Kubernetes", "pymr[kubernetes]")
