"""Whether an input fits into the storage of a namespace, by what its MinIO says of its disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymr.core.spec import InputFile, JobSpec, MapTask, Shape, Split
from pymr.errors import ClusterError
from pymr.kubernetes import room
from pymr.kubernetes.room import look_for_room, not_there
from pymr.kubernetes.volume import Volume, parse_volume
from pymr.runner.plan import Plan
from pymr.store.access import Access, open_store

GB = 10**9


def answer(total: int, free: int) -> bytes:
    """Return what MinIO 2026 answers, shortened."""
    disk: dict[str, object] = {
        "endpoint": "/data",
        "state": "ok",
        "totalspace": total,
        "availspace": free,
    }
    disk["usedspace"] = total - free
    return json.dumps({"Disks": [{**disk, "metrics": {}}], "Backend": {"Type": 2}}).encode()


def plan(size: int, *, etag: str | None = None, reducer: str = "function") -> Plan:
    """Return a run of one input."""
    file = InputFile(path=b"/data/in.txt", size=size, step=1 << 20, etag=etag)
    shape = Shape(input_format="lines", reducer=reducer, combiner=None, digest="d")
    return Plan(
        spec=JobSpec(run="r", name="n", worker="worker.py", shape=shape, reducers=1),
        output="s3://map-reduce-bucket/outputs/n",
        shown_output="s3://map-reduce-bucket/outputs/n",
        inputs=(file,),
        tasks=[MapTask(0, (Split(0, 0, size),))],
        workers=1,
        memory_bytes=1 << 30,
        spool_folder=None,
    )


def looked(monkeypatch: pytest.MonkeyPatch, job: Plan, root: str = "s3://b") -> Plan:
    """Return the plan, looked over for a storage with 10 GB of 100 free."""
    monkeypatch.setattr(room, "read_volume", lambda _: Volume(100 * GB, 89 * GB, 10 * GB))
    return look_for_room(job, "data", Access(), root)


def test_a_hundredth_of_the_disk_is_never_used() -> None:
    """MinIO says that it is full then."""
    assert parse_volume(answer(100 * GB, 40 * GB)) == Volume(100 * GB, 60 * GB, 39 * GB)
    nearly = parse_volume(answer(100 * GB, GB // 2))
    assert nearly is not None
    assert (nearly.free_bytes, nearly.is_full) == (0, True)


def test_a_disk_without_a_byte_is_full() -> None:
    """MinIO leaves out what is 0."""
    told = b'{"Disks": [{"totalspace": 1000, "usedspace": 1000}]}'

    assert parse_volume(told) == Volume(1000, 1000, 0)


@pytest.mark.parametrize("told", [b"", b"<html>", b"{}", b"[]", b'{"Disks":[]}', b"\xff"])
def test_what_is_not_understood_is_not_known(told: bytes) -> None:
    """Another version of MinIO may answer otherwise: that is no reason to stop."""
    assert parse_volume(told) is None


def test_a_storage_that_does_not_say_is_taken_as_it_is() -> None:
    """Nobody listens at that port."""
    owner = Access(
        endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="canary-secret"
    )

    assert look_for_room(plan(1 << 50), "data", owner, "s3://b").alerts == ()


def test_an_input_that_does_not_fit_is_refused_with_what_would_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both sizes, and the volume for all of the run."""
    with pytest.raises(ClusterError) as caught:
        looked(monkeypatch, plan(20 * GB), str(tmp_path))

    assert "20 GB are to be uploaded, and 10 GB of 100 GB are free" in caught.value.message
    assert "pymr up --namespace NAME --volume 38G" in (caught.value.hint or "")
    assert caught.value.exit_code == 8


def test_an_input_that_is_there_already_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is known by name and size, without a digest of it."""
    with open_store(str(tmp_path), Access()).create(f"inputs/{'0' * 64}-3/in.txt") as writer:
        writer.write(b"abc")
        writer.commit()
    there, larger = plan(3).inputs[0], plan(4).inputs[0]

    assert not_there([there, larger], Access(), str(tmp_path)) == [larger]
    assert looked(monkeypatch, plan(20 * GB, etag="e"), str(tmp_path)).inputs


@pytest.mark.parametrize(
    ("job", "warned"),
    [
        (plan(4 * GB), False),
        (plan(6 * GB), True),
        (plan(6 * GB, reducer="sum"), False),
        (plan(11 * GB, etag="e"), True),
    ],
    ids=["room", "little", "combined", "there"],
)
def test_a_run_that_may_fill_the_volume_is_told(
    monkeypatch: pytest.MonkeyPatch,
    job: Plan,
    warned: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Where nothing is combined as much as the input is written."""
    alerts = looked(monkeypatch, job).alerts

    assert [" may need: it may fill up" in alert for alert in alerts] == [True] * warned
