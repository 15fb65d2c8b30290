"""What a run will do is settled before it does anything, by settings and inputs alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pymr
from cli import COUNT_WORDS
from pymr.config import Settings, resolve
from pymr.core.spec import Code
from pymr.errors import ConfigError, InputError, PymrError, WorkerFileError
from pymr.runner.plan import Plan, Request, plan_run
from pymr.runner.pool import Pool


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool whose processes end with the test."""
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a worker and inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    Path("count").mkdir()
    Path("count/worker.py").write_text(COUNT_WORDS)
    Path("a.txt").write_text("a b\n" * 100)
    Path("b.txt").write_text("c d\n" * 50)
    return tmp_path


def settings(**given: Any) -> Settings:
    return resolve({"workers": 2, "memory": "512M", **given}, {}, "/nowhere", "/nowhere").settings


def request(
    *inputs: str | bytes, worker: str = "count/worker.py", code: str = "", **given: Any
) -> Request:
    if code:
        Path(worker).write_text(code)
    params = given.pop("params", {})
    return Request(
        code=Code(path=str(Path(worker).absolute())),
        worker=worker,
        inputs=inputs or ("a.txt", "b.txt"),
        settings=settings(**given),
        params=params,
    )


def plan_once(asked: Request) -> Plan:
    """Plan with a pool of its own."""
    with closing(Pool()) as pool:
        return plan_run(asked, pool)


def test_a_plan_says_all_that_a_run_needs(here: Path, pool: Pool) -> None:
    """Name from the worker's folder and the id; output in the default folder; nothing written."""
    before = sorted(here.rglob("*"))

    plan = plan_run(request(params={"x": "1"}), pool)

    assert plan.spec.name == f"count-{plan.spec.run[-4:]}"
    assert plan.shown_output == f"./pymr-out/{plan.spec.name}"
    assert plan.output == str(here / "pymr-out" / plan.spec.name)
    assert [file.path for file in plan.inputs] == [b"a.txt", b"b.txt"]
    assert plan.input_bytes == 600
    assert sum(task.size for task in plan.tasks) == 600
    assert (plan.spec.reducers, plan.spec.params) == (1, {"x": "1"})
    assert plan.spec.shape.reducer == "sum"
    assert (plan.spool_folder, plan.warnings) == (None, ())
    assert [p for p in sorted(here.rglob("*")) if "__pycache__" not in str(p)] == before


def test_settings_reach_the_frozen_description(pool: Pool) -> None:
    """Those that decide about bytes stand in the spec, so that tasks and the manifest see them."""
    plan = plan_run(
        request(
            name="mine",
            output="there",
            reducers=5,
            format="jsonl",
            encoding="latin-1",
            errors="replace",
            newline="lf",
            normalize="NFC",
            long_records="skip",
            max_record="1M",
            max_expansion="7:1",
            partition_seed=3,
        ),
        pool,
    )

    text, limits = plan.spec.text, plan.spec.limits
    assert (plan.spec.name, plan.shown_output) == ("mine", "there")
    assert (plan.spec.reducers, plan.spec.output_format) == (5, "jsonl")
    assert (text.encoding, text.errors, text.newline) == ("iso8859-1", "replace", "lf")
    assert (text.normalize, text.long_records) == ("NFC", "skip")
    assert (limits.record_bytes_max, limits.expansion_max) == (1 << 20, 7)
    assert plan.spec.partition_seed == 3


def test_a_map_only_job_has_no_partitions(pool: Pool) -> None:
    """Also if reducers were asked for."""
    code = "import pymr\njob = pymr.Job(mapper=print)\n"

    plan = plan_run(request(code=code, reducers=4), pool)

    assert plan.spec.reducers == 0


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        ({"workers": 2, "mappers": 1, "reducers": 1}, 1),
        ({"workers": 2, "mappers": 1, "reducers": 7}, 2),
        ({"workers": 3, "mappers": 9, "reducers": 1}, 3),
    ],
)
def test_no_more_processes_than_tasks(pool: Pool, given: dict[str, int], workers: int) -> None:
    """Of the larger phase."""
    assert plan_run(request("a.txt", **given), pool).workers == workers


MAP_ONLY = "import pymr\njob = pymr.Job(mapper=lambda ctx, chunk: None)\n"


@pytest.mark.parametrize(
    ("megabytes", "given", "tasks"),
    [
        (20, {}, 8),  # four a worker
        (20, {"spill": "2M"}, 20),  # each of half a buffer
        (20, {"spill": "2M", "mappers": 5}, 5),  # as was wished
        (20, {"spill": "2M", "code": MAP_ONLY}, 8),  # nothing is spilled
        (100, {"spill": "2M"}, 8),  # more than are merged at once
        (100, {"spill": "2M", "merge_fan_in": 100}, 100),
    ],
)
def test_map_tasks_fit_their_buffers_while_all_are_merged_at_once(
    pool: Pool, megabytes: int, given: dict[str, Any], tasks: int
) -> None:
    """Else a task would spill, and merge what it spilled, only to be merged again."""
    with Path("zeros").open("wb") as file:
        file.truncate(megabytes << 20)

    plan = plan_run(request("zeros", **given), pool)

    assert len(plan.tasks) == tasks


def test_a_buffer_is_what_is_left_of_a_workers_share(pool: Pool) -> None:
    """In whole MiB; the budget's own tests say how much that is."""
    asked = request(memory="512M", workers=2, mappers=2)

    plan = plan_run(asked, pool)

    assert plan.memory_bytes == 512 << 20
    assert 100 << 20 < plan.spec.limits.spill_bytes_max < 200 << 20
    assert plan.spec.limits.spill_bytes_max % (1 << 20) == 0
    assert plan.spec.limits.merge_bytes_max > 100 << 20
    assert plan.warnings == ()


def test_what_does_not_fit_in_the_memory_is_cut_with_a_notice(pool: Pool) -> None:
    """Workers, and a buffer that somebody has asked for."""
    plan = plan_run(request(memory="256M", workers=200, mappers=16, spill="1G"), pool)

    most = plan.spec.limits.spill_bytes_max >> 20
    assert 4 <= plan.workers <= 8
    assert re.fullmatch(
        rf"workers is 16, going on with {plan.workers}: each takes \d\dM of --memory 256M",
        plan.warnings[0],
    )
    assert plan.warnings[1] == f"spill is 1G, going on with {most}M of --memory 256M"


def test_more_inputs_than_fit_in_the_memory_are_refused(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the runner must know of them does not spill; the message says how much it takes."""
    monkeypatch.setattr("pymr.core.budget.FILE_BYTES", 128 << 20)

    with pytest.raises(ConfigError, match=r"at least 3\d\dM for 2 inputs, 1 map") as caught:
        plan_run(request(memory="256M", mappers=1), pool)

    assert caught.value.hint is not None
    assert re.fullmatch(r"--memory 3\d\dM", caught.value.hint)


def test_a_wish_for_more_tasks_than_cells_is_answered(pool: Pool) -> None:
    """The plan has what can be had, and says so."""
    plan = plan_run(request("a.txt", mappers=1000), pool)

    assert 1 < len(plan.tasks) < 1000
    assert plan.warnings == (
        f"1,000 map tasks were wished for, the input can be cut into {len(plan.tasks)}",
    )


@pytest.mark.parametrize(
    ("worker", "stem"),
    [("words.py", "words"), ("a b ü.py", "a-b"), ("ü.py", "job"), ("count/worker.py", "count")],
)
def test_a_name_is_made_of_the_worker(pool: Pool, worker: str, stem: str) -> None:
    """Of letters, digits and few signs: it is a folder's name."""
    plan = plan_run(request(worker=worker, code=COUNT_WORDS), pool)

    assert plan.spec.name == f"{stem}-{plan.spec.run[-4:]}"


def test_bytes_are_fine_where_whole_files_are_asked_for(pool: Pool) -> None:
    """What looks like no text is refused for a text job only, once its shape is known."""
    Path("c.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    whole = "import pymr\njob = pymr.Job(mapper=print, input=pymr.WHOLE)\n"

    plan = plan_run(request("c.zip", code=whole), pool)

    assert plan.input_bytes == 104
    with pytest.raises(InputError, match=r"c\.zip"):
        plan_once(request("c.zip", worker="text.py", code=COUNT_WORDS))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"inputs": ()}, ConfigError, "no input given"),
        ({"inputs": ("none.txt",)}, InputError, "none.txt"),
        ({"code": Code(path="/no/worker.py")}, WorkerFileError, "no such worker file"),
        ({"params": {"x": "\udcff"}}, ConfigError, r"--set x is `x=\xff`, which is not UTF-8"),
        ({"code": Code(path="/\udcff.py")}, ConfigError, "worker is `/\\xff.py`"),
    ],
)
def test_what_cannot_be_planned(
    pool: Pool, changes: dict[str, Any], error: type[PymrError], message: str
) -> None:
    """The error says what is wrong; nothing was started that is not ended."""
    import msgspec

    with pytest.raises(error) as caught:
        plan_run(msgspec.structs.replace(request(), **changes), pool)

    assert message in caught.value.message


def test_a_copy_of_standard_input_is_removed_if_planning_fails(
    here: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made before the code was found to be unusable."""
    (here / "tmp").mkdir()
    with Path("a.txt").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(WorkerFileError):
            plan_run(request("-", code="job = 3\n"), pool)

    assert list((here / "tmp").iterdir()) == []


def test_a_plan_is_the_same_each_time() -> None:
    """But for the id, and what is named by it."""
    plans = [plan_once(request(name="n", mappers=4)) for _ in range(2)]

    assert len({plan.spec.run for plan in plans}) == 2
    assert tasks(plans[0]) == tasks(plans[1])


def tasks(plan: Plan) -> Any:
    # Buffers are what is left beside a task process, whose size is measured in each run.
    limits = msgspec.structs.replace(plan.spec.limits, spill_bytes_max=0, merge_bytes_max=0)
    return plan.tasks, plan.inputs, plan.spec.shape, limits, plan.workers


def test_pymr_run_refuses_what_is_no_job() -> None:
    """A function is not a job; the message says what would be."""
    with pytest.raises(ConfigError, match=r"expected a pymr\.Job"):
        pymr.run(print, input="a.txt")  # type: ignore[arg-type]
