"""Which versions of Kubernetes can run a job.

All that is asked of a cluster is on by default from 1.29 on: failure policies of pods, of indexes,
and when a lost pod is replaced. An older API server leaves out in silence what it does not know.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

import msgspec
from lightkube.config import client_adapter

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube

OLDEST: Final = (1, 29)
VERSION_S: Final = 10.0


class Version(NamedTuple):
    """Of an API server."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class _Told(msgspec.Struct):
    major: Annotated[str, msgspec.Meta(pattern=r"^\d+$")]
    minor: Annotated[str, msgspec.Meta(pattern=r"^\d+")]  # some clouds write `34+`


def read_version(kube: Kube) -> Version:
    """Return the version of the cluster.

    Raises:
        ClusterError: it does not answer, or not with a version.
    """
    parameters = client_adapter.ConnectionParams(timeout=VERSION_S)  # type: ignore[arg-type]
    with (
        kube.asking("read the version of the cluster"),
        client_adapter.Client(kube.client.config, parameters) as client,
    ):
        answer = client.get("/version")
        answer.raise_for_status()
    try:
        told = msgspec.json.decode(answer.content, type=_Told)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClusterError(
            f"{kube.told.server} is no cluster of Kubernetes: it has no version",
            hint=f"kubectl --context {kube.context} version   or another --context",
        ) from error
    minor = re.match(r"\d+", told.minor)
    assert minor is not None, "a pattern says so"
    return Version(int(told.major), int(minor[0]))


def require_version(kube: Kube) -> Version:
    """Return the version of the cluster, which can run a job.

    Raises:
        ClusterError: it is too old.
    """
    version = read_version(kube)
    if version < OLDEST:
        raise ClusterError(
            f"the cluster of context `{kube.context}` has Kubernetes {version}, expected"
            f" {Version(*OLDEST)} or newer",
            hint="--context   with a newer cluster, or   --on hosts",
        )
    return version
