"""A task process that is started before the code is known: the one that loads it, or nobody's."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from cli import COUNT_WORDS
from pymr.core.spec import Code
from pymr.offspring import children_of
from pymr.runner.pool import Pool


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """Code that counts words."""
    worker = tmp_path / "worker.py"
    worker.write_text(COUNT_WORDS)
    return Code(path=str(worker))


def test_the_process_that_waits_loads_the_code_under_the_name_that_is_known_then(
    code: Code,
) -> None:
    """A worker gets its name from its master, and its process is up by then."""
    before = set(children_of())
    with closing(Pool()) as pool:
        pool.warm_up()
        pool.warm_up()
        (waiting,) = set(children_of()) - before
        assert pool.processes == {}

        pool.name = "host-7"
        process = pool.start(code)
        shape = pool.wait_shape()

        assert (process.pid, process.name) == (waiting, "host-7-1")
        assert shape.reducer == "sum"
        assert pool.start().pid != waiting


def test_a_pool_that_is_closed_leaves_no_process_that_waits() -> None:
    """Where a master does not let a worker in, for instance."""
    before = set(children_of())
    with closing(Pool()) as pool:
        pool.warm_up()
        assert set(children_of()) - before

    assert set(children_of()) == before


def test_a_process_that_was_killed_while_it_waited_is_replaced(code: Code) -> None:
    """Memory may run out in the ten minutes that a worker waits for its master."""
    before = set(children_of())
    with closing(Pool()) as pool:
        pool.warm_up()
        (waiting,) = set(children_of()) - before
        os.kill(waiting, signal.SIGKILL)

        pool.start(code)

        assert pool.wait_shape().reducer == "sum"
        assert waiting not in {each.pid for each in pool.processes.values()}
