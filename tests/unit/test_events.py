"""Decisions as they stand in a journal."""

from __future__ import annotations

import msgspec
import pytest

from core_samples import attempt, receipt, spec
from pymr.core.events import RunPlanned, TaskCommitted, encode
from pymr.core.spec import EdgeSum

LARGEST = (1 << 128) - 1
DECISIONS = [
    RunPlanned(spec(), map_tasks=2, input_files=1, input_bytes=26),
    TaskCommitted(receipt(attempt(3, 2), written=EdgeSum(1, 2, LARGEST), largest_key="'é'")),
]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: type(decision).__name__)
def test_a_decision_is_one_line_and_comes_back_equal(decision: RunPlanned | TaskCommitted) -> None:
    """Fingerprints of 128 bits included."""
    line = encode(decision)

    assert b"\n" not in line
    assert msgspec.json.decode(line, type=RunPlanned | TaskCommitted) == decision
