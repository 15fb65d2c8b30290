"""How a run stands, as a table for a terminal. Pure; every text of a user or a host is escaped.

wc   running: map   2:05 since 14:03:11   on hosts, epoch 1
output   s3://bucket/outputs/wc
map      17 of 30 tasks, 4 running  2.2/4.1 MB  222 kB/s  33,347 rec/s  ~0:08
reduce   0 of 1 task
tries    0 failed · 0 retried · 0 lost · 0 bad records
master   big, process 4711 at 10.0.0.1:7077, heard 2 s ago
workers  2 connected, 4 slots
worker          host   slots  last sign  runs
big-0f3a90c2    big        2      0.4 s  map-0017.1 map-0018.1
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from pymr.observe.quantity import (
    show_count,
    show_duration,
    show_many,
    show_size,
    show_size_of,
)
from pymr.observe.standing import PhaseStanding, Standing, WorkerStanding
from pymr.text_form import show_text

WORKERS_SHOWN: Final = 20
RUNNING_SHOWN: Final = 4


def table_lines(standing: Standing) -> list[str]:
    """Return the lines of the table."""
    return [*_head(standing), *_phases(standing), *_people(standing), *_warnings(standing)]


def _head(standing: Standing) -> Iterator[str]:
    state = standing.state
    if state == "running":
        state = f"running: {standing.phase}"
    since = ""
    if standing.started is not None:
        clock = time.strftime("%H:%M:%S", time.localtime(standing.started))
        since = f"   {show_duration(standing.took_s)} since {clock}"
        if standing.resumed is not None:
            clock = time.strftime("%H:%M:%S", time.localtime(standing.resumed))
            since += f", resumed {clock}"
    epoch = f", epoch {standing.epoch}" if standing.epoch > 1 else ""
    yield f"{show_text(standing.name)}   {state}{since}   on {standing.on}{epoch}"
    yield f"output   {show_text(standing.output)}"


def _phases(standing: Standing) -> Iterator[str]:
    for name, phase in (("map", standing.map), ("reduce", standing.reduce)):
        if phase.tasks:
            is_now = standing.state == "running" and standing.phase == name
            yield f"{name:<7}  {'  '.join(_facts(phase, standing, is_now=is_now))}"
    yield (
        f"tries    {standing.failed} failed · {standing.retried} retried · {standing.lost} lost"
        f" · {show_many(standing.skipped, 'bad record')}"
    )


def _facts(phase: PhaseStanding, standing: Standing, *, is_now: bool) -> Iterator[str]:
    running = f", {phase.running} running" if phase.running and is_now else ""
    yield f"{phase.committed} of {show_many(phase.tasks, 'task')}{running}"
    if not is_now:
        return
    if phase.bytes_total:
        yield show_size_of(phase.bytes_done, phase.bytes_total)
    if standing.bytes_s:
        yield f"{show_size(standing.bytes_s)}/s"
    if standing.records_s:
        yield f"{show_count(standing.records_s)} rec/s"
    left = phase.bytes_total - phase.bytes_done
    if standing.bytes_s and left > 0:
        yield f"~{show_duration(left / standing.bytes_s)}"


def _people(standing: Standing) -> Iterator[str]:
    master = standing.master
    if master is not None:
        where = f" at {show_text(master.address)}" if master.address else ""
        heard = "answers" if standing.told_by == "master" else f"heard {_ago(master.silent_s)} ago"
        role = "process" if standing.on == "local" else "master"
        yield f"{role:<7}  {show_text(master.host)}, process {master.pid}{where}, {heard}"
    if standing.state != "running":
        return
    if standing.on == "local":
        yield f"workers  {standing.worker_count} of this machine"
        return
    slots = show_many(standing.slots, "slot")
    yield f"workers  {standing.worker_count} connected, {slots}"
    shown = standing.workers[:WORKERS_SHOWN]
    if shown:
        yield from _rows(shown)
    if standing.worker_count > len(shown):
        yield f"  … and {standing.worker_count - len(shown)} more: --json"


def _rows(workers: tuple[WorkerStanding, ...]) -> Iterator[str]:
    names = [show_text(each.worker) for each in workers]
    hosts = [show_text(each.host) for each in workers]
    name_width = max(len("worker"), *map(len, names))
    host_width = max(len("host"), *map(len, hosts))
    yield f"  {'worker':<{name_width}}  {'host':<{host_width}}  slots  last sign  runs"
    for name, host, each in zip(names, hosts, workers, strict=True):
        sign = "" if each.silent_s is None else _ago(each.silent_s)
        runs = " ".join(each.running[:RUNNING_SHOWN])
        more = each.running_count - len(each.running[:RUNNING_SHOWN])
        runs += f" and {more} more" if more > 0 else ""
        row = f"  {name:<{name_width}}  {host:<{host_width}}  {each.slots:>5}  {sign:>9}  {runs}"
        yield row.rstrip()


def _ago(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60.0 else show_duration(seconds)  # noqa: PLR2004


def _warnings(standing: Standing) -> Iterator[str]:
    for warning in standing.warnings:
        yield f"warning  {show_text(warning)}"
