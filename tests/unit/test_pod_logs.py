"""The end of what a pod has printed, however much that was."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pymr.kubernetes.kube import Kube
from pymr.kubernetes.pod_logs import LOG_BYTES_MAX, read_log


def kube_whose_pods_print(*lines: str) -> Kube:
    """Return a namespace whose pods have printed these lines."""

    def log(pod: str, **_: Any) -> Iterator[str]:
        assert pod == "words-0"
        yield from lines

    client: Any = SimpleNamespace(log=log)
    return Kube(client, "kind-x", "data", "https://127.0.0.1")


def test_all_of_a_short_log_is_kept() -> None:
    """Line by line, as it came; of nothing, nothing."""
    assert read_log(kube_whose_pods_print("one\n", "zwölf\n"), "words-0") == "one\nzwölf\n".encode()
    assert read_log(kube_whose_pods_print(), "words-0") == b""


def test_the_end_of_a_long_log_is_kept_to_the_byte() -> None:
    """Of many lines, and of a single one that is longer than all that is kept."""
    lines = [f"line {number}\n" for number in range(400_000)]
    whole = "".join(lines).encode()
    assert len(whole) > 2 * LOG_BYTES_MAX

    assert read_log(kube_whose_pods_print(*lines), "words-0") == whole[-LOG_BYTES_MAX:]
    long = "x" * LOG_BYTES_MAX + "end\n"
    assert read_log(kube_whose_pods_print(long), "words-0") == long.encode()[-LOG_BYTES_MAX:]
