"""What a master tells Prometheus, and whether it is well."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pymr.cluster.metrics import STALLED_S, STORE_AWAY_S, Gauges, MetricsServer, measured
from pymr.cluster.roster import Roster
from pymr.core import events
from pymr.core.spec import Attempt, JobSpec, Receipt, Shape
from pymr.errors import ClusterError, ConfigError, TaskLostError, to_dict
from pymr.observe.snapshot import Snapshot, fold
from pymr.store.object_retry import RequestCounts

SHAPE = Shape(input_format="text", reducer="function", combiner="sum", digest="d")
SPEC = JobSpec(run="r", name="wc", worker="worker.py", shape=SHAPE, reducers=2)
FIRST, SECOND = Attempt("map", 0, 1), Attempt("map", 1, 1)


class Clock:
    """A time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Return it, in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gauges(clock: Clock) -> Gauges:
    return Gauges(clock)


@pytest.fixture
def server(gauges: Gauges) -> Iterator[MetricsServer]:
    with MetricsServer(gauges, "127.0.0.1:0") as server:
        yield server


def beat(gauges: Gauges, *happened: events.Event, store: RequestCounts | None = None) -> None:
    """Have a master tick after these events."""
    snapshot = Snapshot()
    for index, event in enumerate(happened):
        fold(snapshot, events.Entry(1, index + 1, 100.0, event))  # type: ignore[arg-type]
    gauges.beat(snapshot, Roster(), refused=7, store=store)


def asked(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, str]:
    """Return the status and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def values(server: MetricsServer) -> dict[str, float]:
    """Return each sample by its name and the values of its labels."""
    status, text = asked(server, "/metrics")
    assert status == 200
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_numbers_are_those_that_the_feed_folds(gauges: Gauges, server: MetricsServer) -> None:
    """By the conventions of Prometheus, which its own parser reads."""
    receipt = Receipt(
        attempt=FIRST, key="k", size=1, code_digest="d", bytes_in=300, records_in=9, skipped=2
    )
    lost = to_dict(TaskLostError("lost"))
    beat(
        gauges,
        events.RunResumed(SPEC, map_tasks=3, input_files=2, input_bytes=900, epoch=1),
        events.AttemptStarted(FIRST, "a"),
        events.TaskCommitted(receipt),
        events.AttemptStarted(SECOND, "a"),
        events.AttemptLost(SECOND, "a", lost, True),
        events.AttemptStarted(Attempt("map", 1, 2), "a"),
        store=RequestCounts(retried=5, waited_s=1.5),
    )
    gauges.slots.observe(0.02)

    seen = values(server)

    expected = {
        "pymr_tasks map pending": 1,
        "pymr_tasks map leased": 1,
        "pymr_tasks map committed": 1,
        "pymr_tasks reduce pending": 2,
        "pymr_attempts_total committed map": 1,
        "pymr_attempts_total lost map": 1,
        "pymr_attempts_total failed map": 0,
        "pymr_bytes_in_total map": 300,
        "pymr_records_in_total map": 9,
        "pymr_bad_records_total": 2,
        "pymr_workers": 0,
        "pymr_slots": 0,
        "pymr_calls_refused_total": 7,
        "pymr_store_requests_retried_total": 5,
        "pymr_store_wait_seconds_total": 1.5,
        "pymr_journal_slot_seconds_count": 1,
        "pymr_journal_slot_seconds_bucket 0.025": 1,
    }
    assert {name: seen[name] for name in expected} == expected
    assert "process_cpu_seconds_total" in seen


def test_before_a_first_tick_there_are_no_numbers_and_all_is_well(server: MetricsServer) -> None:
    """A master reads its journal first."""
    assert "pymr_workers" not in values(server)
    assert asked(server, "/healthz") == (200, "ok\n")


def test_a_loop_that_does_not_tick_is_not_well(
    gauges: Gauges, server: MetricsServer, clock: Clock
) -> None:
    """It is a thread that says so; the loop could not."""
    beat(gauges)
    clock.now += STALLED_S
    assert asked(server, "/healthz")[0] == 200
    clock.now += 1.0

    assert asked(server, "/healthz") == (503, "the event loop has not ticked for 11 s\n")
    beat(gauges)
    assert asked(server, "/healthz") == (200, "ok\n")


def test_a_store_that_is_away_is_not_well(
    gauges: Gauges, server: MetricsServer, clock: Clock
) -> None:
    """A short while of it is usual."""
    counts = RequestCounts(away_since=clock.now)
    clock.now += STORE_AWAY_S
    beat(gauges, store=counts)
    assert asked(server, "/healthz")[0] == 200
    clock.now += 1.0
    beat(gauges, store=counts)

    assert asked(server, "/healthz") == (503, "the store has not answered for 11 s\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/debug", "/healthz/x"])
def test_there_is_nothing_else(server: MetricsServer, path: str) -> None:
    """Nor any method that changes something."""
    assert asked(server, path)[0] == 404
    assert asked(server, "/metrics", "POST")[0] == 501
    assert asked(server, "/metrics", "HEAD") == (200, "")


def test_one_that_says_nothing_does_not_keep_others_waiting(server: MetricsServer) -> None:
    """Some are answered at once."""
    with socket.create_connection(server.address):
        assert asked(server, "/healthz")[0] == 200


def test_an_address_that_is_taken_is_refused_in_words(server: MetricsServer) -> None:
    """As that for workers is."""
    with pytest.raises(ClusterError, match="another process listens there"):
        measured(str(server.address)).__enter__()
    with pytest.raises(ConfigError, match="this machine has no such address"):
        measured("192.0.2.1:9090").__enter__()
