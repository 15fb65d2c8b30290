"""A namespace of a real cluster, and commands about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def namespace() -> Iterator[Any]:
    """Give a namespace whose storage all tests of a file share; it is empty at first."""
    import real_cluster  # It needs the extra [kubernetes].

    with real_cluster.new_namespace() as kube:
        yield kube


@pytest.fixture
def pods(namespace: Any, tmp_path: Path) -> Iterator[Any]:
    """Give a folder for commands about it; afterwards nothing of a run may be left."""
    from pods_run import PodsRun
    from real_cluster import until

    pods = PodsRun(namespace, tmp_path)
    yield pods
    pods.stop()
    until("objects of a run are left", lambda: pods.left() == [], 120.0)
