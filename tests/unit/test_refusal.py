"""What an API server refuses, in words: what was asked, why not, what to type next."""

from __future__ import annotations

import ssl

import httpx2
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.exceptions import ConfigError as LightkubeConfigError
from lightkube.models.meta_v1 import Status

from pymr.errors import ClusterError, UnreachableError
from pymr.kubernetes.refusal import Told, refusing

TOLD = Told("kind-lab", "analytics", "https://127.0.0.1:6443")
FORBIDDEN = (
    'jobs.batch is forbidden: User "ann" cannot create resource "jobs" in API group "batch"'
    ' in the namespace "analytics"'
)
QUOTA = (
    'pods "x" is forbidden: exceeded quota: small, requested: requests.memory=1Gi,'
    " used: requests.memory=3Gi, limited: requests.memory=3Gi"
)
POD_SECURITY = (
    'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
)


def refused(error: Exception) -> ClusterError:
    """Return what becomes of an error."""
    with pytest.raises(ClusterError) as caught, refusing(TOLD, "apply job `x`"):
        raise error
    assert caught.value.exit_code == 8
    return caught.value


def answer(code: int, reason: str, message: str) -> ApiError:
    """Return an answer of an API server."""
    return ApiError(status=Status(code=code, reason=reason, message=message))


def test_f124_a_missing_permission_names_verb_and_resource() -> None:
    """As a Role would: with its group."""
    error = refused(answer(403, "Forbidden", FORBIDDEN))

    assert error.message == (
        "cannot apply job `x`: user `ann` has no permission to create jobs.batch"
        " in namespace `analytics`"
    )
    assert error.hint == "kubectl --context kind-lab -n analytics auth can-i create jobs.batch"
    assert [error.fields[name] for name in ("verb", "resource", "group", "reason")] == [
        *("create", "jobs", "batch", "Forbidden")
    ]


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (403, QUOTA, "kubectl --context kind-lab -n analytics describe quota"),
        (403, POD_SECURITY, "kubectl --context kind-lab describe namespace analytics"),
        (400, 'admission webhook "no.latest" denied the request: no, not here', None),
        (
            403,
            "maximum memory usage per Container is 128Mi, but limit is 1Gi",
            "kubectl --context kind-lab -n analytics describe limitrange",
        ),
        (404, 'namespaces "analytics" not found', "pymr up --namespace analytics"),
        (422, 'Job.batch "x" is invalid: spec.completions: field is immutable', None),
        (
            404,
            "the server could not find the requested resource",
            "kubectl --context kind-lab version",
        ),
        (
            403,
            "unable to create new content in namespace analytics because it is being terminated",
            "pymr down --force --namespace analytics",
        ),
    ],
    ids=["quota", "pod-security", "webhook", "limits", "namespace", "invalid", "old", "ending"],
)
def test_f113_what_a_policy_says_is_repeated_verbatim(
    code: int, message: str, hint: str | None
) -> None:
    """Its author wrote it for people."""
    error = refused(answer(code, "Forbidden", message))

    assert error.message == f"cannot apply job `x`: {message}"
    assert error.hint == hint


def test_what_a_policy_says_cannot_command_a_terminal() -> None:
    """Control characters are escaped."""
    assert "\x1b" not in refused(answer(403, "Forbidden", "no\x1b[2J way")).message


def test_an_unknown_user_is_told_who_they_are() -> None:
    """An expired token, for instance."""
    error = refused(answer(401, "Unauthorized", "Unauthorized"))

    assert "`kind-lab` does not know this user: Unauthorized" in error.message
    assert error.hint == "kubectl --context kind-lab auth whoami"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_api_server_that_is_not_well_may_be_asked_again(code: int) -> None:
    """The error is one of those that go by."""
    error = refused(answer(code, "InternalError", "etcdserver: request timed out"))

    assert isinstance(error, UnreachableError)
    assert error.message.endswith("is not well: etcdserver: request timed out")


@pytest.mark.parametrize(
    "error",
    [httpx2.ConnectError("[Errno 111] Connection refused"), httpx2.ReadTimeout("timed out")],
    ids=["refused", "silent"],
)
def test_a_cluster_that_does_not_answer_is_named_with_its_address(error: Exception) -> None:
    """So that a forgotten VPN, or a cluster that was deleted, is seen."""
    told = refused(error)

    assert told.message == (
        f"the cluster of context `kind-lab` at https://127.0.0.1:6443 does not answer: {error}"
    )
    assert isinstance(told, UnreachableError)
    assert told.hint == "kubectl --context kind-lab cluster-info   or another --context"


@pytest.mark.parametrize(
    "error",
    [
        LightkubeConfigError("Exec aws returned 255: Unable to locate credentials"),
        FileNotFoundError(2, "No such file or directory", "client.key"),
        ssl.SSLError(1, "[X509: KEY_VALUES_MISMATCH]"),
    ],
    ids=["program", "file", "key"],
)
def test_a_login_that_does_not_work_says_why(error: Exception) -> None:
    """The words of the program, or which file."""
    told = refused(error)

    assert told.message.startswith("context `kind-lab` cannot log in: ")
    assert str(error) in told.message


def test_something_else_than_an_api_server_is_told_as_such() -> None:
    """Such as the page of a proxy."""
    response = httpx2.Response(502, text="<html>", request=httpx2.Request("GET", TOLD.server))

    error = refused(httpx2.HTTPStatusError("bad", request=response.request, response=response))

    assert "answers with HTTP 502: it is not well; maybe it is a proxy" in error.message


def test_errors_of_our_own_pass() -> None:
    """They are bugs, or the block's."""
    with pytest.raises(ValueError, match="ours"), refusing(TOLD, "apply"):
        raise ValueError("ours")
