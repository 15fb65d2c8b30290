"""How a run in pods has ended whose master could not put that into its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import CommandLine
from played_api_server import Answer, PlayedServer, played_server
from pymr.core.events import RunFinished, Warned
from pymr.errors import (
    ClusterError,
    IncompleteError,
    InterruptedRunError,
    PymrError,
    StoreFullError,
    to_dict,
)
from pymr.kubernetes import sight
from pymr.kubernetes.follow import Seen, Waiting, entries, follow_run
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.watch import Watch
from pymr.observe.feed import END_FILE, Feed, JsonLines, last_word, read_entries, thin
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.store.access import Access
from pymr.store.place import open_place

RUN = "0192f0c0-0000-7000-8000-000000000001"
PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
EVENTS = "/api/v1/namespaces/default/events"
FULL = StoreFullError("the store has no room left", hint="pymr up", key="journal/00000001")


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    """Give a server in which a run has come to its end without a word."""
    with played_server() as server:
        has(server, EVENTS)
        has(server, PODS)
        has(server, JOBS, job())
        yield server


@pytest.fixture
def kube(server: PlayedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """Open the server's namespace."""
    with server.opened(tmp_path, monkeypatch) as kube:
        yield kube


@pytest.fixture
def found(tmp_path: Path) -> FoundRun:
    """Give a run whose history says that it was planned, and no more."""
    return written(tmp_path, Warned("it begins"))


def written(folder: Path, *events: Any) -> FoundRun:
    """Write a history, and return its run."""
    place = open_place(str(folder / "out"), Access())
    with place.history(RUN, thin) as history:
        feed = Feed([JsonLines(history.append)], lambda: 0.0)
        for event in events:
            feed.append(event)
    return FoundRun(RUN, "words", place, 0.0)


def has(server: PlayedServer, path: str, *items: dict[str, Any]) -> None:
    """Have objects there, of which a watch says nothing more."""
    listed = {"metadata": {"resourceVersion": "7"}, "items": list(items)}
    server.answers[f"GET {path}"] = Answer(200, listed)
    server.answers[f"WATCH {path}"] = Answer(200, "")


def job(condition: str = "Failed") -> dict[str, Any]:
    """Return the Job of the master, at its end."""
    ended = {"conditions": [{"type": condition, "status": "True"}]}
    template = {"spec": {"containers": []}}
    return {
        "metadata": {"name": labels.master_name(RUN)},
        "spec": {"template": template},
        "status": ended,
    }


def master(code: int, message: str) -> dict[str, Any]:
    """Return the pod of a master that has ended."""
    ended = {"exitCode": code, "message": message, "finishedAt": "2026-09-21T14:00:00Z"}
    about = {"name": "master", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    return {
        "metadata": {"name": "m", "labels": labels.run_labels(RUN, "words", "master")},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{**about, "state": {"terminated": ended}}],
        },
    }


def followed(kube: Kube, found: FoundRun, *, after: int = 0) -> RunFinished:
    """Follow the run to its end."""
    seen = Seen(Observer(), after)
    with Watch(kube, RUN, schedule_timeout_s=300.0) as watch:
        wait = Waiting(watch, seen.tick, str)
        return follow_run(found, watch, seen, entries(found, Access(), wait, after=after))


def test_f115_an_end_that_is_not_in_the_store_comes_from_the_pod(
    server: PlayedServer, kube: Kube, found: FoundRun
) -> None:
    """As the same error, with its hint and its fields."""
    has(server, PODS, master(6, last_word(FULL, 0.0).decode()))

    assert followed(kube, found).error == to_dict(FULL)


def test_the_end_of_an_earlier_life_is_not_that_of_this_one(
    server: PlayedServer, kube: Kube, tmp_path: Path
) -> None:
    """A run that was resumed may find the store full before it has said anything."""
    found = written(tmp_path, Warned("it begins"), RunFinished(to_dict(PymrError("before"))))
    has(server, PODS, master(6, last_word(FULL, 0.0).decode()))

    assert followed(kube, found, after=2).error == to_dict(FULL)
    assert followed(kube, found).error == to_dict(PymrError("before"))


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (1, "Traceback: no module", "it ended with exit code 1: Traceback: no module"),
        (137, "", "it ended with exit code 137"),
        (
            143,
            last_word(InterruptedRunError("stopped", signal="SIGTERM"), 0.0).decode(),
            "it ended with exit code 143: stopped",
        ),
    ],
    ids=["printed", "nothing", "moved"],
)
def test_a_master_that_left_no_end_is_told_with_what_there_is(
    server: PlayedServer, kube: Kube, found: FoundRun, code: int, message: str, said: str
) -> None:
    """Its logs may say more."""
    has(server, PODS, master(code, message))

    with pytest.raises(ClusterError) as raised:
        followed(kube, found)

    assert raised.value.message == f"the master of words ended without a result: {said}"
    assert raised.value.hint == "pymr logs words   or   pymr resume words"


def test_a_run_of_which_nothing_is_there_is_not_at_work(
    server: PlayedServer, kube: Kube, found: FoundRun
) -> None:
    """It can be resumed."""
    has(server, JOBS, {**job(), "status": {}})
    has(server, PODS, master(6, last_word(FULL, 0.0).decode()))
    told = read_entries(found.place.read_history(RUN))

    with Watch(kube, RUN, schedule_timeout_s=300.0) as watch:
        assert Waiting(watch, lambda _: None, str).last_entry() is None
        with pytest.raises(IncompleteError, match="words is not at work"):
            follow_run(found, watch, Seen(Observer()), told)


@pytest.mark.parametrize("end", [True, False])
def test_a_run_that_is_gone_from_the_cluster_may_have_ended(
    server: PlayedServer,
    kube: Kube,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: bool,  # noqa: FBT001
) -> None:
    """Whoever else follows it removes what is left: its history says how it ended."""
    monkeypatch.setattr(sight, "RUN_GONE_S", 0.0)
    listed = job()
    has(server, JOBS, {**listed, "status": {}})
    gone = json.dumps({"type": "DELETED", "object": {**listed, "kind": "Job"}})
    server.answers[f"WATCH {JOBS}"] = Answer(200, f"{gone}\n")
    found = written(tmp_path, Warned("it begins"), *([RunFinished()] if end else []))

    with Watch(kube, RUN, schedule_timeout_s=300.0) as watch:
        told = entries(found, Access(), Waiting(watch, lambda _: None, str))
        if end:
            assert isinstance(list(told)[-1].event, RunFinished)
        else:
            with pytest.raises(IncompleteError, match="deleted from the cluster"):
                list(told)


def test_a_command_leaves_its_error_where_it_is_told(tmp_path: Path) -> None:
    """For the kubelet of a pod; one that is there already is written over."""
    cli = CommandLine(tmp_path)
    cli.write("end", "x" * 9999)
    cli.environ[END_FILE] = str(cli.folder / "end")

    refused = cli.run("master", "spec.json")

    (entry,) = read_entries([(cli.folder / "end").read_bytes()])
    assert isinstance(entry.event, RunFinished)
    assert entry.event.error is not None
    assert entry.event.error["type"] == "ConfigError"
    refused.refused(2, entry.event.error["message"])
