"""`pymr plan`: what start would do, and nothing done."""

from __future__ import annotations

import shutil
from typing import Any

import click

from pymr.cli.settings import request_of, resolved_settings, run_options
from pymr.config import Settings
from pymr.config.value import spell_size
from pymr.core.plan import MIB
from pymr.observe.quantity import show_many, show_size
from pymr.runner.find import committed_manifest
from pymr.runner.memory import task_memory_of
from pymr.runner.plan import Plan, plan_run
from pymr.runner.pool import Pool
from pymr.store.place import open_place
from pymr.text_form import show_path

TASKS_SHOWN = 10


@click.command("plan", options_metavar="--input PATH [OPTIONS]")
@run_options
def command(worker: str, inputs: tuple[str, ...], params: tuple[str, ...], **flags: Any) -> None:
    """Show what `pymr start` would do with the same arguments, and do nothing."""
    resolved = resolved_settings(flags)
    request = request_of(worker, inputs, params, resolved)
    pool = Pool()
    plan = None
    try:
        plan = plan_run(request, pool)
    finally:
        pool.close()
        if plan is not None and plan.spool_folder is not None:
            shutil.rmtree(plan.spool_folder, ignore_errors=True)
    facts = _facts(plan, resolved.settings)
    if resolved.settings.json:
        import json

        click.echo(json.dumps(facts))
        return
    warnings = [*resolved.warnings, *plan.warnings]
    place = open_place(plan.output, request.access)
    if not resolved.settings.overwrite and committed_manifest(place) is not None:
        warnings.append(f"`{plan.shown_output}` has a result: start needs --overwrite")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join(_lines(facts)))


def _facts(plan: Plan, settings: Settings) -> dict[str, Any]:
    spec = plan.spec
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
        "workers": plan.workers,
        "memory_bytes": settings.memory_bytes,
        "task_memory_bytes": task_memory_of(settings, plan.workers).beside_bytes,
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
        f" by {show_many(facts['workers'], 'worker')}",
        *_sort_lines(facts),
        f"memory  {spell_size(facts['memory_bytes'])} for all processes; a map task spills at"
        f" {spell_size(facts['spill_bytes_max'])}, and uses at most"
        f" {spell_size(facts['task_memory_bytes'] & -MIB)} with your code",
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


def _call(input_format: str) -> str:
    return {"text": "64 KiB of lines", "lines": "line", "whole": "file"}[input_format]
