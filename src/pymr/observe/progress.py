"""How a run goes, while it goes: a live picture on a terminal, else a line now and then.

Law: no clock and no thread; `tick(now)` brings the time (monotonic seconds) and is cheap when
nothing is due. Text of a user (names, messages) is escaped before it reaches the terminal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from pymr.core import events
from pymr.core.events import Entry
from pymr.observe.quantity import (
    show_count,
    show_duration,
    show_kept,
    show_many,
    show_size,
    show_size_of,
)
from pymr.observe.snapshot import PhaseState, Snapshot, fold
from pymr.text_form import show_text

if TYPE_CHECKING:
    from rich.live import Live

LINE_INTERVAL_S = 10.0  # between lines where there is no terminal
LIVE_DELAY_S = 0.5  # a job that is done by then never pays for importing rich (80 ms)
LIVE_INTERVAL_S = 0.2
RATE_WINDOW_S = 10.0  # rates are averages over this time
BAR_CELLS = 26
SAMPLING = "sampling keys for --sort"  # what a run does before it is planned to the end

# A sample for rates: when, bytes, records.
Sample = tuple[float, int, int]


class ProgressView:
    """Shows a run on `stream` (stderr): feed it entries and ticks, and close it at the end.

    With `quiet` nothing is written, and `snapshot` is still kept; with `verbose` every attempt
    has its lines.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        is_terminal: bool,
        quiet: bool = False,
        verbose: bool = False,
        interval_s: float = LINE_INTERVAL_S,
    ) -> None:
        self.snapshot = Snapshot()
        self._stream = stream
        self._is_terminal = is_terminal
        self._output = ""
        self._quiet = quiet
        self._verbose = verbose
        self._interval_s = LIVE_INTERVAL_S if is_terminal else interval_s
        self._due: float | None = None
        self._samples: deque[Sample] = deque()
        self._phase = ""
        self._live: Live | None = None

    def show_plan(self, output: str, alerts: Iterable[str] = ()) -> None:
        """Show `output`, as the user would type it, as the place of the result.

        `alerts` are told at once: the user may want to stop.
        """
        self._output = output
        for alert in alerts:
            self._say(f"warning: {show_text(alert)}")

    def entry(self, entry: Entry) -> None:
        """Take in the next entry of the feed."""
        if isinstance(entry.event, events.WorkersConnected) and self.snapshot.is_taking_on:
            self._say(_kept_line(self.snapshot))
        fold(self.snapshot, entry)
        match entry.event:
            case events.WorkersConnected(count, wanted) if count < wanted:
                self._say(f"{count} of {wanted} workers connected, going on")
            case events.WorkersConnected():
                self._say("All workers connected")
            case events.PhaseFinished("map"):
                self._say("All map tasks completed!")
            case events.RunFinished(None):
                self._say("Map reduce completed")
            case events.Warned(message, at_once=True):
                self._say(f"warning: {show_text(message)}")
            case _:
                self._say_attempt(entry.event)

    def _say_attempt(self, event: events.Event) -> None:
        """Say what became of an attempt: always when it is tried again, else with `verbose`."""
        match event:
            case events.AttemptFailed(attempt, error, will_scan=True):
                self._say(f"{attempt} has bad records: {_first_line(error)}; they are left out")
            case events.AttemptFailed(attempt, error, True):
                self._say(f"{attempt} failed: {_first_line(error)}; tried again")
            case events.AttemptLost(attempt, _, error, True):
                self._say(f"{attempt} lost: {_first_line(error)}; tried again")
            case events.TaskInvalidated(receipt, reason, False):
                self._say(f"{receipt.attempt} is run again: {show_text(reason)}")
            case events.AttemptStarted(attempt, worker, backup) if self._verbose:
                kind = "backup attempt" if backup else "attempt"
                self._say(f"{attempt} {kind} {attempt.number} on {worker}")
            case events.TaskCommitted(receipt) if self._verbose:
                took = show_duration(receipt.wall_s)
                self._say(f"{receipt.attempt} attempt {receipt.attempt.number} committed in {took}")

    def tick(self, now: float) -> None:
        """Show how the run goes, if it is time."""
        if self._quiet:
            return
        if self._due is None:
            self._due = now + (LIVE_DELAY_S if self._is_terminal else self._interval_s)
            self._sample(now)
        elif now >= self._due:
            self._due = now + self._interval_s
            self._sample(now)
            self._refresh()

    def close(self) -> None:
        """Take the live picture away. May be called twice; nothing is shown afterwards."""
        self._quiet = True
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _sample(self, now: float) -> None:
        if self.snapshot.phase != self._phase:
            self._phase = self.snapshot.phase
            self._samples.clear()
        state = _current(self.snapshot)
        self._samples.append((now, state.bytes_done, state.records_done))
        while self._samples[0][0] < now - RATE_WINDOW_S and len(self._samples) > 2:  # noqa: PLR2004
            self._samples.popleft()

    def _refresh(self) -> None:
        if not self._is_terminal:
            self._say(plain_line(self.snapshot, *self._rates()))
            return
        from rich.console import Group
        from rich.text import Text

        lines = live_lines(self.snapshot, self._output, *self._rates())
        picture = Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))
        if self._live is None:
            self._live = self._start_live()
        self._live.update(picture, refresh=True)

    def _start_live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(file=self._stream, force_terminal=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def _rates(self) -> tuple[float, float]:
        """Return bytes and records per second over the window; 0 while that is unknown."""
        (before, bytes_before, records_before), (now, size, records) = (
            self._samples[0],
            self._samples[-1],
        )
        elapsed = now - before
        if elapsed <= 0:
            return 0.0, 0.0
        # An attempt that failed takes back what it had read.
        return (
            max(0.0, (size - bytes_before) / elapsed),
            max(0.0, (records - records_before) / elapsed),
        )

    def _say(self, line: str) -> None:
        if self._quiet:
            return
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(line))
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:  # Whoever read stderr is gone; the run goes on.
            self._quiet = True


def _first_line(error: dict[str, Any]) -> str:
    return show_text(str(error["message"]).split("\n", 1)[0])


def _kept_line(snapshot: Snapshot) -> str:
    maps, reduces = snapshot.kept
    kept = show_kept(maps, snapshot.map.tasks, reduces, snapshot.reduce.tasks)
    verb = "is replayed" if snapshot.is_replay else "goes on"
    return f"{show_text(snapshot.name)} {verb}: {kept}"


def plain_line(snapshot: Snapshot, bytes_s: float, records_s: float) -> str:
    """Return where the run is, in one line."""
    if snapshot.phase == "planning":
        return _ahead(snapshot)
    name = show_text(snapshot.name)
    if snapshot.phase not in ("map", "reduce"):
        return f"{name}: {snapshot.phase}"
    state = _current(snapshot)
    facts = [
        f"{name}: {snapshot.phase} {_percent(state)}%",
        *_facts(state, bytes_s, records_s),
        *([] if snapshot.on == "local" else [_crew(snapshot)]),
        _troubles(snapshot),
    ]
    return "  ".join(facts)


def live_lines(snapshot: Snapshot, output: str, bytes_s: float, records_s: float) -> list[str]:
    """Return the picture of the run: what it does, a bar for each phase, and what went wrong."""
    if snapshot.phase == "planning":
        return [f"  {_ahead(snapshot)}"]
    name, worker = show_text(snapshot.name), show_text(snapshot.worker)
    tasks = show_many(snapshot.map.tasks, "map task")
    if snapshot.reduce.tasks:
        tasks += f", {show_many(snapshot.reduce.tasks, 'reduce task')}"
    read = f"{show_many(snapshot.input_files, 'file')}, {show_size(snapshot.input_bytes)}"
    lines = [
        f"  job     {name}   {worker}: {', '.join(snapshot.functions)}   {_crew(snapshot)}",
        f"  input   {read}  →  {tasks}",
        f"  output  {show_text(output)}",
        _bar_line("map", snapshot.map, snapshot, bytes_s, records_s),
    ]
    if snapshot.reduce.tasks:
        lines.append(_bar_line("reduce", snapshot.reduce, snapshot, bytes_s, records_s))
    return [*lines, f"  {_troubles(snapshot)}"]


def _crew(snapshot: Snapshot) -> str:
    """Return who does the tasks."""
    if snapshot.on == "local":
        return f"on local, {show_many(snapshot.workers, 'worker')}"
    here = [member for member in snapshot.crew.values() if member.is_here]
    slots = show_many(sum(member.slots for member in here), "slot")
    return f"on {snapshot.on}, {show_many(len(here), 'worker')}, {slots}"


def _ahead(snapshot: Snapshot) -> str:
    """Return what is done before the run is planned to the end."""
    upload = snapshot.upload
    if upload is None or upload.files_done == upload.files:
        return SAMPLING
    files = f"{upload.files_done}/{show_many(upload.files, 'file')}"
    return f"uploading inputs: {files}  {show_size_of(upload.bytes_done, upload.bytes)}"


def _bar_line(
    phase: str, state: PhaseState, snapshot: Snapshot, bytes_s: float, records_s: float
) -> str:
    if phase == "reduce" and snapshot.phase == "map":
        return "  reduce  waiting for map"
    if phase != snapshot.phase:
        bytes_s = records_s = 0.0
    percent = _percent(state)
    facts = "  ".join(_facts(state, bytes_s, records_s))
    return f"  {phase:<6}  {_bar(percent)} {percent:3d}%  {facts}"


def _bar(percent: int) -> str:
    halves = percent * 2 * BAR_CELLS // 100
    full = "━" * (halves // 2) + "╸" * (halves % 2)
    return full.ljust(BAR_CELLS, "─")


def _facts(state: PhaseState, bytes_s: float, records_s: float) -> list[str]:
    """Return tasks, bytes, rates and time left, as far as they are known."""
    facts = [f"{state.committed}/{show_many(state.tasks, 'task')}"]
    if state.bytes_total:
        facts.append(show_size_of(state.bytes_done, state.bytes_total))
    if bytes_s:
        facts.append(f"{show_size(bytes_s)}/s")
    if records_s:
        facts.append(f"{show_count(records_s)} rec/s")
    left = state.bytes_total - state.bytes_done
    if bytes_s and left > 0:
        facts.append(f"~{show_duration(left / bytes_s)}")
    return facts


def _troubles(snapshot: Snapshot) -> str:
    return (
        f"{snapshot.failed} failed · {snapshot.retried} retried"
        f" · {show_many(snapshot.skipped, 'bad record')}"
    )


def _percent(state: PhaseState) -> int:
    """Return how much of a phase is done; 100 only when all its tasks are committed."""
    if state.committed == state.tasks:
        return 100
    done, total = state.bytes_done, state.bytes_total
    if not total:
        done, total = state.committed, state.tasks
    return min(99, 100 * done // total)


def _current(snapshot: Snapshot) -> PhaseState:
    return snapshot.map if snapshot.phase in ("planning", "map") else snapshot.reduce
