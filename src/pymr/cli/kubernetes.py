"""Runs in pods: begun, taken on again, followed; and what a user is told on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import click
import msgspec

from pymr.cli.view import View
from pymr.config import Resolved, Settings
from pymr.errors import PymrError
from pymr.kubernetes.extra import require_extra
from pymr.runner.find import FoundRun
from pymr.runner.plan import Request
from pymr.runner.stored import read_plan
from pymr.store.registry import Cluster, newest_runs
from pymr.task.manifest import Manifest

if TYPE_CHECKING:
    from pymr.kubernetes.follow import Seen
    from pymr.kubernetes.kube import Kube

END_WAIT_S = 20.0  # for the pods of a run that is over to be gone


def start_on_kubernetes(request: Request, resolved: Resolved, view: View, *, detach: bool) -> int:
    """Run a job in pods; return the exit code."""
    require_extra()
    with ExitStack() as after:
        work = partial(_start, request, resolved, view, after, detach=detach)
        return view.show(work, adopts=False)


def _start(
    request: Request, resolved: Resolved, view: View, after: ExitStack, *, detach: bool
) -> Manifest | None:
    from pymr.kubernetes import start
    from pymr.kubernetes.follow import Seen
    from pymr.kubernetes.kube import open_kube

    given = resolved.settings
    kube = after.enter_context(open_kube(given.context, given.namespace))
    settings = start.for_kubernetes(resolved, kube)
    say = _sayer(settings)
    images = start.images_of(settings, request.code.path)
    store = after.enter_context(start.store_of_run(kube, settings, images, say))
    seen = Seen(view)
    asked = msgspec.structs.replace(request, settings=settings)
    submission = start.submit(kube, asked, store, images, seen, say)
    found = submission.found
    start.launch_submitted(kube, submission, settings, store)
    say(f"{settings.workers} workers and a master in namespace {kube.namespace} of {kube.context}")
    if detach:
        _tell_detached(found, settings)
        return None
    return follow(kube, found, settings, seen, after)


def follow(
    kube: Kube, found: FoundRun, settings: Settings, seen: Seen, after: ExitStack
) -> Manifest:
    """Follow a run to its end; its pods go with it, and leave their logs. Ctrl-C stops the run.

    With a terminal that is closed (SIGHUP) it goes on.
    """
    from pymr.kubernetes.follow import follow_run
    from pymr.kubernetes.watch import Watch

    timeout_s = settings.schedule_timeout_s
    with Watch(kube, found.run, schedule_timeout_s=timeout_s) as watch:
        try:
            manifest = follow_run(
                kube, found, watch, seen, _sayer(settings), timeout_s=settings.timeout_s
            )
        except KeyboardInterrupt as stop:
            if stop.args[:1] != ("SIGHUP",):
                _end(kube, found)
            raise
        except PymrError:
            _end(kube, found)
            raise
    after.callback(_end, kube, found)
    return manifest


def _end(kube: Kube, found: FoundRun) -> None:
    """Keep the logs of a run's pods, and remove them. Best effort: the run is over."""
    from pymr.kubernetes.launch import end
    from pymr.kubernetes.pod_logs import keep_logs

    keep_logs(kube, found)
    with suppress(PymrError):
        end(kube, found.run, wait_s=END_WAIT_S)


def cluster_of(found: FoundRun) -> Cluster | None:
    """Return where the pods of a run are; None: it has none, or nobody knows."""
    if found.place.folder is not None:
        return None
    for known in newest_runs():
        if known.run == found.run and known.cluster is not None:
            return known.cluster
    try:
        settings = read_plan(found.place, found.run).settings
    except PymrError:
        return None
    if settings.on != "kubernetes" or settings.context is None or settings.namespace is None:
        return None
    return Cluster(settings.context, settings.namespace, has_store=True)


def _tell_detached(found: FoundRun, settings: Settings) -> None:
    if settings.json:
        told = {
            "run": found.run,
            "name": found.name,
            "output": found.output,
            "context": settings.context,
            "namespace": settings.namespace,
        }
        click.echo(json.dumps(told))
    say = _sayer(settings)
    say(f"{found.name} goes on in the cluster")
    say(f"to see it:   pymr status {found.name} --watch   or   pymr attach {found.name}")
    say(f"to stop it:   pymr cancel {found.name}")


def _sayer(settings: Settings) -> Callable[[str], None]:
    def say(line: str) -> None:
        if not settings.quiet:
            click.echo(f"  {line}", err=True)

    return say
