"""The attempt that a trial times: its sorted run or part is made, weighed and thrown away."""

from __future__ import annotations

import time
from typing import Any, cast

from pymr.api import Job
from pymr.core.spec import JobSpec
from pymr.records.part import PartWriter
from pymr.task.map_attempt import Sink, new_buffer


class TrialAttempt:
    """Takes what the mapper emits for a sample, as the buffer of an attempt does."""

    def __init__(self, job: Job, spec: JobSpec, tmp: str) -> None:
        """Begin; `tmp` is for spills."""
        self._weight = _Weight()
        self._part: PartWriter | None = None
        if spec.shape.reducer is None:
            self._part = PartWriter(self._weight.write, spec.output_format)
        else:
            self._buffer = new_buffer(job, spec, spec.limits, tmp)
        self.sink: Sink = self._part or self._buffer

    def finish(self) -> dict[str, Any]:
        """Return what is left of it, as fields of a ReduceTrial."""
        began = time.process_time()
        if self._part is not None:
            totals = self._part.finish()
            records, size = totals.records, totals.bytes
        else:
            try:
                written = self._buffer.finish(cast("Any", self._weight)).written
            finally:
                self._buffer.discard()
            records, size = written.records, written.bytes
        return {
            "written": records,
            "written_bytes": size,
            "stored_bytes": self._weight.size,
            "sort_s": round(time.process_time() - began, 6),
        }


class _Weight:
    """A writer that counts bytes and keeps none."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> None:
        """Count `data`."""
        self.size += len(data)
