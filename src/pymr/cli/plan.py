"""`pymr plan`: what start would do, and nothing done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import click

from pymr.cli.as_started import as_started
from pymr.cli.reach import access_to_run, at_a_glance
from pymr.cli.settings import request_of, resolved_settings, run_options
from pymr.config import Settings
from pymr.config.value import spell_size
from pymr.core.plan import MIB, workers_max
from pymr.errors import ClusterError, OutputError, StoreError, StoreUnavailableError
from pymr.observe.quantity import show_many, show_size
from pymr.runner.memory import task_memory_of
from pymr.runner.plan import Plan, plan_run
from pymr.runner.pool import Pool
from pymr.runner.run import refuse_unfinished
from pymr.store.access import Access
from pymr.store.place import open_place
from pymr.store.root import MISSING
from pymr.task.output import refuse_foreign, refuse_taken
from pymr.text_form import show_path

TASKS_SHOWN = 10


@click.command("plan", options_metavar="--input PATH [OPTIONS]")
@run_options
def command(worker: str, inputs: tuple[str, ...], params: tuple[str, ...], **flags: Any) -> None:
    """Show what `pymr start` would do with the same arguments, and do nothing."""
    resolved = resolved_settings(flags)
    request = as_started(request_of(worker, inputs, params, resolved), resolved, flags)
    pool = Pool()
    plan = None
    try:
        plan = plan_run(request, pool)
    finally:
        pool.close()
        if plan is not None and plan.spool_folder is not None:
            shutil.rmtree(plan.spool_folder, ignore_errors=True)
    facts = _facts(plan, request.settings, resolved.settings)
    warnings = [*plan.warnings, *_of_output(plan, request.access, resolved.settings)]
    if resolved.settings.json:
        import json

        click.echo(json.dumps({**facts, "warnings": warnings}))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join(_lines(facts)))


def _of_output(plan: Plan, access: Access, settings: Settings) -> Iterator[str]:
    """Yield what `start` would refuse of an output that is there.

    Raises:
        StoreError: its store refuses; one that is away is no matter for a run elsewhere.
    """
    if settings.overwrite:
        return
    try:
        if settings.on != "local":
            access = at_a_glance(access_to_run(settings, None))
        place = open_place(plan.output, access)
        refuse_taken(place)
        refuse_foreign(place)
        refuse_unfinished(plan, place, None)
    except OutputError as error:
        yield f"start would refuse: {error.message}" + (f"; {error.hint}" if error.hint else "")
    except (ClusterError, StoreUnavailableError) as error:
        if settings.on == "local":
            raise
        yield f"whether `{plan.shown_output}` has a result is not known: {error.message}"
    except StoreError as error:
        is_default = settings.on != "local" and settings.store is None and settings.output is None
        if not is_default or error.fields.get("code") != MISSING:
            raise  # A start makes the bucket that nobody has named, and no other.


def _facts(plan: Plan, settings: Settings, asked: Settings) -> dict[str, Any]:
    """Return what there is to show; `settings` are those of all workers together."""
    is_here = asked.on == "local"
    machines = 1 if is_here else asked.workers
    slots = 1 if is_here else settings.workers // machines
    spec = plan.spec
    workers = plan.workers if is_here else asked.workers
    if asked.on == "kubernetes":  # It makes no pods that would have nothing to do.
        workers = min(workers, workers_max(len(plan.tasks), spec.reducers, slots))
    return {
        "name": spec.name,
        "worker": spec.worker,
        "mapper_input": spec.shape.input_format,
        "combiner": spec.shape.combiner,
        "reducer": spec.shape.reducer,
        "files": len(plan.inputs),
        "bytes": plan.input_bytes,
        "map_tasks": len(plan.tasks),
        "reduce_tasks": spec.reducers,
        "parts": spec.reducers or len(plan.tasks),
        "sort": _sort_facts(plan),
        "on": asked.on,
        "workers": workers,
        "slots": slots,
        "memory_bytes": settings.memory_bytes // machines,
        # Elsewhere it is what the worker's machine has.
        "task_memory_bytes": task_memory_of(settings, plan.workers).beside_bytes
        if is_here
        else None,
        "spill_bytes_max": spec.limits.spill_bytes_max,
        "output": plan.shown_output,
        "output_format": spec.output_format,
        "tasks": [
            {
                "task": task.index,
                "bytes": task.size,
                "splits": [
                    {
                        "input": show_path(plan.inputs[split.input].name),
                        "start": split.start,
                        "end": split.end,
                    }
                    for split in task.splits
                ],
            }
            for task in plan.tasks
        ],
    }


def _sort_facts(plan: Plan) -> dict[str, int] | None:
    """Return what is mapped ahead to cut a sorted output into parts; None: it is not sorted."""
    if plan.spec.boundaries is None:
        return None
    sample = plan.sample
    if sample is None:
        return {"sample_bytes": 0, "sample_places": 0}
    return {"sample_bytes": sample.bytes, "sample_places": sample.places}


def _lines(facts: dict[str, Any]) -> list[str]:
    functions = ["mapper", *(name for name in ("combiner", "reducer") if facts[name])]
    lines = [
        f"job     {facts['name']}   {facts['worker']}: {', '.join(functions)}",
        f"input   {show_many(facts['files'], 'file')}, {show_size(facts['bytes'])},"
        f" one mapper call per {_call(facts['mapper_input'])}",
        f"tasks   {facts['map_tasks']} map, {facts['reduce_tasks']} reduce,"
        f" by {show_many(facts['workers'], 'worker')}{_slots(facts['slots'])}",
        *_sort_lines(facts),
        _memory_line(facts),
        f"output  {facts['output']}, {show_many(facts['parts'], facts['output_format'] + ' part')}",
    ]
    for task in facts["tasks"][:TASKS_SHOWN]:
        first, more = task["splits"][0], len(task["splits"]) - 1
        others = f" and {more} more" if more else ""
        lines.append(
            f"  map-{task['task']:04d}  {show_size(task['bytes']):>9}"
            f"  {first['input']} [{first['start']}:{first['end']}]{others}"
        )
    if len(facts["tasks"]) > TASKS_SHOWN:
        lines.append(f"  … {len(facts['tasks']) - TASKS_SHOWN} more map tasks")
    return lines


def _sort_lines(facts: dict[str, Any]) -> list[str]:
    """Return what --sort will do, if it is asked for."""
    if facts["sort"] is None:
        return []
    parts, read = facts["parts"], show_size(facts["sort"]["sample_bytes"])
    if parts == 1:
        return ["sort    one part, in key order"]
    places = facts["sort"]["sample_places"]
    sample = f"{read} at {places:,} places of the input" if places else f"all {read} of input"
    return [
        f"sort    {parts:,} parts of consecutive keys; {sample} are mapped first to balance them"
    ]


def _memory_line(facts: dict[str, Any]) -> str:
    of = "all processes" if facts["on"] == "local" else "each worker"
    with_code = ""
    if facts["task_memory_bytes"] is not None:
        most = spell_size(facts["task_memory_bytes"] & -MIB)
        with_code = f", and uses at most {most} with your code"
    memory, spill = spell_size(facts["memory_bytes"]), spell_size(facts["spill_bytes_max"])
    return f"memory  {memory} for {of}; a map task spills at {spill}{with_code}"


def _slots(each: int) -> str:
    return "" if each == 1 else f" of {each} slots"


def _call(input_format: str) -> str:
    return {"text": "64 KiB of lines", "lines": "line", "whole": "file"}[input_format]
