"""What was loaded into nodes a short while ago: they list it late.

A node says which images it has up to a minute after it got one. Whoever starts a run, mends a line
and starts it again would wait for the same images twice. So this machine remembers, for as long
as that may take, what it has loaded into which nodes: an empty file for each.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import Final

from pymr.kubernetes.images.nodes import Nodes
from pymr.store.registry import state_folder

LISTED_S: Final = 120.0  # kubelet looks at its images each 30 s, and tells of them each 10 s


def is_recent(image: str, nodes: Nodes) -> bool:
    """Return whether this machine has loaded an image into all these nodes a short while ago."""
    try:
        loaded = os.stat(_path(image, nodes)).st_mtime
    except OSError:
        return False
    return bool(nodes.ids) and 0 <= time.time() - loaded < LISTED_S


def remember_loaded(image: str, nodes: Nodes) -> None:
    """Remember that nodes have an image now, and forget what they list by now; best effort."""
    path = _path(image, nodes)
    folder = os.path.dirname(path)
    with suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        old = time.time() - LISTED_S
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < old:
                os.unlink(entry.path)
        with open(path, "wb"):
            os.utime(path)


def _path(image: str, nodes: Nodes) -> str:
    told = "\0".join([image, *sorted(nodes.ids)])
    return os.path.join(
        os.path.dirname(state_folder()), "images", hashlib.sha256(told.encode()).hexdigest()
    )
