"""How much each measure reads: as the targets say, or little enough for every day."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """Inputs of the measures; MB are 1,000,000 bytes."""

    text_megabytes: int  # Zipf text of word_count and scaling
    emit_megabytes: int  # Zipf text of emit
    records: int  # of group_sum
    sort_megabytes: int  # of sort_records
    growth_megabytes: int  # the smaller input of growth; the larger is four times that
    memory_megabytes: int  # of memory
    scheduler_tasks: int  # of scheduler; a tenth of them with partitions
    assignments: int  # of assignments
    recovery_tasks: int  # map tasks that are done when the master of recovery is killed


FULL = Sizes(
    text_megabytes=256,
    emit_megabytes=64,
    records=30_000_000,
    sort_megabytes=1_000,
    growth_megabytes=1_000,
    memory_megabytes=10_000,
    scheduler_tasks=1_000_000,
    assignments=100_000,
    recovery_tasks=10_000,
)
QUICK = Sizes(
    text_megabytes=48,
    emit_megabytes=16,
    records=5_000_000,
    sort_megabytes=100,
    growth_megabytes=100,
    memory_megabytes=1_000,
    scheduler_tasks=100_000,
    assignments=20_000,
    recovery_tasks=500,
)
