"""What the pods of a run may do in its store, as a policy says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymr.errors import ConfigError
from pymr.kubernetes.credentials import POLICY_BYTES_MAX, Role, Scope, policy_of

RUN = "0192f0c0-0000-7000-8000-000000000001"


def allowed(role: Role, scope: Scope) -> dict[str, list[str]]:
    """Return what each action may be done to."""
    found: dict[str, list[str]] = {}
    for rule in json.loads(policy_of(role, scope))["Statement"]:
        assert rule["Effect"] == "Allow"
        for action in rule["Action"]:
            found.setdefault(action, []).extend(rule["Resource"])
    return found


def condition(scope: Scope) -> Any:
    """Return on what condition a master lists keys."""
    rules = json.loads(policy_of("master", scope))["Statement"]
    return next(rule.get("Condition") for rule in rules if "s3:ListBucket" in rule["Action"])


def test_a_worker_may_write_below_its_run_alone() -> None:
    """Attempts, bad records, prints, and long messages."""
    may = allowed("worker", Scope(RUN, "s3://bucket/out/wc"))

    own = f"arn:aws:s3:::bucket/out/wc/_pymr/{RUN}"
    names = ("map-", "reduce-", "bad-", "logs/", "told/")
    assert may["s3:PutObject"] == [f"{own}/{name}*" for name in names]
    assert set(may) == {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}


def test_a_master_lists_the_output_alone() -> None:
    """And deletes there; at the top of a bucket that is all of it."""
    scope = Scope(RUN, "s3://bucket/out")

    assert condition(scope) == {"StringLike": {"s3:prefix": ["out", "out/*"]}}
    assert allowed("master", scope)["s3:DeleteObject"] == ["arn:aws:s3:::bucket/out/*"]
    assert condition(Scope(RUN, "s3://bucket")) is None
    assert allowed("master", Scope(RUN, "s3://bucket"))["s3:DeleteObject"] == [
        "arn:aws:s3:::bucket/*"
    ]


def test_many_inputs_are_one_prefix_of_each_bucket() -> None:
    """A policy is short, and inputs are many."""
    inputs = tuple(f"s3://ins/logs/day-{n:05d}" for n in range(10_000))

    readable = allowed("worker", Scope(RUN, "s3://bucket/out", (*inputs, "s3://more/x")))

    assert readable["s3:GetObject"][:2] == ["arn:aws:s3:::ins/logs/day-0*", "arn:aws:s3:::more/x*"]


@pytest.mark.parametrize("special", ["*", "?", "$"])
def test_what_is_special_in_a_policy_is_one_character_of_a_prefix(special: str) -> None:
    """Else an output named `a*` would open all that begin with `a`."""
    may = allowed("master", Scope(RUN, f"s3://bucket/a{special}z/out"))

    assert may["s3:DeleteObject"] == ["arn:aws:s3:::bucket/a?z/out/*"]


@pytest.mark.parametrize("role", ["master", "worker"])
def test_an_output_that_is_too_long_is_refused(role: Role) -> None:
    """Before the store is asked, and with what is too long."""
    assert len(policy_of(role, Scope(RUN, f"s3://bucket/{'x' * 120}"))) <= POLICY_BYTES_MAX

    with pytest.raises(ConfigError, match="is too long for the keys of a run") as caught:
        policy_of(role, Scope(RUN, f"s3://bucket/{'x' * 900}"))

    assert caught.value.hint is not None
