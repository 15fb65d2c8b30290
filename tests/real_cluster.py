"""A real cluster for tests: the one that KUBECONFIG names, with a namespace for each test.

Without a cluster these tests are skipped; with CI set they fail. A test's namespace lets in hardened
pods alone, and is deleted after it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace
from lightkube.types import CascadeType

from cli import CommandLine
from pymr.errors import ClusterError
from pymr.kubernetes.images.context import Context
from pymr.kubernetes.images.ensure import (
    ImageRequest,
    Supply,
    ensure_images,
    ensure_storage_image,
)
from pymr.kubernetes.images.nodes import read_nodes
from pymr.kubernetes.kube import Kube, open_kube
from pymr.kubernetes.preflight import namespace_of

# As it was before a test took the home of whoever tests away.
KUBECONFIG = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
STORAGE_IMAGE = os.environ.get("PYMR_TEST_MINIO_IMAGE")
HOW = "kind create cluster   makes one"
WAIT_S = 120.0
KINDS = "all,pvc,secret,networkpolicy,poddisruptionbudget"
# Plays `pymr master` and `pymr worker`: does what stands where the real ones find what they do.
PLAYED = (
    '#!/bin/sh\ncase "$1" in master) . /etc/pymr/spec.json ;; *) . /etc/pymr/join.json ;; esac\n'
)
DOCKERFILE = (
    "FROM debian:trixie-slim\nCOPY pymr /usr/local/bin/pymr\nRUN chmod 755 /usr/local/bin/pymr\n"
)

Found = TypeVar("Found")


@cache
def absence() -> str | None:
    """Return why there is no cluster; None: there is one."""
    try:
        with opened("default") as kube, kube.asking("look for the cluster"):
            kube.client.get(Namespace, "default")
    except ClusterError as error:
        return error.message
    return None


def cannot_run(why: str) -> NoReturn:
    """Skip a test that cannot run here; with CI set, fail it."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@contextmanager
def opened(name: str) -> Iterator[Kube]:
    """Open a namespace of the cluster that is for tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", KUBECONFIG)
        kube = open_kube(namespace=name)
    with kube:
        yield kube


@contextmanager
def new_namespace() -> Iterator[Kube]:
    """Make a namespace of its own, and delete it. Without a cluster the test is skipped."""
    why = absence()
    if why is not None:
        cannot_run(f"{why}   {HOW}")
    with opened(f"pymr-test-{secrets.token_hex(4)}") as kube:
        kube.client.create(namespace_of(kube.namespace))
        try:
            yield kube
        finally:
            # Pods of indexed Jobs hold on to a namespace that goes before their Jobs.
            kube.client.deletecollection(Job, cascade=CascadeType.BACKGROUND)
            kube.client.delete(Namespace, kube.namespace)


def command_line(kube: Kube, folder: Path) -> CommandLine:
    """Return a folder for commands about the namespace."""
    cli = CommandLine(folder)
    told = {"KUBECONFIG": KUBECONFIG, "PYMR_NAMESPACE": kube.namespace}
    cli.environ.update(told)
    return cli


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process of the tests build images: the others find what it has built."""
    with (Path(tempfile.gettempdir()) / "pymr-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def storage_image(kube: Kube) -> str:
    """Return the image of MinIO; if the nodes do not have it, it is built: some minutes."""
    with one_at_a_time():
        return STORAGE_IMAGE or ensure_storage_image(kube, ImageRequest(), print)


def bring_images(kube: Kube) -> None:
    """Have the images of masters and workers on the nodes, so that a test's time is its run's."""
    with one_at_a_time():
        ensure_images(kube, ImageRequest(), print)


def played_image(kube: Kube) -> str:
    """Return an image whose `pymr` does what a Secret of the run says."""
    files = {"Dockerfile.played": DOCKERFILE.encode(), "pymr": PLAYED.encode()}
    nodes = read_nodes(kube)
    context = Context(role="played", architecture=min(nodes.architectures), files=files)
    return Supply(kube.context, nodes, ImageRequest(), print).bring(context)


def kubectl(kube: Kube, *arguments: str, stdin: str | None = None) -> str:
    """Call kubectl in the namespace, and return what it prints."""
    done = subprocess.run(
        ["kubectl", "--context", kube.context, "-n", kube.namespace, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": KUBECONFIG},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def quota(kube: Kube, name: str, hard: str) -> Iterator[None]:
    """Have a quota that counts, until the end of the block: before that it is another refusal."""
    kubectl(kube, "create", "quota", name, f"--hard={hard}")
    try:
        told = ("get", "quota", name, "-o", "jsonpath={.status.hard}")
        until("it does not count", lambda: kubectl(kube, *told))
        yield
    finally:
        kubectl(kube, "delete", "quota", name)


def ours(kube: Kube) -> list[str]:
    """Return all that carries our label in the namespace: `Job/x`."""
    labelled = ("-l", "app.kubernetes.io/managed-by=pymr", "-o", "json")
    items = json.loads(kubectl(kube, "get", KINDS, *labelled))["items"]
    return sorted(f"{each['kind']}/{each['metadata']['name']}" for each in items)


def until(what: str, found: Callable[[], Found], within_s: float = WAIT_S) -> Found:
    """Return what `found` returns as soon as that is true."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not (value := found()):
        assert time.monotonic() < deadline, what
        pause.wait(0.1)
    return value
