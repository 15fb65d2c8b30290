"""What a user must be allowed to do in a namespace, by what a cluster says is allowed."""

from __future__ import annotations

import pytest
from lightkube.models.authorization_v1 import ResourceRule, SubjectRulesReviewStatus

from pymr.kubernetes.permission import (
    FOR_REMOVAL,
    FOR_RUN,
    FOR_STORAGE,
    Need,
    is_allowed,
    role_of,
)

CREATE_JOBS = Need("batch", "jobs", "create")


def review(*rules: ResourceRule) -> SubjectRulesReviewStatus:
    """Return what a cluster says is allowed."""
    return SubjectRulesReviewStatus(
        incomplete=False, nonResourceRules=[], resourceRules=list(rules)
    )


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (ResourceRule(verbs=["create"], apiGroups=["batch"], resources=["jobs"]), True),
        (ResourceRule(verbs=["*"], apiGroups=["*"], resources=["*"]), True),
        (ResourceRule(verbs=["get", "list"], apiGroups=["batch"], resources=["jobs"]), False),
        (ResourceRule(verbs=["create"], apiGroups=[""], resources=["jobs"]), False),
        (ResourceRule(verbs=["create"], apiGroups=["batch"], resources=["cronjobs"]), False),
        (
            ResourceRule(
                verbs=["create"], apiGroups=["batch"], resources=["jobs"], resourceNames=["one"]
            ),
            False,
        ),
        (ResourceRule(verbs=["create"]), False),
    ],
    ids=["exact", "all", "verb", "group", "resource", "one-name", "no-resource"],
)
def test_f124_a_rule_allows_its_verbs_on_all_objects_of_its_kinds(
    rule: ResourceRule, *, allowed: bool
) -> None:
    """A rule for one name does not: ours are made up for each run."""
    assert is_allowed(CREATE_JOBS, review(rule)) is allowed


def test_a_role_of_what_is_missing_allows_it() -> None:
    """And no more: no star is in it, and no object of the whole cluster."""
    needs = {*FOR_STORAGE, *FOR_RUN, *FOR_REMOVAL}

    role = role_of(needs)

    assert role.rules is not None
    rules = [
        ResourceRule(verbs=rule.verbs, apiGroups=rule.apiGroups, resources=rule.resources)
        for rule in role.rules
    ]
    assert all(is_allowed(need, review(*rules)) for need in needs)
    listed = [(*(r.apiGroups or ()), *(r.resources or ()), verb) for r in rules for verb in r.verbs]
    assert sorted(listed) == sorted(needs)


def test_a_need_is_written_as_kubectl_does() -> None:
    """`kubectl auth can-i` takes it."""
    assert str(CREATE_JOBS) == "create jobs.batch"
    assert str(Need("", "pods/log", "get")) == "get pods/log"
