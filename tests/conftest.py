"""What every test runs in: a home that is nobody's, and no settings. And golden files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import services
from s3_request import Server

# A machine that does other things, too, may stand still for longer than any deadline of an example.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden files be made anew; what has changed is reviewed with the commit."""
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew")


def pytest_configure() -> None:
    """Have no signal ignored, as behind `nohup` or `&`: commands that tests start would inherit it.

    A handler does nothing here either, and is no command's.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the list of runs and the settings of whoever tests out of it, and it out of them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        for name in [name for name in os.environ if name.startswith(("PYMR_", "AWS_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def minio() -> Iterator[Server]:
    """Give a MinIO; mark what uses it as `services`."""
    yield from _service("minio")


@pytest.fixture(scope="session")
def ceph() -> Iterator[Server]:
    """Give a Ceph; mark what uses it as `services`."""
    yield from _service("ceph")


@pytest.fixture
def kube() -> Iterator[Any]:
    """Give a namespace of a real cluster; mark what uses it as `e2e`."""
    import real_cluster  # It needs the extra [kubernetes].

    with real_cluster.new_namespace() as kube:
        yield kube


def _service(name: str) -> Iterator[Server]:
    if name in services.STARTED:
        yield Server(*services.STARTED[name])
    elif name == "minio":
        with services.minio() as server:
            yield server
    else:
        services.refuse_absent(name)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return what compares a text with a golden file beside the test, or rewrites the file."""

    def compare(name: str, text: str) -> None:
        path: Path = request.path.with_name(f"{name}.txt")
        if request.config.getoption("--rewrite-golden"):
            path.write_text(text)
        assert text == path.read_text(), "after a change on purpose: pytest --rewrite-golden"

    return compare
