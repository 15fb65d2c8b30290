"""Plans a run for workers of other machines, and puts all that they need into its store.

plan, with the code loaded here once ─► inputs and code go into the store ─► journal: a plan
for a master
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import msgspec

from pymr.config import Settings, this_machine
from pymr.config.setting import DEFAULT_STORE
from pymr.core.events import RunFinished, UploadProgressed, Warned
from pymr.errors import ConfigError, PymrError, to_dict
from pymr.observe.feed import Feed, JsonLines, thin
from pymr.runner.cancel_mark import CancelMark
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer, interruption, remove_folder
from pymr.runner.local import LocalCrew
from pymr.runner.plan import Plan, Request, absolute_output, begin_loading, plan_run
from pymr.runner.pool import Pool
from pymr.runner.preflight import looked_over, refuse_few_files, refuse_unsafe_store
from pymr.runner.reach import at_first
from pymr.runner.run import refuse_unfinished, remember
from pymr.runner.stored import head_of, planned_of
from pymr.runner.upload import upload_inputs
from pymr.store.access import Access, is_address, parse_address
from pymr.store.place import Place, open_place
from pymr.store.root import check_root, ensure_root
from pymr.task.bundle import put_code
from pymr.task.output import prepare_output, refuse_taken

Look = Callable[[Plan], Plan]


def loading(request: Request) -> Pool:
    """Return a pool that loads the code of a request, for `submit_run` later on.

    Raises:
        ConfigError, ResourceError: as the planning of a run.
    """
    refuse_few_files()
    pool = Pool(None)
    begin_loading(request, pool)
    return pool


def submit_run(
    request: Request,
    observer: Observer,
    *,
    over: str | None = None,
    look: Look | None = None,
    pool: Pool | None = None,
) -> FoundRun:
    """Plan a run and return it, for a master to take it on: all that it needs is in its store.

    The output stays claimed for it.
    `over` is the id of an unfinished run whose work may be dropped. `look` is given the plan before
    anything is in the store: it raises what stands against it, or returns it with more warnings.
    `pool` is one that loads the code already (`loading`); it is closed.

    Raises:
        ConfigError: the output is no address, for instance.
        PymrError: as the planning of any run; or the store refuses.
    """
    with closing(pool or _warm_pool()) as ready:  # While the store is looked at.
        _look_at_store(request)
        return _submit(request, ready, observer, over, look)


def _warm_pool() -> Pool:
    refuse_few_files()
    pool = Pool(None)
    pool.warm_up()
    return pool


def _look_at_store(request: Request) -> None:
    """Refuse a store that cannot be used, and an output that is somebody's, before any work."""
    settings, access = request.settings, request.access
    if settings.store is not None:
        check_root(settings.store, at_first(access))
    where = settings.output or settings.store
    if where is not None:
        place = _place(where, request)
        if settings.output is not None:
            refuse_taken(place, overwrite=settings.overwrite)
        refuse_unsafe_store(place, access, settings)


def _submit(
    request: Request, pool: Pool, observer: Observer, over: str | None, look: Look | None
) -> FoundRun:
    settings = request.settings
    spool_folder = None
    try:
        plan = plan_run(msgspec.structs.replace(request, settings=of_all_workers(settings)), pool)
        spool_folder = plan.spool_folder
        plan = looked_over(plan, settings)
        plan = plan if look is None else look(plan)
        place = _place(plan.output, request)
        spec, started = plan.spec, time.time()
        if not settings.overwrite:
            refuse_unfinished(plan, place, over)
        overwrite = settings.overwrite
        output = prepare_output(place, overwrite=overwrite, run=spec.run, name=spec.name, over=over)
        try:
            _write(plan, request, pool, place, observer, started)
        except BaseException:
            output.claim.release()
            raise
        return FoundRun(spec.run, spec.name, place, started)
    finally:
        pool.close()
        if spool_folder is not None:
            remove_folder(spool_folder)


def for_hosts(settings: Settings) -> Settings:
    """Return settings with the store that a run on other machines has if none is given.

    Raises:
        ConfigError: the output is a folder of this machine.
    """
    if settings.output is not None and not is_address(settings.output):
        raise ConfigError(
            f"output `{settings.output}` is a folder of this machine, expected an address that"
            " all workers reach, such as `s3://bucket/out`",
            hint="--store s3://bucket   without --output, or   --on local",
        )
    store = settings.store
    if store is None and settings.output is not None:
        address = parse_address(settings.output)
        store = f"{address.scheme}://{address.bucket}"
    return msgspec.structs.replace(settings, store=store or DEFAULT_STORE)


def make_default_store(settings: Settings, access: Access) -> bool:
    """Make the bucket that nobody has named, if it is missing; return whether that was done.

    Raises:
        StoreError: it can be neither used nor made.
    """
    is_default = settings.store == DEFAULT_STORE
    return is_default and ensure_root(DEFAULT_STORE, at_first(access))


def _place(output: str, request: Request) -> Place:
    return open_place(absolute_output(output), request.access)


def of_all_workers(settings: Settings) -> Settings:
    """Return settings with what all workers have together, as a run on them is planned.

    Workers that have not said how many slots they have are taken for machines like this one.
    """
    slots = settings.slots or this_machine().cores
    return msgspec.structs.replace(
        settings,
        workers=settings.workers * slots,
        memory_bytes=settings.memory_bytes * settings.workers,
    )


def _write(
    plan: Plan, request: Request, pool: Pool, place: Place, observer: Observer, started: float
) -> None:
    """Put inputs and code into the store, and then the plan that names them."""
    run, settings = plan.spec.run, request.settings
    with place.life_signs(run, 0), place.history(run, thin) as history:
        feed = Feed([JsonLines(history.append), observer.entry], time.time)
        mark = CancelMark(place, run)

        def report(event: UploadProgressed) -> None:
            feed.append(event)

        def tick(now: float) -> None:
            observer.tick(now)
            mark.look()

        with _failing_told(feed):
            observer.planned(plan, place)
            remember(run, plan.spec.name, place, started, request.access, request.cluster)
            root = settings.store or str(place)
            inputs = upload_inputs(plan.inputs, root, request.access, report, mark.look)
            plan = msgspec.structs.replace(plan, inputs=inputs, spool_folder=None)
            if plan.sample is not None:
                cores = this_machine().cores  # The sample is mapped here; workers are elsewhere.
                here = msgspec.structs.replace(plan, workers=min(plan.workers, cores))
                plan = LocalCrew(pool, settings).settle(here, feed, tick, None)
            code = put_code(place.objects, run, request.code, plan.spec.shape)
            asked = msgspec.structs.replace(request, code=code)
            with closing(place.create_journal(run, 0)) as journal:
                for record in head_of(asked, plan, started, epoch=0):
                    journal.append(record)
                journal.sync()
        feed.append(planned_of(plan, started, epoch=0))
        for warning in plan.warnings:
            feed.append(Warned(warning))


@contextmanager
def _failing_told(feed: Feed) -> Iterator[None]:
    """Have the feed say why a run ended before it was planned."""
    try:
        yield
    except KeyboardInterrupt as error:
        feed.append(RunFinished(to_dict(interruption(error))))
        raise
    except PymrError as error:
        feed.append(RunFinished(to_dict(error)))
        raise
