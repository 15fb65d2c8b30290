"""Names of images: `[HOST/]PATH[:TAG][@DIGEST]`, and the several ways to write one of them."""

from __future__ import annotations

from typing import Final

HUB: Final = "docker.io"


def full_name(image: str) -> str:
    """Return a name with all that may be left out: `docker.io/library/x:latest` for `x`."""
    first, slash, rest = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if is_host else (HUB, image)
    if host == HUB and "/" not in path:
        path = f"library/{path}"
    if "@" not in path and ":" not in path.rpartition("/")[2]:
        path += ":latest"
    return f"{host}/{path}"


def host_of(image: str) -> str:
    """Return the registry that an image would be pulled from, with its port."""
    return full_name(image).partition("/")[0]


def is_in_registry(image: str) -> bool:
    """Return whether a name says from where a node gets it: a host, or a digest."""
    return "@" in image or host_of(image) != HUB


def is_on_this_machine(image: str) -> bool:
    """Return whether the registry of a name is here, and so need not speak TLS."""
    host = host_of(image).rpartition(":")[0] or host_of(image)
    return host in {"localhost", "127.0.0.1", "[::1]"}


def same_repository(image: str, other: str) -> bool:
    """Return whether two names differ in tag and digest alone."""
    return _repository(image) == _repository(other)


def _repository(image: str) -> str:
    whole = full_name(image.partition("@")[0])
    return whole.rpartition(":")[0]
