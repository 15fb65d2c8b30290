"""`pymr doctor --on kubernetes` on a real cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pods_run import PodsRun
from pymr.kubernetes.images.nodes import read_nodes
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.probe import image_for_probe
from real_cluster import ours, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def looked_at(pods: PodsRun, *arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    """Return the findings about the cluster, by name."""
    outcome = pods.cli.run("doctor", "--on=kubernetes", "--json", *arguments)
    assert outcome.code == code, outcome.stderr
    found = json.loads(outcome.stdout)["findings"]
    return {each["name"]: each for each in found if each["area"] == "cluster"}


def test_a_cluster_is_looked_over_and_nothing_is_left(kube: Kube, tmp_path: Path) -> None:
    """Version, permissions, storage, images, room; names and policies once there are images."""
    pods = PodsRun(kube, tmp_path)
    empty = looked_at(pods, "--workers=1")
    pods.ended(pods.start("--workers=1"))
    until("nodes list what they have", lambda: image_for_probe(read_nodes(kube)), 120.0)  # Late.
    until("its run stays", lambda: pods.left() == [])
    before = ours(kube)

    found = looked_at(pods, "--workers=1")

    assert ours(kube) == before
    for name in ("context", "permissions", "storage", "images", "room", "names"):
        assert found[name]["level"] == "ok", found[name]
    assert found["policies"]["level"] in ("ok", "warning")  # as the network of the cluster is
    assert "MinIO is there" in found["storage"]["text"]
    assert "of class" in empty["storage"]["text"]
    assert "were not tried" in empty["network"]["text"]


def test_f114_a_worker_that_fits_no_node_is_found_before_it_is_asked_for(
    kube: Kube, tmp_path: Path
) -> None:
    """With how much there is, and how to ask for less."""
    found = looked_at(PodsRun(kube, tmp_path), "--memory=900G", code=8)

    assert found["room"]["level"] == "broken"
    assert found["room"]["remedy"].startswith("--memory ")
