"""Every manifest of a run and of its storage, as text: a change of one is seen in the review.

`pytest tests/golden --rewrite-golden` writes the files anew.
"""

from __future__ import annotations

from typing import Any

from k8s_samples import run_objects, storage_objects
from pymr.kubernetes.objects.manifest import manifest
from pymr.kubernetes.objects.policy import OutsideStore


def test_the_manifests_of_a_run(golden: Any) -> None:
    """Two Jobs, a Service, a disruption budget, two policies, and two Secrets without values."""
    golden("run.manifests", manifest(run_objects().render(), namespace="analytics", secrets=False))


def test_the_manifests_of_storage(golden: Any) -> None:
    """A StatefulSet on a claim, a Service, a policy, and a Secret without values."""
    golden(
        "storage.manifests",
        manifest(storage_objects().render(), namespace="analytics", secrets=False),
    )


def test_the_policies_of_a_run_with_a_store_outside(golden: Any) -> None:
    """Pods reach any address, but by the store's port alone; and no cloud's metadata."""
    objects = run_objects(outside_store=OutsideStore(443), endpoint=None).render()

    golden(
        "outside_store.manifests",
        manifest(
            [each for each in objects if each.kind == "NetworkPolicy"],
            namespace="analytics",
            secrets=False,
        ),
    )
