"""A port that leads into a cluster: what kubectl is told, and what it means when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hosts_run import until
from pymr.errors import ClusterError
from pymr.kubernetes.forward import Forward, Target

TARGET = Target("kind-x", "data", "service/minio", 9000)
# Writes what it was called with, and says a port; ends as soon as the file `gone` is there.
KUBECTL = """\
#!/bin/sh
echo "$@" >> calls
echo "$$" >> pids
echo 'Forwarding from 127.0.0.1:39123 -> 9000'
while [ ! -e gone ]; do sleep 0.05; done
rm gone
echo 'error: lost connection to pod' >&2
exit 1
"""
REFUSING = """\
#!/bin/sh
echo 'Error from server (NotFound): services "minio" not found' >&2
exit 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder whose programs go before others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def kubectl(folder: Path, script: str = KUBECTL) -> None:
    """Put a kubectl there."""
    path = folder / "kubectl"
    path.write_text(script)
    path.chmod(0o755)


def is_alive(pid: str) -> bool:
    """Say whether a process is there."""
    return Path(f"/proc/{pid}").exists()


def test_a_port_is_kubectls_choice_and_ends_with_the_block(folder: Path) -> None:
    """It leads to the service, by name, in the very context and namespace."""
    kubectl(folder)

    with Forward(TARGET) as forward:
        assert forward.endpoint == "http://127.0.0.1:39123"
        pid = (folder / "pids").read_text().strip()
        assert is_alive(pid)

    until("kubectl is left", lambda: not is_alive(pid))
    assert (folder / "calls").read_text() == (
        "--context kind-x --namespace data port-forward --address 127.0.0.1 service/minio :9000\n"
    )


def test_f120_when_the_pod_goes_the_same_port_leads_to_the_next(folder: Path) -> None:
    """Whoever uses the port waits, and finds the store again."""
    kubectl(folder)

    with Forward(TARGET) as forward:
        (folder / "gone").touch()
        until("kubectl is not started again", lambda: len(calls(folder)) == 2)

        assert calls(folder)[1].endswith(" service/minio 39123:9000")
        assert forward.port == 39123
    until("kubectl is left", lambda: not any(map(is_alive, pids(folder))))


def calls(folder: Path) -> list[str]:
    """Return what kubectl was called with."""
    return (folder / "calls").read_text().splitlines()


def pids(folder: Path) -> list[str]:
    """Return the processes that it was."""
    return (folder / "pids").read_text().split()


def test_a_service_that_is_not_there_is_told_in_kubectls_words(folder: Path) -> None:
    """And nothing is left."""
    kubectl(folder, REFUSING)

    with pytest.raises(ClusterError, match=r'services "minio" not found') as caught:
        Forward(TARGET).open()

    assert caught.value.exit_code == 8
    assert caught.value.message.startswith(
        "no port of this machine leads to service/minio in namespace `data`"
    )


def test_without_kubectl_it_says_where_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has only Python learns what is missing."""
    monkeypatch.setenv("PATH", str(folder))

    with pytest.raises(ClusterError, match="there is no kubectl here") as caught:
        Forward(TARGET).open()

    assert caught.value.hint == "https://kubernetes.io/docs/tasks/tools/"


def test_a_command_that_is_killed_leaves_no_kubectl(folder: Path) -> None:
    """Whoever holds the port is gone, and so is the port."""
    kubectl(folder)
    script = (
        "from pymr.kubernetes.forward import Forward, Target\n"
        "Forward(Target('kind-x', 'data', 'service/minio', 9000)).open()\n"
        "print('open', flush=True)\nimport signal; signal.pause()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    assert any(map(is_alive, pids(folder)))

    holder.kill()
    holder.wait()
    holder.stdout.close()

    until("kubectl is left", lambda: not any(map(is_alive, pids(folder))))
