"""News of objects, by watches: from a server that plays an API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.resources.core_v1 import Pod, Secret

from played_api_server import Answer, PlayedServer, played_server, refusal
from pymr.errors import ClusterError, UnreachableError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import News, Wanted

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"
WITHIN_S = 30.0


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    """Give a server that has nothing yet."""
    with played_server() as server:
        yield server


@pytest.fixture
def kube(server: PlayedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """Open the server's namespace."""
    with server.opened(tmp_path, monkeypatch) as kube:
        yield kube


def plays(server: PlayedServer, path: str, there: str, *events: tuple[str, str]) -> None:
    """Have objects there (`a b`), of which a watch then says: (what has happened, its name)."""
    items = [{"metadata": {"name": name, "resourceVersion": "1"}} for name in there.split()]
    listed = {"metadata": {"resourceVersion": "7"}, "items": items}
    lines = [
        {"type": what, "object": {"metadata": {"name": name, "resourceVersion": "8"}}}
        for what, name in events
    ]
    server.answers[f"GET {path}"] = Answer(200, listed)
    server.answers[f"WATCH {path}"] = Answer(200, "".join(f"{json.dumps(x)}\n" for x in lines))


def heard(news: News, count: int) -> list[tuple[str, str]]:
    """Return the next news."""
    items = [news.next(WITHIN_S) for _ in range(count)]
    return [(item.what, item.object.metadata.name) for item in items if item is not None]


def test_what_is_there_comes_first_and_then_what_happens(server: PlayedServer, kube: Kube) -> None:
    """An API server ends each watch some time; it is begun anew, and nobody notices."""
    plays(server, PODS, "a b", ("MODIFIED", "a"), ("DELETED", "b"))

    with News(kube, Wanted(Pod)) as news:
        first, again = heard(news, 4), heard(news, 2)

    assert first[:2] == [("ADDED", "a"), ("ADDED", "b")]
    assert first[2:] == again == [("MODIFIED", "a"), ("DELETED", "b")]


def test_news_of_several_kinds_come_by_one_call(server: PlayedServer, kube: Kube) -> None:
    """Each has a watch of its own."""
    plays(server, PODS, "pod")
    plays(server, SECRETS, "secret")

    with News(kube, Wanted(Pod), Wanted(Secret)) as news:
        names = {name for _, name in heard(news, 2)}

    assert names == {"pod", "secret"}


@pytest.mark.parametrize("verb", ["GET", "WATCH"])
def test_a_watch_that_is_refused_is_an_error(server: PlayedServer, kube: Kube, verb: str) -> None:
    """It would never tell anything."""
    plays(server, PODS, "")
    server.answers[f"{verb} {PODS}"] = refusal(403, "Forbidden", "no, not you")

    with News(kube, Wanted(Pod)) as news, pytest.raises(ClusterError, match="pods"):
        news.next(WITHIN_S)


def test_an_api_server_that_is_away_is_waited_for_and_what_went_meanwhile_is_told(
    server: PlayedServer, kube: Kube
) -> None:
    """It is being upgraded, for instance."""
    plays(server, PODS, "a b")
    with News(kube, Wanted(Pod)) as news:
        heard(news, 2)
        away = refusal(503, "ServiceUnavailable", "shutting down")
        server.answers.update({f"GET {PODS}": away, f"WATCH {PODS}": away})
        while "shutting down" not in (news.away.message if news.away else ""):
            assert news.next(0.1) is None
        plays(server, PODS, "b c")

        assert heard(news, 3) == [("DELETED", "a"), ("ADDED", "b"), ("ADDED", "c")]
        assert news.away is None


def test_a_version_that_the_server_has_forgotten_is_no_error(
    server: PlayedServer, kube: Kube
) -> None:
    """All is listed anew."""
    plays(server, PODS, "a")
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
    server.answers[f"WATCH {PODS}"] = Answer(200, f"{json.dumps(gone)}\n")

    with News(kube, Wanted(Pod)) as news:
        assert heard(news, 2) == [("ADDED", "a")] * 2


def test_an_api_server_that_never_answered_is_an_error(server: PlayedServer, kube: Kube) -> None:
    """Nobody would wait for it."""
    server.shutdown()
    server.server_close()

    with News(kube, Wanted(Pod)) as news, pytest.raises(UnreachableError, match="does not answer"):
        news.next(WITHIN_S)


def test_without_news_there_is_nothing_in_time(server: PlayedServer, kube: Kube) -> None:
    """Who waits has a deadline of its own."""
    plays(server, PODS, "")

    with News(kube, Wanted(Pod)) as news:
        assert news.next(0.05) is None
    news.close()
