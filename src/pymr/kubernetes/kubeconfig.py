"""Which cluster is meant: the kubeconfig as kubectl reads it.

KUBECONFIG may name several files; of two entries with one name the first counts. Without it the
file is `~/.kube/config`. Without that, in a pod, it is the pod's own service account.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import yaml
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.config.models import NameValue, User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from pymr.errors import ClusterError
from pymr.text_form import show_path, show_text

DEFAULT_FILE: Final = "~/.kube/config"
DEFAULT_NAMESPACE: Final = "default"
KUBECONFIG_BYTES_MAX: Final = 16 << 20  # a thousand clusters with their certificates
_NAMES_SHOWN_MAX: Final = 10
_EXEC_V1: Final = "client.authentication.k8s.io/v1"
_EXEC_V1BETA1: Final = "client.authentication.k8s.io/v1beta1"
# Paths that are relative to the file they stand in.
_CLUSTER_PATHS: Final = ("certificate-authority",)
_USER_PATHS: Final = ("client-certificate", "client-key", "tokenFile")
_SECTIONS: Final = (
    ("clusters", "cluster", _CLUSTER_PATHS),
    ("users", "user", _USER_PATHS),
    ("contexts", "context", ()),
)


class Context(NamedTuple):
    """A cluster, a user of it and a namespace."""

    name: str
    namespace: str
    config: SingleConfig


def read_context(name: str | None = None) -> Context:
    """Return the context of that name; None: the current one.

    Raises:
        ClusterError: there is no kubeconfig, no such context in it, or it is broken.
    """
    paths = kubeconfig_paths()
    if not paths:
        return _of_the_pod(name)
    merged = _merged(paths)
    where = ", ".join(f"`{show_path(path)}`" for path in paths)
    known = sorted(str(each["name"]) for each in merged["contexts"])
    wanted = name if name is not None else merged["current-context"]
    if wanted is None or wanted == "":
        raise ClusterError(
            f"no current context in {where}; it has {_listed(known)}",
            hint=f"--context {known[0]}" if known else "kind create cluster",
        )
    if wanted not in known:
        raise ClusterError(
            f"no context `{show_text(wanted)}` in {where}; it has {_listed(known)}",
            hint=f"--context {known[0]}" if known else "kind create cluster",
        )
    try:
        config = KubeConfig.from_dict(merged).get(wanted)
    except (KeyError, LightkubeConfigError) as error:
        raise ClusterError(
            f"context `{show_text(wanted)}` of {where} names {error}, which is not there",
            hint="kubectl config view",
        ) from error
    except (msgspec.MsgspecError, TypeError) as error:
        raise _broken(where, error) from error
    assert config is not None, "a context was named"
    user = config.user or User()
    if user.auth_provider is not None and not (user.token or user.exec):
        raise ClusterError(
            f"context `{show_text(wanted)}` logs in by `auth-provider`, which Kubernetes has given"
            " up, expected `exec` or a token",
            hint="log in to the cluster anew with its provider's own tool",
        )
    return Context(wanted, config.namespace, config._replace(user=_with_exec(user)))


def kubeconfig_paths() -> list[str]:
    """Return the files that are there."""
    named = os.environ.get("KUBECONFIG")
    paths = named.split(os.pathsep) if named else [os.path.expanduser(DEFAULT_FILE)]
    return [path for path in paths if path and os.path.exists(path)]


def _of_the_pod(name: str | None) -> Context:
    named = os.environ.get("KUBECONFIG")
    if named is None and name is None:
        try:
            config = KubeConfig.from_service_account(SERVICE_ACCOUNT).get()
        except (LightkubeConfigError, KeyError, OSError):
            config = None
        if config is not None:
            return Context("in-cluster", config.namespace, config)
    looked = show_path(named or DEFAULT_FILE)
    raise ClusterError(
        f"no cluster: there is no kubeconfig, looked for `{looked}`",
        hint="kind create cluster   or   export KUBECONFIG=FILE",
    )


def _merged(paths: list[str]) -> dict[str, Any]:
    """Return one kubeconfig of several files: the first entry of a name counts."""
    sections: dict[str, dict[str, Any]] = {section: {} for section, _, _ in _SECTIONS}
    current = None
    for path in paths:
        try:
            read = _read(path)
            current = current or read.get("current-context")
            for section, key, inner in _SECTIONS:
                for entry in read.get(section) or ():
                    _absolute(entry[key], inner, path)
                    sections[section].setdefault(str(entry["name"]), entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise _broken(f"`{show_path(path)}`", error) from error
    merged: dict[str, Any] = {name: list(entries.values()) for name, entries in sections.items()}
    return {**merged, "current-context": current}


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            body = file.read(KUBECONFIG_BYTES_MAX + 1)
        if len(body) > KUBECONFIG_BYTES_MAX:
            raise _broken(f"`{show_path(path)}`", f"more than {KUBECONFIG_BYTES_MAX} bytes")
        read = yaml.safe_load(body)
    except OSError as error:
        raise ClusterError(
            f"cannot read kubeconfig `{show_path(path)}`: {error.strerror}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(f"`{show_path(path)}`", _place_of(error)) from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise _broken(f"`{show_path(path)}`", f"a {type(read).__name__}, expected a table")
    return read


def _place_of(error: Exception) -> str:
    """Return where a YAML file is broken. What stands there may be a secret, and is not told."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or type(error).__name__
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _absolute(entry: dict[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in keys:
        if entry.get(key):
            entry[key] = os.path.join(os.path.dirname(os.path.abspath(path)), entry[key])


def _with_exec(user: User) -> User:
    """Return a user whose login program speaks the version that lightkube knows.

    v1 and v1beta1 answer alike; lightkube refuses the former, and tells the program neither.
    """
    program = user.exec
    if program is None:
        return user
    told = {"apiVersion": program.apiVersion, "kind": "ExecCredential"}
    info = json.dumps({**told, "spec": {"interactive": False}})
    version = _EXEC_V1BETA1 if program.apiVersion == _EXEC_V1 else program.apiVersion
    env = [*(program.env or ()), NameValue("KUBERNETES_EXEC_INFO", info)]
    return msgspec.structs.replace(
        user, exec=msgspec.structs.replace(program, apiVersion=version, env=env)
    )


def _listed(names: list[str]) -> str:
    def shown() -> Iterator[str]:
        yield from (f"`{show_text(name)}`" for name in names[:_NAMES_SHOWN_MAX])
        if len(names) > _NAMES_SHOWN_MAX:
            yield f"{len(names) - _NAMES_SHOWN_MAX} more"

    return ", ".join(shown()) or "none"


def _broken(where: str, error: object) -> ClusterError:
    return ClusterError(
        f"kubeconfig {where} is broken: {error}", hint="kubectl config view   or another KUBECONFIG"
    )
