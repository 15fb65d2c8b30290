"""Uploads that killed processes have begun: found in the folders of our runs, and dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

import pymr
from pymr.runner.gc import find_leftovers
from pymr.store.place import open_place
from s3_request import Server, send
from services import access_to, new_bucket, trust, unfinished_uploads

pytestmark = pytest.mark.services

COUNT = 1_000


def begin_upload(server: Server, bucket: str, key: str) -> None:
    send(server, "POST", f"/{bucket}/{key}", {"uploads": ""})


def test_f56_of_a_thousand_unfinished_uploads_those_of_our_runs_are_dropped(
    ceph: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gc` lists them, drops them, and leaves those of others and the result alone.

    MinIO lists none that is not asked for by its whole key, and drops them after a day itself.
    """
    bucket = new_bucket(ceph)
    trust(ceph, bucket, tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", ceph.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_access_key)
    (tmp_path / "in.txt").write_text("one two one\n")
    job = pymr.Job(mapper=lambda _ctx, chunk: [(w, 1) for w in chunk.split()], reducer=pymr.SUM)
    output = f"s3://{bucket}/out"
    result = pymr.run(job, input=tmp_path / "in.txt", output=output)
    run = result.manifest.run
    for number in range(COUNT):
        begin_upload(ceph, bucket, f"out/_pymr/{run}/map-{number:05d}-1-nonce")
    begin_upload(ceph, bucket, "other/file")
    place = open_place(output, access_to(ceph))

    found = find_leftovers(place, remove=True)

    assert [each.what for each in found] == ["half of an object"] * COUNT
    assert found[0].path == f"{output}/_pymr/{run}/map-00000-1-nonce"
    assert unfinished_uploads(ceph, bucket) == 1
    assert find_leftovers(place, remove=True) == []
    assert result.head() == [("one", 2), ("two", 1)]
