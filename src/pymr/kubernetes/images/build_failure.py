"""Why an image could not be built, in words: from what the builder has printed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pymr.errors import ClusterError
from pymr.kubernetes.images.context import Context
from pymr.kubernetes.images.tool import last_lines

# What is found first counts: a full disk and a lost network make all kinds of other noise.
CAUSES: Final = (
    (
        re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE),
        "the disk of {builder} is full",
        "{builder} image prune",
    ),
    (
        re.compile(
            r"Temporary failure in name resolution|Temporary failure resolving|Could not resolve"
            r"|Failed to establish a new connection|Network is unreachable|dial tcp"
        ),
        "it does not reach the network",
        "{builder} run --rm {base} true   or   --worker-image NAME",
    ),
    (
        re.compile(r"No matching distribution found for (?P<package>.+)"),
        "there is no package `{package}` for it",
        "pip index versions {package}",
    ),
    (
        re.compile(r"Cannot install (?P<package>.+?) because these package versions"),
        "its packages do not go with those of PyMR, or with each other",
        "other versions in the worker file, or in --requirements",
    ),
    (
        re.compile(r"DO NOT MATCH THE HASHES|--require-hashes mode"),
        "a package is not what its hash says, or has none",
        "uv pip compile --generate-hashes FILE   makes the requirements anew",
    ),
    (
        re.compile(
            r"pull access denied|manifest unknown|not found: manifest|failed to resolve source"
            r"|(?:unable|failed) to pull|initializing source|did not resolve to an alias",
            re.IGNORECASE,
        ),
        "what it is based on cannot be had",
        "{builder} pull {base}",
    ),
    (re.compile(""), "the build failed", "pymr build --verbose"),
)
_PROGRESS: Final = re.compile(r" ---> |Step \d+/\d+ :|STEP \d|Removing intermediate|#\d+ ")


def no_builder(wanted: str | None) -> ClusterError:
    """Return the error of a machine without what builds images."""
    if wanted is None:
        return ClusterError(
            "images cannot be built: neither docker nor podman nor buildah is on PATH",
            hint="sudo apt install podman   or   --master-image NAME --worker-image NAME",
        )
    return ClusterError(
        f"images cannot be built: `{wanted}` is not on PATH",
        hint="another --builder, or none: the first that is there",
    )


def daemon_failure(name: str, words: str, others: Iterable[str]) -> ClusterError:
    """Return the error of a builder that is there, and does not work; `others` are there, too."""
    hint = "sudo systemctl start docker" if name == "docker" else f"{name} info"
    if "permission denied" in words.lower():
        hint = "sudo usermod -aG docker $USER   and log in again"
    more = "".join(f"   or   --builder {other}" for other in others)
    return ClusterError(f"{name} does not answer:\n{words}", hint=hint + more)


def build_failure(builder: str, context: Context, lines: list[str]) -> ClusterError:
    """Return why a build has failed; `lines` is the end of what it printed."""
    text = "\n".join(lines)
    found, cause, hint = next(
        (match, cause, hint)
        for pattern, cause, hint in CAUSES
        if (match := pattern.search(text)) is not None
    )
    told = {
        "builder": builder,
        "base": context.base,
        "package": found.groupdict().get("package", ""),
    }
    words = last_lines("\n".join(line for line in lines if _PROGRESS.match(line) is None))
    return ClusterError(
        f"the image `{context.image}` cannot be built: {cause.format(**told)}\n{words}",
        hint=hint.format(**told),
    )
