"""What the pods of a run are given of their user's store: keys, certificates, who pays."""

from __future__ import annotations

from typing import Any

import pytest

from core_samples import spec
from k8s_samples import run_objects
from pymr.config import resolve
from pymr.core.events import RunPlanned
from pymr.kubernetes.credentials import Scope
from pymr.kubernetes.launch import StoreOfRun, keys_of, workers_of
from pymr.kubernetes.objects.policy import OutsideStore
from pymr.kubernetes.objects.run import CERTIFICATES_FILE, CREDENTIALS_FILE
from pymr.store.access import Access

SCOPE = Scope("0192f0c0-0000-7000-8000-000000000001", "s3://bucket/out")
MINE = Access(region="us-east-1", access_key_id="me", secret_access_key="canary-mine")


def environment(**changes: Any) -> dict[str, str]:
    """Return the environment of a master."""
    job = run_objects(**changes).master_job()
    assert job.spec is not None
    assert job.spec.template.spec is not None
    return {each.name: each.value or "" for each in job.spec.template.spec.containers[0].env or ()}


def test_amazons_store_gets_the_keys_of_the_user_and_says_so() -> None:
    """It makes keys elsewhere, for roles; a worker has them from the master alone."""
    said: list[str] = []

    keys = keys_of(StoreOfRun(MINE, None, OutsideStore()), SCOPE, said.append)

    assert b"canary-mine" in keys.master[CREDENTIALS_FILE]
    assert CREDENTIALS_FILE not in keys.worker
    assert said == ["pods have your keys of the store, with all that they may do (Amazon's store)"]


def test_without_keys_pods_have_what_their_cluster_gives_them() -> None:
    """A role of their service account or machine; nothing is mounted in its way."""
    said: list[str] = []

    keys = keys_of(StoreOfRun(Access(), None, OutsideStore()), SCOPE, said.append)

    assert (keys.master, keys.worker) == ({}, {})
    assert said == ["pods reach the store by what their cluster gives them: no keys are set here"]
    assert "AWS_SHARED_CREDENTIALS_FILE" not in environment(master_files={})


def test_a_master_trusts_whom_this_machine_trusts_and_pays_as_it_does() -> None:
    """It tells both to its workers."""
    plain = environment()
    told = environment(master_files={CERTIFICATES_FILE: b"PEM"}, is_requester_paying=True)

    assert told["AWS_CA_BUNDLE"] == "/etc/pymr/ca.pem"
    assert told["AWS_REQUEST_PAYER"] == "requester"
    assert {"AWS_CA_BUNDLE", "AWS_REQUEST_PAYER"} & set(plain) == set()


@pytest.mark.parametrize(
    ("asked", "slots", "given", "said"),
    [
        (2, 1, 2, []),
        (3, 1, 3, []),
        (1000, 1, 3, ["workers is 1000, going on with 3: a phase has 3 tasks"]),
        (
            1000,
            2,
            2,
            ["workers is 1000, going on with 2: a phase has 3 tasks, and each does 2 at once"],
        ),
    ],
    ids=["fewer", "as many", "more", "slots"],
)
def test_no_pod_is_asked_for_that_would_have_nothing_to_do(
    asked: int, slots: int, given: int, said: list[str]
) -> None:
    """By the tasks of the larger phase; what is cut is told."""
    flags = {"on": "kubernetes", "workers": asked, "slots": slots}
    settings = resolve(flags, {}, "/nowhere", "/nowhere").settings
    planned = RunPlanned(spec(reducers=2), map_tasks=3, input_files=1, input_bytes=26)
    told: list[str] = []

    workers = workers_of(planned, settings, told.append)

    assert (workers, told) == (given, said)
