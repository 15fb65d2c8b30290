"""`--metrics HOST:PORT`: the numbers of a master for Prometheus, and whether it is well.

    event loop ──Numbers, twice a second──► Gauges ◄──/metrics, /healthz── threads of their own

A thread answers, so one that asks is told of a loop that hangs. Two paths, no other; plain HTTP
without a password: it listens where the setting says, and on nothing else. Names follow
https://prometheus.io/docs/practices/naming/. Counters are of this process.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final, Self

import msgspec
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

import pymr
from pymr.cluster.address import HostPort, parse_host_port, unbound
from pymr.cluster.roster import Roster
from pymr.observe.snapshot import Snapshot
from pymr.store.object_retry import RequestCounts

STALLED_S: Final = 10.0  # a loop that has not ticked for so long is not well
STORE_AWAY_S: Final = 10.0  # … and so is a store that has not answered for so long
ASKERS_MAX: Final = 4  # that are answered at once; the others wait
ASKER_WAIT_S: Final = 5.0  # for one that says nothing
_SLOT_STEPS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class PhaseNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """One phase."""

    tasks: dict[str, int]  # by state
    attempts: dict[str, int]  # by outcome
    bytes_in: int
    records_in: int


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What a master knows of its run at one time, taken in its event loop."""

    run: str
    name: str
    epoch: int
    phases: dict[str, PhaseNumbers]
    workers: int
    slots: int
    bad_records: int
    refused: int  # calls that were not let in
    retried: int  # requests to the store
    store_wait_s: float
    store_away_s: float  # since it last answered; 0: it does


class Gauges:
    """The last numbers of a master, and when it gave them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat = clock()
        self._numbers: Numbers | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.slots = Histogram(
            "pymr_journal_slot_seconds",
            "Time to make a group of decisions durable.",
            registry=self.registry,
            buckets=_SLOT_STEPS,
        )

    def beat(
        self, snapshot: Snapshot, roster: Roster, *, refused: int, store: RequestCounts | None
    ) -> None:
        """Take what is so now; the event loop ticks. `refused`: calls that were not let in."""
        now = self._beat = self._clock()
        counts = store or RequestCounts()
        away_s = 0.0 if counts.away_since is None else now - counts.away_since
        self._numbers = Numbers(
            run=snapshot.run,
            name=snapshot.name,
            epoch=snapshot.epoch,
            phases=phase_numbers(snapshot),
            workers=len(roster.connected),
            slots=roster.slots,
            bad_records=snapshot.skipped,
            refused=refused,
            retried=counts.retried,
            store_wait_s=counts.waited_s,
            store_away_s=away_s,
        )

    def problem(self) -> str | None:
        """Return why the master is not well; None: it is."""
        stalled_s = self._clock() - self._beat
        if stalled_s > STALLED_S:
            return f"the event loop has not ticked for {stalled_s:.0f} s"
        numbers = self._numbers
        if numbers is not None and numbers.store_away_s > STORE_AWAY_S:
            return f"the store has not answered for {numbers.store_away_s:.0f} s"
        return None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for `prometheus_client`."""
        numbers = self._numbers
        if numbers is None:
            return
        labels = [numbers.run, numbers.name, str(numbers.epoch), pymr.__version__]
        info = GaugeMetricFamily("pymr_run", "The run.", labels=["run", "name", "epoch", "version"])
        info.add_metric(labels, 1)
        yield info
        yield from _by_phase(numbers)
        yield _gauge("pymr_workers", "Workers that are connected.", numbers.workers)
        yield _gauge("pymr_slots", "Attempts that they can run at once.", numbers.slots)
        for name, about, value in (
            ("pymr_bad_records", "Records left out by committed attempts.", numbers.bad_records),
            ("pymr_calls_refused", "Calls that were not let in.", numbers.refused),
            ("pymr_store_requests_retried", "Requests to the store sent again.", numbers.retried),
            ("pymr_store_wait_seconds", "Time between their tries.", numbers.store_wait_s),
        ):
            yield CounterMetricFamily(name, about, value=value)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by_phase(numbers: Numbers) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("pymr_tasks", "Tasks.", labels=["phase", "state"])
    attempts = CounterMetricFamily(
        "pymr_attempts", "Attempts that have ended.", labels=["phase", "outcome"]
    )
    size = CounterMetricFamily("pymr_bytes_in", "Read by committed tasks.", labels=["phase"])
    records = CounterMetricFamily("pymr_records_in", "Read by committed tasks.", labels=["phase"])
    for phase, each in numbers.phases.items():
        for state, count in each.tasks.items():
            tasks.add_metric([phase, state], count)
        for outcome, count in each.attempts.items():
            attempts.add_metric([phase, outcome], count)
        size.add_metric([phase], each.bytes_in)
        records.add_metric([phase], each.records_in)
    yield from (tasks, attempts, size, records)


def phase_numbers(snapshot: Snapshot) -> dict[str, PhaseNumbers]:
    """Return the numbers of each phase, as the feed folds."""
    return {
        phase: PhaseNumbers(
            tasks=_states(state.tasks, state.committed, len({a.task for a in state.running})),
            attempts={
                outcome: state.ended[outcome]
                for outcome in ("committed", "failed", "lost", "revoked")
            },
            bytes_in=state.bytes_committed,
            records_in=state.records_committed,
        )
        for phase, state in (("map", snapshot.map), ("reduce", snapshot.reduce))
    }


def _states(tasks: int, committed: int, running: int) -> dict[str, int]:
    pending = max(0, tasks - committed - running)
    return {"pending": pending, "leased": running, "committed": committed}


@contextmanager
def measured(listen: str) -> Iterator[Gauges]:
    """Serve gauges at `HOST:PORT` while the block lasts.

    Raises:
        ConfigError, ClusterError: nobody can listen there.
    """
    gauges = Gauges()
    with MetricsServer(gauges, listen):
        yield gauges


class MetricsServer:
    """Answers who asks for the gauges, in a `with` block."""

    def __init__(self, gauges: Gauges, listen: str) -> None:
        """Listen at `HOST:PORT`; port 0 is any.

        Raises:
            ConfigError: no address to listen at, or not one of this machine.
            ClusterError: somebody listens there.
        """
        wanted = parse_host_port(listen)
        if wanted.host == "::" and not socket.has_dualstack_ipv6():
            wanted = HostPort("0.0.0.0", wanted.port)  # noqa: S104 - all addresses, as was asked
        try:
            self._server = _Server(wanted, gauges)
        except OSError as error:
            raise unbound(wanted, "--metrics") from error
        self.address = HostPort(wanted.host, self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.askers.shutdown(wait=False, cancel_futures=True)


class _Server(HTTPServer):
    """Answers a few at once."""

    allow_reuse_address = True

    def __init__(self, address: HostPort, gauges: Gauges) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self.gauges = gauges
        self.askers = ThreadPoolExecutor(ASKERS_MAX, thread_name_prefix="metrics")
        super().__init__(address, _Answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.askers.submit(self._answer, request, client_address)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # Whoever asked is gone.
            pass
        finally:
            self.shutdown_request(request)

    def server_bind(self) -> None:
        """Bind without a look-up of names: that may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.server_address[0] == "::":  # IPv4, too, whatever the machine does by default
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)


class _Answer(BaseHTTPRequestHandler):
    """One request."""

    server: _Server
    timeout = ASKER_WAIT_S
    server_version, sys_version = "pymr", ""

    def do_GET(self) -> None:
        """Answer one of two paths."""
        gauges, path = self.server.gauges, self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, generate_latest(gauges.registry), CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            problem = gauges.problem()
            self._send(503 if problem else 200, f"{problem or 'ok'}\n".encode())
        else:
            self._send(404, b"there is /metrics and /healthz\n")

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.do_GET()

    def _send(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the master's log is for the run."""
