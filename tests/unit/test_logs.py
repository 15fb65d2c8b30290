"""What stands in the folder of a run's logs, and whose it is."""

from __future__ import annotations

from pathlib import Path

from pymr.names import attempt_log_key, pod_log_key, process_log_key
from pymr.runner.find import FoundRun
from pymr.runner.logs import logs_of
from pymr.store.access import Access
from pymr.store.place import open_place


def test_logs_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """Pods first, then task processes, then attempts; a task's are its attempts' alone."""
    place = open_place(str(tmp_path), Access())
    keys = (
        attempt_log_key("r", "map", 3, 2),
        process_log_key("r", "pymr-r-workers-0-1f-1", 1),
        pod_log_key("r", "pymr-r-master-x7f2q"),
    )
    for key in keys:
        place.objects.put_if_absent(key, b"printed\n")
    found = FoundRun("r", "wc", place, 0.0)

    assert [log.title for log in logs_of(found)] == [
        "pod pymr-r-master-x7f2q",
        "pymr-r-workers-0-1f-1, outside of attempts",
        "map-0003 attempt 2",
    ]
    assert [log.key for log in logs_of(found, ("map", 3))] == [keys[0]]
