"""What a task process is told when it starts, and what user code sees of it."""

from __future__ import annotations

import pytest

from pymr.task.huge_pages import TUNABLES, asked_for, hide


@pytest.mark.parametrize(
    "given",
    [{}, {TUNABLES: "glibc.malloc.check=3"}, {TUNABLES: "glibc.malloc.hugetlb=2"}],
    ids=["nothing", "another", "the same"],
)
def test_they_are_asked_for_and_hidden_again(given: dict[str, str]) -> None:
    """What the user has set is left alone."""
    environ = {"HOME": "/", **given}

    asked = asked_for(environ)

    assert asked[TUNABLES].split(":")[-1] == "glibc.malloc.hugetlb=1"
    hide(asked)
    assert asked == environ
