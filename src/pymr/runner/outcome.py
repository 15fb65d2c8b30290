"""From a job that is done to its manifest."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import msgspec

import pymr
from pymr.core.job import Job
from pymr.core.ledger import LedgerSummary
from pymr.core.spec import EdgeSum, Receipt
from pymr.names import part_name
from pymr.records.column import merge_columns
from pymr.runner.plan import Plan
from pymr.task.manifest import (
    Columns,
    Manifest,
    ManifestInput,
    ManifestPart,
    ManifestTask,
    ManifestWorker,
    Settings,
    Versions,
    manifest_input,
)
from pymr.text_form import show_paths


def build_manifest(
    plan: Plan, job: Job, *, created: float, finished: float, replaces: str | None
) -> Manifest:
    """Return the manifest of a job whose books are closed, without its digest."""
    spec, shape = plan.spec, plan.spec.shape
    committed = job.reduce.committed if spec.reducers else job.map.committed
    receipts = [committed[task] for task in sorted(committed)]
    summary = job.ledger.summary()
    return Manifest(
        run=spec.run,
        name=spec.name,
        created=created,
        finished=finished,
        replaces=replaces,
        versions=Versions(pymr=pymr.__version__, python=platform.python_version()),
        worker=ManifestWorker(file=spec.worker, digest=shape.digest, files=shape.files),
        params=spec.params,
        settings=Settings(
            input_format=shape.input_format,
            output_format=spec.output_format,
            reducers=spec.reducers,
            reducer=shape.reducer,
            combiner=shape.combiner,
            partitioner=shape.partitioner,
            partition_seed=spec.partition_seed,
            text=spec.text,
        ),
        inputs=_inputs(plan, summary),
        parts=tuple(_part(receipt, spec.output_format) for receipt in receipts),
        columns=_columns(receipts),
        counters=summary.counters,
        ledger=_books(summary),
        tasks=tuple(map(_task, [*_in_order(job.map.committed), *_in_order(job.reduce.committed)])),
        warnings=(*plan.warnings, *_grown(plan, summary)),
    )


def _in_order(committed: dict[int, Receipt]) -> list[Receipt]:
    return [committed[task] for task in sorted(committed)]


def _grown(plan: Plan, summary: LedgerSummary) -> Iterator[str]:
    """Yield a warning if inputs became longer after they were planned."""
    grown = [plan.inputs[index].path for index in summary.grown_inputs]
    if grown:
        yield f"{show_paths(grown)} grew while it was read: what was added is not in the result"


def _inputs(plan: Plan, summary: LedgerSummary) -> tuple[ManifestInput, ...]:
    return tuple(
        manifest_input(
            file.path, size=file.size, digest=f"{total.digest:032x}", records=total.records
        )
        for file, total in zip(plan.inputs, summary.inputs, strict=True)
    )


def _part(receipt: Receipt, output_format: str) -> ManifestPart:
    assert receipt.sha256 is not None, "a part has a digest"
    return ManifestPart(
        name=part_name(receipt.attempt.task, output_format),
        key=receipt.key,
        records=receipt.records_out,
        bytes=receipt.bytes_out,
        sha256=receipt.sha256,
    )


def _task(receipt: Receipt) -> ManifestTask:
    return ManifestTask(
        task=str(receipt.attempt),
        attempt=receipt.attempt.number,
        code_digest=receipt.code_digest,
    )


def _columns(receipts: list[Receipt]) -> Columns:
    """Return the types that hold for all parts; a part without rows has no say."""
    rows = [receipt for receipt in receipts if receipt.records_out]
    key, key_mixed = merge_columns((r.key_type, r.key_mixed) for r in rows)
    value, value_mixed = merge_columns((r.value_type, r.value_mixed) for r in rows)
    return Columns(key=key, value=value, key_mixed=key_mixed, value_mixed=value_mixed)


def _books(summary: LedgerSummary) -> dict[str, Any]:
    """Return the ledger as it stands in the manifest, fingerprints in hex."""
    books: dict[str, Any] = msgspec.structs.asdict(summary)
    del books["inputs"], books["counters"]  # These stand in fields of their own.
    books["written"], books["read"] = _edge(summary.written), _edge(summary.read)
    return books


def _edge(edge: EdgeSum) -> dict[str, Any]:
    return {
        "records": edge.records,
        "bytes": edge.bytes,
        "fingerprint": f"{edge.fingerprint:032x}",
    }
