"""What is said of a task that takes too much memory, where its worker is a pod."""

from __future__ import annotations

import msgspec

from pymr.cluster.failure import with_memory_of_pods
from pymr.cluster.message import Failure, FailureKind
from pymr.config import Settings, resolve
from pymr.core.spec import Attempt
from pymr.errors import to_dict
from pymr.runner.memory import too_much

MiB = 1 << 20


def settings(**changes: object) -> Settings:
    """Return settings of a run in pods."""
    given = {"on": "kubernetes", "memory_bytes": 512 * MiB, "slots": 2, **changes}
    return msgspec.structs.replace(resolve({}, {}, "/nowhere", "/nowhere").settings, **given)


def hint(changed: Settings, used_mib: int = 300, kind: FailureKind = FailureKind.MEMORY) -> str:
    """Return the hint of a task that used so much, and had 230 MiB."""
    error = to_dict(too_much(Attempt("map", 1, 1), used_mib * MiB, 230 * MiB))
    failure = Failure(error=error, retryable=True, signature="memory", kind=kind)
    return str(with_memory_of_pods(failure, changed).error["hint"])


def test_f13_a_task_gets_more_memory_from_that_of_its_pod() -> None:
    """As much for each slot as it asks for: `--task-memory` cannot give what the pod has not."""
    assert hint(settings()) == "--memory 1G"
    assert hint(settings(slots=1)) == "--memory 512M"
    assert hint(settings(task_memory_bytes=250 * MiB), used_mib=600) == "--memory 2G"


def test_f13_a_limit_that_was_asked_for_is_what_is_raised() -> None:
    """Where the pod has enough, and where workers are no pods."""
    changed = settings(task_memory_bytes=250 * MiB, memory_bytes=4096 * MiB)

    assert hint(changed) == "--task-memory 512M"
    assert hint(settings(on="hosts")) == "--task-memory 512M"
    assert hint(settings(), kind=FailureKind.CRASHED) == "--task-memory 512M"
