"""What a run will do, before it does anything: code loaded, inputs found, tasks cut.

`pymr plan` prints it, `pymr start` and `pymr.run` go on with it. Nothing is written here,
except a copy of inputs that can be read only once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import msgspec

from pymr import names
from pymr.config import Settings
from pymr.config.setting import REDUCERS_MAX
from pymr.core.plan import (
    TASK_BYTES_MAX,
    default_mappers,
    default_reducers,
    mappers_to_fit,
    plan_map_tasks,
)
from pymr.core.sample import Sample, plan_sample
from pymr.core.spec import (
    Code,
    InputFile,
    JobSpec,
    Limits,
    MapTask,
    Shape,
    SkipRules,
    TextRules,
)
from pymr.errors import ConfigError, InputError
from pymr.records.discover import DiscoverRules, Discovery, discover, refuse_missing
from pymr.runner.memory import Share, run_size, share_out
from pymr.runner.pool import Pool
from pymr.runner.reach import at_first
from pymr.store.access import AMBIENT, Access, is_address
from pymr.store.registry import Cluster
from pymr.text_form import show_path, show_paths

OUTPUT_FOLDER = "pymr-out"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for, from a shell or from Python."""

    code: Code
    worker: str  # for people: the path as typed, or the mapper's name
    inputs: tuple[str | bytes, ...]
    settings: Settings
    params: dict[str, str] = {}
    warnings: tuple[str, ...] = ()  # of the settings: what was changed, or has no effect
    spool_folder: str | None = None  # where inputs that can be read only once were copied before
    access: Access = Access()  # to the stores of inputs and output
    cluster: Cluster | None = None  # where its pods will be


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run will do."""

    spec: JobSpec
    output: str  # an absolute folder, or an address
    shown_output: str  # as the user would type it
    inputs: Sequence[InputFile]
    tasks: list[MapTask]
    workers: int  # task processes that fit, at most one for each task of the larger phase
    memory_bytes: int  # what all processes may use together
    access: Access = AMBIENT  # opens the stores of inputs and output; it is written nowhere
    sample: Sample | None = None  # with --sort: what is mapped first, to know where parts begin
    spool_folder: str | None  # where inputs were copied; remove it afterwards
    warnings: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()  # those warnings that are told before any work

    @property
    def input_bytes(self) -> int:
        """The size of all inputs, as they are on disk."""
        return sum(file.size for file in self.inputs)

    def alerted(self, *alerts: str) -> Plan:
        """Return it with more warnings, which are told before any work."""
        warnings = tuple(dict.fromkeys((*self.warnings, *alerts)))
        return msgspec.structs.replace(self, warnings=warnings, alerts=(*self.alerts, *alerts))

    @property
    def maps_whole_files(self) -> bool:
        """Whether a call of the mapper takes a whole file."""
        return self.spec.shape.input_format == "whole"


def plan_run(request: Request, pool: Pool) -> Plan:
    """Return the plan of a run; `pool` loads the code while the inputs are looked for.

    Raises:
        ConfigError: nothing to read, or settings and job do not fit.
        WorkerFileError, InputError, OutputError: as they say.
    """
    begin_loading(request, pool)
    run = names.new_run_id()
    spool_folder = request.spool_folder or _spool_folder(request.settings, run)
    try:
        return _plan(request, pool, run, spool_folder)
    except BaseException:
        if not request.spool_folder:
            import shutil

            shutil.rmtree(spool_folder, ignore_errors=True)
        raise


def begin_loading(request: Request, pool: Pool) -> None:
    """Have `pool` load the code, unless it does so already: planning will wait for it.

    Raises:
        ConfigError: there is nothing to read, or a name is no text.
        ResourceError: this machine has no more of something.
    """
    if not request.inputs:
        raise ConfigError("no input given", hint="add --input PATH, or --input - for stdin")
    _refuse_bytes(request)
    if not pool.processes:
        pool.start(request.code)


def refuse_here(request: Request, pool: Pool) -> None:
    """Refuse what is known to be wrong without any store; `pool` loads the code already.

    Raises:
        WorkerFileError: the code cannot be loaded.
        InputError: an input of this machine is not there.
    """
    pool.wait_shape()
    refuse_missing(request.inputs, _rules(request.settings, "", "", request.access))


def _refuse_bytes(request: Request) -> None:
    """Refuse names that are no text: they stand in JSON. Those of inputs may be any bytes."""
    settings = request.settings
    texts = {
        "worker": request.code.path,
        "--output": absolute_output(settings.output or OUTPUT_FOLDER),
        "--tmp-dir": settings.tmp_dir,
        **{f"--set {show_path(key)}": f"{key}={value}" for key, value in request.params.items()},
    }
    for label, text in texts.items():
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{label} is `{show_path(text or '')}`, which is not UTF-8; expected text"
            ) from error


def _plan(request: Request, pool: Pool, run: str, spool_folder: str) -> Plan:
    settings = request.settings
    name = settings.name or f"{_stem(request.worker)}-{run[-4:]}"
    shown_output = settings.output or _usual_output(settings, name)
    output = absolute_output(shown_output)
    access = request.access
    found, shape = _look(request.inputs, _rules(settings, spool_folder, output, access), pool)
    if settings.sort:
        _refuse_to_sort(shape)
    reducers = _reducers(settings, shape, found)
    whole = shape.input_format == "whole"
    is_cut = settings.sort and reducers > 1
    sample = plan_sample(found.files, reducers, whole=whole) if is_cut else None
    tasks, share = _cut(settings, found, reducers, sample, pool)
    spec = _spec(request, run=run, name=name, shape=shape, reducers=reducers, limits=share.limits)
    return Plan(
        spec=spec,
        output=output,
        shown_output=shown_output,
        inputs=found.files,
        tasks=tasks,
        workers=share.workers,
        memory_bytes=settings.memory_bytes,
        access=access,
        sample=sample,
        spool_folder=spool_folder if os.path.isdir(spool_folder) else None,
        warnings=(
            *request.warnings,
            *shape.warnings,
            *found.warnings,
            *_notes(settings, shape, found, tasks),
            *share.notices,
        ),
    )


def _usual_output(settings: Settings, name: str) -> str:
    """Return where a run puts its parts that is not told where."""
    if settings.store is None:
        return f"./{OUTPUT_FOLDER}/{name}"
    return f"{settings.store.rstrip('/')}/outputs/{name}"


def absolute_output(output: str) -> str:
    """Return an output that means the same in any folder."""
    return output if is_address(output) else os.path.abspath(output)


def _cut(
    settings: Settings, found: Discovery, reducers: int, sample: Sample | None, pool: Pool
) -> tuple[list[MapTask], Share]:
    """Return the map tasks, and what the run may use with so many."""
    wished = settings.mappers or default_mappers(found.files, settings.workers)
    tasks = plan_map_tasks(found.files, wished)
    size = run_size(found.files, tasks, reducers, sample, output=settings.output or "")
    share = share_out(settings, size, pool.process_size)
    fitting = mappers_to_fit(found.files, share.limits.spill_bytes_max)
    # Smaller tasks pay while a reduce task merges all their outputs at once.
    if settings.mappers or not reducers or not wished < fitting <= share.limits.merge_fan_in_max:
        return tasks, share
    tasks = plan_map_tasks(found.files, fitting)
    size = run_size(found.files, tasks, reducers, sample, output=settings.output or "")
    return tasks, share_out(settings, size, pool.process_size)


def _refuse_to_sort(shape: Shape) -> None:
    """Refuse a job whose parts are not ours to cut.

    Raises:
        ConfigError: it has a partitioner of its own, or no reduce phase.
    """
    if shape.reducer is None:
        raise ConfigError(
            "--sort orders what a reduce phase writes, and the job has none (reducer=None)",
            hint="reducer=pymr.IDENTITY writes all pairs in key order; or leave --sort out",
        )
    if shape.partitioner is not None:
        raise ConfigError(
            "--sort says which part a key is in, and so does the job's partitioner",
            hint="leave one of them out",
        )


def _notes(
    settings: Settings, shape: Shape, found: Discovery, tasks: list[MapTask]
) -> Iterator[str]:
    """Yield where the run will not be what the user may have thought."""
    if settings.partition_seed and shape.partitioner:
        yield "--partition-seed has no effect: the job has a partitioner of its own"
    if settings.partition_seed and settings.sort:
        yield "--partition-seed has no effect: --sort gives each reducer a range of keys"
    if settings.mappers and len(tasks) < settings.mappers:
        wished = f"{settings.mappers:,} map tasks were wished for"
        yield f"{wished}, the input can be cut into {len(tasks):,}"
    large = [file for file in found.files if file.stream and file.size > TASK_BYTES_MAX]
    if large:
        shown = show_paths([file.name for file in large])
        yield f"{shown} can be read from the front only, so one map task reads it"


def _stem(worker: str) -> str:
    """Return a name for a job: `wordcount` for `examples/wordcount/worker.py`."""
    name = os.path.basename(worker)
    stem = os.path.splitext(name)[0]
    if name == "worker.py":
        stem = os.path.basename(os.path.dirname(os.path.realpath(worker)))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.") or "job"


def _look(
    inputs: tuple[str | bytes, ...], rules: DiscoverRules, pool: Pool
) -> tuple[Discovery, Shape]:
    """Return the inputs, looked for while the code is loaded, and the code's shape."""
    refused: InputError | None = None
    found = Discovery(())
    try:
        found = discover(inputs, rules)
    except InputError as error:
        if not error.fields.get("is_no_text"):
            raise
        refused = error
    shape = pool.wait_shape()
    if shape.input_format == "whole":  # A whole file may be any bytes.
        return discover(inputs, msgspec.structs.replace(rules, input_format="whole")), shape
    if refused is not None:
        raise refused
    return found, shape


def _spool_folder(settings: Settings, run: str) -> str:
    """Return where inputs are copied that can be read only once; made when it is needed."""
    return os.path.abspath(f"{temporary_folder(settings)}/pymr-input-{run}")


def temporary_folder(settings: Settings) -> str:
    """Return the folder for what need not stand in the output."""
    return settings.tmp_dir or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - private in it


def _rules(settings: Settings, spool_folder: str, output: str, access: Access) -> DiscoverRules:
    return DiscoverRules(
        recursive=settings.recursive,
        allow_empty=settings.allow_empty,
        allow_duplicates=settings.allow_duplicates,
        encoding=settings.encoding,
        spool_folder=spool_folder,
        output=None if is_address(output) else output,
        access=at_first(access),  # Nothing is lost yet: an address may be wrong.
    )


def _reducers(settings: Settings, shape: Shape, found: Discovery) -> int:
    if shape.reducer is None:
        return 0
    size = sum(file.size for file in found.files)
    return settings.reducers or min(default_reducers(size), REDUCERS_MAX)


def _spec(
    request: Request, *, run: str, name: str, shape: Shape, reducers: int, limits: Limits
) -> JobSpec:
    settings = request.settings
    return JobSpec(
        run=run,
        name=name,
        worker=request.worker,
        shape=shape,
        reducers=reducers,
        partition_seed=settings.partition_seed,
        boundaries=() if settings.sort else None,
        output_format=settings.format,
        params=request.params,
        text=TextRules(
            encoding=settings.encoding,
            errors=settings.errors,
            newline=settings.newline,
            long_records=settings.long_records,
            normalize=settings.normalize,
        ),
        limits=limits,
        skip=skip_rules(settings),
    )


def skip_rules(settings: Settings) -> SkipRules:
    """Return how many bad records a run with `settings` may leave out."""
    return SkipRules(records_max=settings.skip_bad_records, ratio_max=settings.max_skip_ratio)
