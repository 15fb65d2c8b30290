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
from pymr.observe.quantity import show_many, show_percent
from pymr.records.column import merge_columns
from pymr.runner.plan import Plan
from pymr.task.manifest import (
    Columns,
    Manifest,
    ManifestBadRecords,
    ManifestInput,
    ManifestMemory,
    ManifestPart,
    ManifestTask,
    ManifestWorker,
    Settings,
    Versions,
    bad_file,
    manifest_input,
)
from pymr.text_form import show_paths

LARGE_PART_RATIO = 1.2  # of an even share: what sampling is off by stays below
LARGE_KEYS_SHOWN = 3


def build_manifest(  # noqa: PLR0913 - keyword-only: what the job does not know
    plan: Plan,
    job: Job,
    *,
    epoch: int,
    created: float,
    finished: float,
    replaces: str | None,
    memory_peak_bytes: int | None,
) -> Manifest:
    """Return the manifest of a job whose books are closed, without its digest."""
    spec, shape = plan.spec, plan.spec.shape
    parts = job.reduce.committed if spec.reducers else job.map.committed
    receipts = _in_order(parts)
    summary = job.ledger.summary()
    return Manifest(
        run=spec.run,
        name=spec.name,
        epoch=epoch,
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
            boundaries=spec.boundaries,
            text=spec.text,
        ),
        inputs=_inputs(plan, summary),
        parts=tuple(_part(receipt, spec.output_format) for receipt in receipts),
        bad_records=_bad_records(job),
        columns=_columns(receipts),
        counters=summary.counters,
        ledger=_books(summary),
        tasks=tuple(
            _task(receipt, shape.digest)
            for committed in (job.map.committed, job.reduce.committed)
            for receipt in _in_order(committed)
        ),
        memory=ManifestMemory(limit_bytes=plan.memory_bytes, peak_bytes=memory_peak_bytes),
        warnings=(*plan.warnings, *_grown(plan, summary), *_large_keys(plan, receipts)),
    )


def _in_order(committed: dict[int, Receipt]) -> list[Receipt]:
    return [committed[task] for task in sorted(committed)]


def _grown(plan: Plan, summary: LedgerSummary) -> Iterator[str]:
    """Yield a warning if inputs became longer after they were planned."""
    grown = [plan.inputs[index].path for index in summary.grown_inputs]
    if grown:
        yield f"{show_paths(grown)} grew while it was read: what was added is not in the result"


def _large_keys(plan: Plan, receipts: list[Receipt]) -> Iterator[str]:
    """Yield keys that make a part larger than the others, with --sort: no key can be cut."""
    if plan.spec.boundaries is None:
        return
    parts = len(plan.spec.boundaries) + 1  # that may have keys
    total = sum(receipt.read.records for receipt in receipts)
    large = [
        receipt
        for receipt in receipts
        if receipt.read.records * parts > LARGE_PART_RATIO * total
        and receipt.largest_group > receipt.read.records / 2
    ]
    large.sort(key=lambda receipt: -receipt.largest_group)
    for receipt in large[:LARGE_KEYS_SHOWN]:
        yield (
            f"key {receipt.largest_key} has {show_percent(receipt.largest_group, total)} of the"
            f" records, so {part_name(receipt.attempt.task, plan.spec.output_format)} is larger"
            f" than the other parts"
        )
    if len(large) > LARGE_KEYS_SHOWN:
        more = show_many(len(large) - LARGE_KEYS_SHOWN, "more key")
        yield f"{more} of that kind"


def _inputs(plan: Plan, summary: LedgerSummary) -> tuple[ManifestInput, ...]:
    return tuple(
        manifest_input(
            file.name,
            size=file.size,
            digest=f"{total.digest:032x}",
            records=total.records,
            bad_records=total.bad_records,
            uploaded=None if file.shown is None else file.path,
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


def _bad_records(job: Job) -> ManifestBadRecords | None:
    """Return where the bad records of a job are, if it has any."""
    files = tuple(
        bad_file(receipt, receipt.bad_object)
        for receipt in _in_order(job.map.committed)
        if receipt.bad_object is not None
    )
    return ManifestBadRecords(count=job.ledger.bad_records, files=files) if files else None


def _task(receipt: Receipt, digest: str) -> ManifestTask:
    return ManifestTask(
        task=str(receipt.attempt),
        attempt=receipt.attempt.number,
        code_digest=None if receipt.code_digest == digest else receipt.code_digest,
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
