"""Which requests are sent again, after how long, and how many go at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from pymr.errors import PymrError, StoreError, StoreUnavailableError
from pymr.store import object_retry
from pymr.store.object_errors import Place
from pymr.store.object_retry import BACKOFF_FIRST_S, BACKOFF_MAX_S, DENIED_TRIES_MAX, Gate, Requests
from pymr.store.outage import AWAY_TOLD_S, OUTAGES, REFUSES, Said

PLACE = Place("http://127.0.0.1:9", "s3", "bucket", "out")
AWAY = GenericError("HTTP error: error sending request")
SLOW = GenericError("status code: 503 X: <Code>SlowDown</Code>")
EXPIRED = PermissionDeniedError("status code: 403 X: <Code>ExpiredToken</Code>")
DENIED = PermissionDeniedError("status code: 403 X: <Code>AccessDenied</Code>")


class Clock:
    """Time that passes only while somebody waits, and how long each wait may be at most."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bounds: list[float] = []

    def monotonic(self) -> float:
        """Stand for `time.monotonic`."""
        return self.now

    def time(self) -> float:
        """Stand for `time.time`."""
        return 1_000_000.0 + self.now

    def uniform(self, low: float, high: float) -> float:
        """Stand for `random.uniform`, and draw the longest."""
        assert low == 0
        self.bounds.append(high)
        return high

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    sleep = pause


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(object_retry, "time", clock)
    monkeypatch.setattr(object_retry, "random", clock)
    return clock


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a request that fails with the errors, one after the other, then succeeds."""
    left = list(errors)

    def request() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return request


def test_the_random_pause_may_be_twice_as_long_each_time(clock: Clock) -> None:
    """From the first bound to the last, from zero on."""
    requests = Requests(PLACE, 600)

    assert requests.send("key", failing(*[AWAY] * 10)) == "done"

    assert clock.bounds == [min(BACKOFF_FIRST_S * 2**n, BACKOFF_MAX_S) for n in range(10)]
    assert requests.counts.retried == 10
    assert requests.counts.waited_s == pytest.approx(sum(clock.bounds))


def test_an_outage_may_last_as_long_as_the_setting_says_and_no_longer(clock: Clock) -> None:
    """The last try is at its end; the error tells how long it was tried."""
    requests = Requests(PLACE, 60)
    requests.send("key", failing())
    with pytest.raises(StoreUnavailableError, match="tried for 60 s") as caught:
        requests.send("key", failing(*[AWAY] * 1000))

    assert clock.now == pytest.approx(60)
    assert "--storage-wait" in str(caught.value.hint)


@pytest.mark.usefixtures("clock")
def test_a_store_that_has_never_answered_may_be_elsewhere() -> None:
    """To wait longer for a wrong address is no help."""
    with pytest.raises(StoreUnavailableError) as caught:
        Requests(PLACE, 60).send("key", failing(*[AWAY] * 1000))

    assert str(caught.value.hint).startswith("start the store, or say where it is: --endpoint URL")


@pytest.mark.parametrize(
    ("may_renew", "was_answered", "error", "is_patient"),
    [
        (True, True, EXPIRED, True),
        (True, False, EXPIRED, False),
        (False, True, EXPIRED, False),
        (True, True, DENIED, False),
    ],
)
def test_only_keys_that_held_and_may_be_renewed_are_waited_for(
    clock: Clock, *, may_renew: bool, was_answered: bool, error: Exception, is_patient: bool
) -> None:
    """A wrong key is told at once, and so is a right that is missing."""
    requests = Requests(PLACE, 600, may_renew=may_renew)
    if was_answered:
        requests.send("key", failing())

    if is_patient:
        assert requests.send("key", failing(*[error] * 20)) == "done"
        return
    with pytest.raises(StoreError) as caught:
        requests.send("key", failing(*[error] * DENIED_TRIES_MAX))
    assert not caught.value.retryable
    assert len(clock.bounds) == DENIED_TRIES_MAX - 1


@pytest.mark.usefixtures("clock")
def test_an_error_of_ours_is_sent_again_if_it_says_so() -> None:
    """What a request has looked at itself keeps its class and message."""
    assert Requests(PLACE, 9).send("key", failing(StoreUnavailableError("later"))) == "done"
    with pytest.raises(PymrError, match=r"^never$"):
        Requests(PLACE, 9).send("key", failing(StoreError("never")))


@pytest.fixture
def heard() -> Iterator[list[tuple[str, float | None]]]:
    """Give what is told of outages in this process."""
    told: list[tuple[str, float | None]] = []
    OUTAGES.listen(lambda store, since, _: told.append((store, since)))
    yield told
    OUTAGES.listen(None)


def test_an_outage_that_lasts_is_told_with_its_begin_and_its_end(
    clock: Clock, heard: list[tuple[str, float | None]]
) -> None:
    """Now and then while it lasts, so that who listens knows that somebody waits."""
    clock.now = 100.0

    Requests(PLACE, 600).send("key", failing(*[AWAY] * 20))

    store = f"{PLACE} at {PLACE.endpoint}"
    assert len(heard) > 5
    assert set(heard[:-1]) == {(store, 1_000_100.0)}
    assert heard[-1] == (store, None)
    assert len(heard) < (clock.now - 100.0) / AWAY_TOLD_S + 1


@pytest.mark.usefixtures("clock")
def test_f118_keys_that_are_refused_and_read_anew_are_told() -> None:
    """Once the store had taken some: else they are wrong, and that is an error."""
    told: list[str] = []
    OUTAGES.listen(lambda _store, since, how: told.append(how if since else "again"))
    requests = Requests(PLACE, 600, may_renew=True)

    requests.send("key", failing())
    requests.send("key", failing(*[EXPIRED] * 20))
    OUTAGES.listen(None)

    assert set(told[:-1]) == {REFUSES}
    assert told[-1] == "again"


@pytest.mark.usefixtures("clock")
def test_a_request_that_is_sent_again_is_no_outage(heard: list[tuple[str, float | None]]) -> None:
    """Nor is a store that asks for fewer requests: it answers."""
    Requests(PLACE, 600).send("key", failing(*[AWAY] * 5))
    Requests(PLACE, 600).send("key", failing(*[SLOW] * 20))

    assert heard == []


def test_of_each_outage_a_line_is_said_and_one_of_its_end() -> None:
    """However many processes tell of it."""
    said = Said()

    assert said.line("s3://b at http://h", 3600.0, 3605.0) == (
        "s3://b at http://h does not answer since 01:00:00 UTC: what needs it waits"
        " (--storage-wait)"
    )
    assert said.line("s3://b at http://h", 3601.0, 3610.0) is None
    assert said.line("s3://c at http://h", 3601.0, 3610.0) is not None
    assert said.line("s3://b at http://h", None, 3663.4) == (
        "s3://b at http://h answers again, after 63 s"
    )
    assert said.line("s3://b at http://h", None, 3664.0) is None
    assert said.line("s3://b at http://h", 3700.0, 3705.0, REFUSES) == (
        "s3://b at http://h refuses the keys, which are read anew, since 01:01:40 UTC: what needs"
        " it waits (--storage-wait)"
    )


def test_what_no_store_has_said_is_not_sent_again() -> None:
    """A bug of ours, or the end of memory, goes up as it is."""
    for error in (TypeError("ours"), MemoryError(), ValueError("ours")):
        with pytest.raises(type(error)) as caught:
            Requests(PLACE, 9).send("key", failing(error))
        assert caught.value is error


def test_a_gate_lets_as_many_through_as_its_limit() -> None:
    """The rest waits for somebody to leave."""
    gate, inside, most = Gate(4), [], []
    gate.halve()
    entered, leave = threading.Semaphore(0), threading.Event()

    def enter() -> None:
        with gate.passed():
            inside.append(1)
            most.append(len(inside))
            entered.release()
            leave.wait(10)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert entered.acquire(timeout=10)
    assert not entered.acquire(timeout=0.05)
    leave.set()
    for thread in threads:
        thread.join(10)

    assert (len(most), max(most)) == (6, 2)


@pytest.mark.usefixtures("clock")
def test_a_gate_halves_down_to_one_and_widens_to_where_it_was() -> None:
    """By one for as many successes as go at once."""
    requests = Requests(PLACE, 600)
    most = requests.gate.limit

    requests.send("key", failing(*[SLOW] * 9))
    assert requests.gate.limit == 2, "one, and one more for the success"
    requests.send("key", failing())
    assert requests.gate.limit == 2
    for _ in range(most * most):
        requests.send("key", failing())

    assert requests.gate.limit == most
    assert requests.counts.slowed == 9
