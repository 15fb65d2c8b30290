"""Runs in pods: begun, taken on again, followed; and what a user is told on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import click
import msgspec

from pymr.cli.going_on import GoingOn, tell_done, tell_nothing_to_replay
from pymr.cli.kube_options import say
from pymr.cli.reach import access_to_run
from pymr.cli.view import View
from pymr.config import Resolved, Settings
from pymr.core.events import Entry
from pymr.errors import (
    ClusterError,
    IncompleteError,
    PymrError,
    ResourceError,
    StoreUnavailableError,
    TimeoutReachedError,
    from_dict,
)
from pymr.kubernetes.extra import require_extra
from pymr.kubernetes.objects.labels import storage_endpoint
from pymr.runner.find import FoundRun, RunState, state_of
from pymr.runner.life import interruption
from pymr.runner.plan import Request, refuse_here
from pymr.runner.pool import Pool
from pymr.runner.reach import at_first
from pymr.runner.stored import read_plan
from pymr.store.access import Access
from pymr.store.place import open_place
from pymr.store.registry import Cluster, newest_runs
from pymr.task.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from pymr.kubernetes.follow import Seen
    from pymr.kubernetes.kube import Kube

TROUBLES_S = 1.0  # for the cluster to tell what it knows of pods
END_WAIT_S = 20.0  # for the pods of a run that is over to be gone


def start_on_kubernetes(request: Request, resolved: Resolved, view: View, *, detach: bool) -> int:
    """Run a job in pods; return the exit code."""
    require_extra()
    view.runs_on("kubernetes")
    with ExitStack() as after:
        work = partial(_start, request, resolved, view, after, detach=detach)
        return view.show(work, adopts=False)


def _start(
    request: Request, resolved: Resolved, view: View, after: ExitStack, *, detach: bool
) -> Manifest | None:
    from pymr.cluster.submit import loading

    # The code is loaded while lightkube is, and while the cluster is looked for.
    pool = after.enter_context(closing(loading(request)))
    from pymr.kubernetes import start
    from pymr.kubernetes.kube import open_kube

    given = resolved.settings
    in_pods = start.settings_of_pods(resolved)  # What is wrong with them needs no cluster.
    kube = after.enter_context(open_kube(given.context, given.namespace))
    settings = start.settings_there(in_pods, kube, has_store=given.store is None)
    asked = msgspec.structs.replace(request, settings=settings)
    return _begin(kube, asked, pool, view, after, detach=detach)


def _begin(
    kube: Kube,
    request: Request,
    pool: Pool,
    view: View,
    after: ExitStack,
    *,
    detach: bool,
    over: str | None = None,
) -> Manifest | None:
    from pymr.kubernetes import start
    from pymr.kubernetes.follow import Seen

    settings = request.settings
    tell = _sayer(settings)
    images = start.images_of(settings, request.code.path)
    refuse_here(request, pool)  # What fails here is told before anything is made there.
    ground = after.enter_context(start.ground_of_run(kube, settings, images, tell))
    store, seen = ground.store, Seen(view)
    with _volume_told(kube, None if store.outside else store.here):
        submission = start.submit(kube, request, ground, pool, seen, over=over)
        found = submission.found
        start.launch_submitted(kube, submission, settings, store, tell)
        if detach:
            _tell_detached(found, settings)
            return None
        return _follow(kube, found, settings, store.here, seen, after)


def resume_on_kubernetes(
    going: GoingOn,
    cluster: Cluster,
    *,
    detach: bool = False,
    restart: bool = False,
    is_replay: bool = False,
) -> int:
    """Go on with a run in pods, or try its bad records again; return the exit code."""
    require_extra()
    going.view.runs_on("kubernetes")
    with ExitStack() as after:
        resumed = _Resumed(going, cluster, after)
        work = partial(resumed.restart if restart else resumed.go_on, detach=detach)
        if is_replay:
            work = partial(resumed.go_on, detach=False, is_replay=True)
        return going.view.show(work, adopts=False)


class _Resumed:
    """A run in pods that is taken on again."""

    def __init__(self, going: GoingOn, cluster: Cluster, after: ExitStack) -> None:
        from pymr.kubernetes.kube import open_kube
        from pymr.kubernetes.outside import refuse_another_endpoint

        if cluster.has_store:
            refuse_another_endpoint(going.flags["endpoint"], going.flags["region"])
        self._going = going
        self._after = after
        self._cluster = cluster
        self._owner = access_to_run(going.now, cluster) if cluster.has_store else None
        self._kube = after.enter_context(open_kube(cluster.context, cluster.namespace))

    def go_on(self, *, detach: bool, is_replay: bool = False) -> Manifest | None:
        """Do what is left of it."""
        with _volume_told(self._kube, self._owner):
            return self._go_on(detach=detach, is_replay=is_replay)

    def _go_on(self, *, detach: bool, is_replay: bool) -> Manifest | None:
        from pymr.cluster.resume import make_ready
        from pymr.kubernetes import start
        from pymr.kubernetes.follow import Seen
        from pymr.kubernetes.launch import refuse_living
        from pymr.observe.feed import last_seq

        found, view = self._going.found, self._going.view
        refuse_living(self._kube, found)
        ready = make_ready(found, self._going.changed, self._reach, is_replay=is_replay)
        if ready.result is not None:
            if is_replay:
                tell_nothing_to_replay(found, is_quiet=ready.settings.quiet)
            else:
                tell_done(found, ready.result, is_quiet=ready.settings.quiet)
            return None
        assert ready.plan is not None, "there is something left"
        seen = Seen(view, last_seq(found.place.read_history_end(found.run)))
        seen.planned(ready.plan, found.place)
        tell = _sayer(ready.settings)
        start.launch_again(
            self._kube, found, ready.settings, ready.access, tell, is_replay=is_replay
        )
        if detach:
            _tell_detached(found, ready.settings)
            return None
        return _follow(self._kube, found, ready.settings, ready.access, seen, self._after)

    def restart(self, *, detach: bool) -> Manifest | None:
        """Do all of it again, under another id."""
        from pymr.cluster.submit import loading
        from pymr.kubernetes.launch import refuse_living
        from pymr.runner.resume import asked_again

        found = self._going.found
        refuse_living(self._kube, found)
        again = asked_again(found, self._going.changed, self._reach)
        view, after = self._going.view, self._after
        pool = after.enter_context(closing(loading(again)))
        return _begin(self._kube, again, pool, view, after, detach=detach, over=found.run)

    def _reach(self, settings: Settings) -> Access:
        """Return how the store of a run with these settings is reached from here."""
        return access_to_run(settings, self._cluster)


@contextmanager
def _volume_told(kube: Kube, owner: Access | None) -> Iterator[None]:
    """Have an error of the block say so if the storage is full; None: it is not the namespace's."""
    from pymr.kubernetes.volume import tell_full_volume

    try:
        yield
    except ResourceError as error:
        if owner is not None:
            tell_full_volume(error, kube, owner)
        raise


def _follow(
    kube: Kube, found: FoundRun, settings: Settings, access: Access, seen: Seen, after: ExitStack
) -> Manifest:
    """Follow a run to its end; its pods go with it, and leave their logs. Ctrl-C stops the run.

    With a terminal that is closed (SIGHUP), or a store that is not seen from here, it goes on.
    """
    from pymr.cluster.ending import tell_ending
    from pymr.kubernetes.follow import Waiting, entries, follow_run
    from pymr.kubernetes.watch import Watch

    try:
        with Watch(kube, found.run, schedule_timeout_s=settings.schedule_timeout_s) as watch:
            wait = Waiting(watch, seen.tick, _sayer(settings), timeout_s=settings.timeout_s)
            told = entries(found, access, wait, after=seen.last)
            finished = follow_run(found, watch, seen, told)
    except KeyboardInterrupt as stop:
        if stop.args[:1] != ("SIGHUP",):
            _end(kube, found, access)
            tell_ending(found, interruption(stop), access)
        raise
    except (ClusterError, IncompleteError, ResourceError, TimeoutReachedError) as error:
        _end(kube, found, access)
        tell_ending(found, error, access)
        raise
    except StoreUnavailableError as error:  # The way there is away, and not the run.
        error.hint = f"pymr attach {found.name}"
        raise
    if finished.error is not None:
        _end(kube, found, access)
        raise from_dict(finished.error)
    after.callback(_end, kube, found, access, waits=False)
    return read_manifest(found.place.objects)


def _end(kube: Kube, found: FoundRun, access: Access | None = None, *, waits: bool = True) -> None:
    """Keep the logs of a run's pods, and remove them. Best effort: the run is over.

    Without `access` the place of the run is as patient as it should be. Pods of a run that is done
    have ended, and nobody `waits` until the cluster has forgotten them: that takes seconds.
    """
    from pymr.kubernetes.known_run import delete_run
    from pymr.kubernetes.launch import end
    from pymr.kubernetes.pod_logs import keep_logs

    place = found.place if access is None else open_place(found.output, at_first(access))
    keep_logs(kube, found, place)
    with suppress(PymrError):
        if waits:
            end(kube, found.run, wait_s=END_WAIT_S)
        else:
            delete_run(kube, found.run)


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
    has_store = settings.endpoint == storage_endpoint(settings.namespace)
    return Cluster(settings.context, settings.namespace, has_store)


@contextmanager
def entries_in_pods(
    found: FoundRun, cluster: Cluster, tick: Callable[[float], None]
) -> Iterator[Iterator[Entry] | None]:
    """Give what happens in a run in pods, until its end; None: the cluster knows it no more."""
    require_extra()
    from pymr.kubernetes.follow import Waiting, entries
    from pymr.kubernetes.kube import open_kube
    from pymr.kubernetes.launch import is_launched
    from pymr.kubernetes.watch import Watch

    with ExitStack() as stack:
        kube = stack.enter_context(open_kube(cluster.context, cluster.namespace))
        if not is_launched(kube, found.run):
            yield None
            return
        settings = read_plan(found.place, found.run).settings
        timeout_s = settings.schedule_timeout_s
        watch = stack.enter_context(Watch(kube, found.run, schedule_timeout_s=timeout_s))
        access = access_to_run(settings, cluster)
        try:
            yield entries(found, access, Waiting(watch, tick, say))
        except ResourceError:
            _end(kube, found)
            raise
        if watch.sight.master_end() is not None:
            _end(kube, found)


def state_in_pods(found: FoundRun, cluster: Cluster) -> RunState:
    """Return how a run stands: one whose master has ended waits for the next, if there will be one.

    Raises:
        StoreError: its store refuses or does not answer.
    """
    from pymr.kubernetes.kube import open_kube
    from pymr.kubernetes.launch import is_at_work

    state = state_of(found)
    if state in ("interrupted", "died"):
        with suppress(PymrError), open_kube(cluster.context, cluster.namespace) as kube:
            return "waiting" if is_at_work(kube, found.run) else state
    return state


def tell_troubles(found: FoundRun, cluster: Cluster) -> None:
    """Say what is in the way of a run's pods now, if anything is. Best effort."""
    from pymr.kubernetes.kube import open_kube
    from pymr.kubernetes.watch import Watch

    with (
        suppress(PymrError),
        open_kube(cluster.context, cluster.namespace) as kube,
        Watch(kube, found.run, schedule_timeout_s=0.0, say_after_s=0.0) as watch,
    ):
        for line in watch.look(TROUBLES_S):
            say(line)


def gather_logs(found: FoundRun, cluster: Cluster) -> None:
    """Put into the store what the run's pods have printed so far. Best effort."""
    from pymr.kubernetes.kube import open_kube
    from pymr.kubernetes.pod_logs import keep_logs

    with suppress(PymrError), open_kube(cluster.context, cluster.namespace) as kube:
        keep_logs(kube, found, found.place)


def end_pods(found: FoundRun, cluster: Cluster) -> None:
    """Keep the logs of a run's pods, and remove them.

    Raises:
        ClusterError: there is no way into the cluster.
    """
    require_extra()
    from pymr.kubernetes.kube import open_kube

    with open_kube(cluster.context, cluster.namespace) as kube:
        _end(kube, found)


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
    tell = _sayer(settings)
    tell(f"{found.name} goes on in the cluster")
    tell(f"to see it:   pymr status {found.name} --watch   or   pymr attach {found.name}")
    tell(f"to stop it:   pymr cancel {found.name}")


def _sayer(settings: Settings) -> Callable[[str], None]:
    return (lambda _line: None) if settings.quiet else say
