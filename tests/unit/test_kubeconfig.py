"""Which cluster is meant: KUBECONFIG as kubectl reads it, and what is said of one that is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pymr.errors import ClusterError
from pymr.kubernetes.kube import open_kube
from pymr.kubernetes.kubeconfig import read_context

SECRET = "canary-0123456789abcdef"


def config(*names: str, current: str | None = None, user: Any = None) -> dict[str, Any]:
    """Return a kubeconfig with a cluster, a user and a context of each name."""
    return {
        "clusters": [
            {"name": n, "cluster": {"server": f"https://{n}:6443", "certificate-authority": "ca"}}
            for n in names
        ],
        "users": [{"name": n, "user": user or {"token": SECRET}} for n in names],
        "contexts": [
            {"name": n, "context": {"cluster": n, "user": n, "namespace": f"of-{n}"}} for n in names
        ],
        **({"current-context": current} if current else {}),
    }


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what writes files and has KUBECONFIG name them."""

    def write(*bodies: Any) -> list[Path]:
        paths = [tmp_path / f"config-{number}" for number, _ in enumerate(bodies)]
        for path, body in zip(paths, bodies, strict=True):
            path.write_text(body if isinstance(body, str) else yaml.safe_dump(body))
        monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)))
        return paths

    return write


def test_the_current_context_is_meant_if_none_is_named(write: Any) -> None:
    """With its own namespace."""
    write(config("one", "two", current="two"))

    context = read_context()

    assert (context.name, context.namespace) == ("two", "of-two")
    assert context.config.cluster.server == "https://two:6443"


def test_a_context_without_a_namespace_means_default(write: Any) -> None:
    """As kubectl has it."""
    body = config("one", current="one")
    del body["contexts"][0]["context"]["namespace"]
    write(body)

    assert read_context().namespace == "default"


def test_of_several_files_the_first_entry_of_a_name_counts(write: Any) -> None:
    """And each context is found, whichever file it is in."""
    first, second = config("one"), config("one", "two", current="two")
    second["clusters"][0]["cluster"]["server"] = "https://elsewhere"
    paths = write(first, second)

    assert read_context("one").config.cluster.server == "https://one:6443"
    assert read_context().name == "two"
    # A path is relative to its own file.
    assert read_context("two").config.cluster.certificate_auth == str(paths[1].parent / "ca")


def test_a_wrong_context_is_told_with_those_there_are(write: Any) -> None:
    """Exit 8, with one to type."""
    write(config("one", "two", current="one"))

    with pytest.raises(ClusterError, match="no context `three` in") as caught:
        read_context("three")

    assert caught.value.message.endswith("it has `one`, `two`")
    assert caught.value.hint == "--context one"
    assert caught.value.exit_code == 8


def test_without_a_current_context_one_has_to_be_named(write: Any) -> None:
    """Nothing is guessed."""
    write(config("one"))

    with pytest.raises(ClusterError, match="no current context"):
        read_context()


def test_no_kubeconfig_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was looked for is named."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))

    with pytest.raises(ClusterError, match="no cluster: there is no kubeconfig") as caught:
        read_context()

    assert caught.value.hint is not None
    assert "kind create cluster" in caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "a: b: c",
        "- 1",
        "clusters: 7",
        "clusters: [{name: x}]",
        "\x00",
        "contexts: [{name: one, context: {cluster: 7}}]\ncurrent-context: one",
    ],
)
def test_a_broken_kubeconfig_is_told_as_such(write: Any, body: str) -> None:
    """And nothing of it is repeated: it holds secrets."""
    write(body)

    with pytest.raises(ClusterError, match="is broken") as caught:
        read_context("one" if "one" in body else None)

    assert caught.value.exit_code == 8


def test_a_secret_of_a_broken_kubeconfig_is_not_repeated(write: Any) -> None:
    """YAML's own message quotes the line."""
    write(f"users: [{{name: x, user: {{token: {SECRET}: }}}}]: [")

    with pytest.raises(ClusterError) as caught:
        read_context()

    assert SECRET not in caught.value.message


def test_a_context_of_a_cluster_that_is_not_there(write: Any) -> None:
    """The name that is missing is told."""
    body = config("one", current="one")
    body["clusters"] = []
    write(body)

    with pytest.raises(ClusterError, match="names 'one', which is not there"):
        read_context()


def test_a_login_program_is_told_what_kubectl_would_tell_it(write: Any) -> None:
    """And of its versions v1 is one that works."""
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "args": ["x"]}
    write(config("one", current="one", user={"exec": program}))

    user = read_context().config.user

    assert user is not None
    assert user.exec is not None
    assert user.exec.apiVersion == "client.authentication.k8s.io/v1beta1"
    assert user.exec.env is not None
    told = json.loads({each.name: each.value for each in user.exec.env}["KUBERNETES_EXEC_INFO"])
    assert told["apiVersion"] == "client.authentication.k8s.io/v1"


def test_a_login_that_kubernetes_has_given_up_is_told(write: Any) -> None:
    """Its provider has another one by now."""
    write(config("one", current="one", user={"auth-provider": {"name": "gcp"}}))

    with pytest.raises(ClusterError, match="logs in by `auth-provider`"):
        read_context()


def test_a_certificate_that_is_missing_is_told(write: Any) -> None:
    """When the context is opened; the file is named."""
    write(config("one", current="one"))

    with pytest.raises(ClusterError, match="context `one` cannot log in: FileNotFoundError"):
        open_kube()
