"""What the keys of a run's pods can do, asked of a real store with these keys."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hosts_run import HostsRun
from pymr.cluster.master_spec import MasterSpec
from pymr.errors import ClusterError, ObjectMissingError, PymrError, StoreError
from pymr.kubernetes.credentials import Role, Scope, scoped
from pymr.kubernetes.launch import WORKER_KEYS_FILE, StoreOfRun, keys_of
from pymr.kubernetes.objects.policy import OutsideStore
from pymr.kubernetes.objects.run import CREDENTIALS_FILE
from pymr.names import CLAIM, MANIFEST, journal_slot_key
from pymr.runner.stored import read_plan
from pymr.store.access import Access, parse_address
from pymr.store.credentials import with_keys_of, write_credentials
from pymr.store.object_store import ObstoreStore, open_objects
from pymr.store.place import open_place
from s3_request import Server
from services import access_to, new_bucket, write_object
from stopped_run import undisturbed

pytestmark = pytest.mark.services

RUN = "0192f0c0-0000-7000-8000-000000000001"
ANOTHER = "0192f0c0-0000-7000-8000-000000000002"
OWN = f"_pymr/{RUN}"
ATTEMPT = f"{OWN}/map-00000-1-ab"
# Whoever has no right is asked again for some seconds: rights are given late.
QUICK = {"storage_wait_s": 0.1}


class Shelf:
    """A bucket with an input and an output, and the stores of its owner and of a role."""

    def __init__(self, server: Server) -> None:
        self.bucket = new_bucket(server)
        self.owner = access_to(server, **QUICK)
        self.output = f"s3://{self.bucket}/out"
        self.input = f"s3://{self.bucket}/inputs/in.txt"
        self.objects("").replace("inputs/in.txt", b"text")
        self.objects("").replace("private.txt", b"not for the run")

    def keys(self, role: Role) -> Access:
        """Return the keys of a role."""
        return scoped(self.owner, role, Scope(RUN, self.output, (self.input,)))

    def objects(self, prefix: str = "out", access: Access | None = None) -> ObstoreStore:
        """Return a store as its owner, or as whoever has `access`."""
        address = parse_address(f"s3://{self.bucket}/{prefix}")
        return open_objects(address, access or self.owner)


@pytest.fixture(scope="module")
def shelf(minio: Server) -> Shelf:
    """Give a bucket with an output that has a bit of everything."""
    shelf = Shelf(minio)
    store = shelf.objects()
    for key in (CLAIM, MANIFEST, journal_slot_key(RUN, 0), ATTEMPT, "part-00000.tsv"):
        store.replace(key, b"as it was")
    store.replace(f"_pymr/{ANOTHER}/map-00000-1-ab", b"as it was")
    return shelf


def is_refused(ask: Callable[[], object]) -> None:
    """Assert that the store says no."""
    with pytest.raises(StoreError) as caught:
        ask()
    assert "the keys have no right to do that" in caught.value.message


@pytest.mark.parametrize(
    "key",
    [
        journal_slot_key(RUN, 0),
        journal_slot_key(RUN, 1),
        f"{OWN}/events/00000000",
        f"{OWN}/alive",
        f"{OWN}/cancelled",
        f"{OWN}/code/ab",
        f"{OWN}/sources/ab",
        f"_pymr/{ANOTHER}/map-00000-1-ab",
        CLAIM,
        MANIFEST,
        "_SUCCESS",
        "part-00000.tsv",
        "map-00000-1-ab",
    ],
)
def test_a_worker_writes_nothing_but_its_attempts(shelf: Shelf, key: str) -> None:
    """Neither anew nor over what is there, in one request or in parts."""
    store = shelf.objects(access=shelf.keys("worker"))
    before = found(shelf.objects(), key)

    is_refused(lambda: store.put_if_absent(key, b"forged"))
    is_refused(lambda: store.replace(key, b"forged"))
    is_refused(lambda: store.copy(ATTEMPT, key))
    with pytest.raises(PymrError):
        write_object(store, key, 9)

    assert found(shelf.objects(), key) == before


def found(store: ObstoreStore, key: str) -> bytes | None:
    """Return an object, None if there is none."""
    try:
        return store.get(key)
    except ObjectMissingError:
        return None


def test_a_worker_deletes_and_lists_nothing(shelf: Shelf) -> None:
    """Not even its own attempts."""
    store = shelf.objects(access=shelf.keys("worker"))

    for key in (ATTEMPT, journal_slot_key(RUN, 0), MANIFEST):
        is_refused(lambda key=key: store.delete(key))
    is_refused(lambda: list(store.list("")))
    is_refused(lambda: list(store.list(OWN)))

    assert shelf.objects().get(ATTEMPT) == b"as it was"


def test_a_worker_reads_its_inputs_and_its_run_and_no_other_object(shelf: Shelf) -> None:
    """What is beside the inputs, and what another run has made, is not its business."""
    keys = shelf.keys("worker")
    store, bucket = shelf.objects(access=keys), shelf.objects("", keys)

    assert bucket.get("inputs/in.txt") == b"text"
    assert store.get(journal_slot_key(RUN, 0)) == b"as it was"
    assert store.get(MANIFEST) == b"as it was"
    is_refused(lambda: bucket.get("private.txt"))
    is_refused(lambda: store.get(f"_pymr/{ANOTHER}/map-00000-1-ab"))
    is_refused(lambda: store.get("part-00000.tsv"))


def test_a_worker_writes_attempts_of_all_sizes_and_its_prints(shelf: Shelf) -> None:
    """What it is there for; an object that is missing is said to be missing."""
    store = shelf.objects(access=shelf.keys("worker"))

    store.put_if_absent(f"{OWN}/reduce-00000-1-cd", b"rows")
    store.replace(f"{OWN}/logs/map-00000-1.log", b"printed")
    with store.create(f"{OWN}/map-00001-1-ef") as writer:
        writer.write(bytes(20 << 20))
        writer.commit()

    assert store.size(f"{OWN}/map-00001-1-ef") == 20 << 20
    with pytest.raises(ObjectMissingError):
        store.get(f"{OWN}/map-00009-1-ab")


def test_a_master_has_all_of_the_output_and_nothing_beside_it(shelf: Shelf) -> None:
    """It reads inputs, and cannot change them."""
    keys = shelf.keys("master")
    store, bucket = shelf.objects(access=keys), shelf.objects("", keys)

    store.put_if_absent("_pymr/x/journal/00000000", b"decided")
    store.copy("_pymr/x/journal/00000000", "part-00009.tsv")
    assert "part-00009.tsv" in list(store.list_names(""))
    assert open_place(shelf.output, keys).runs()
    store.delete_folder("_pymr/x")
    store.delete("part-00009.tsv")
    assert bucket.get("inputs/in.txt") == b"text"
    is_refused(lambda: bucket.replace("inputs/in.txt", b"forged"))
    is_refused(lambda: bucket.delete("inputs/in.txt"))
    is_refused(lambda: bucket.get("private.txt"))
    is_refused(lambda: bucket.replace("outside", b"forged"))
    is_refused(lambda: list(bucket.list("")))


def test_keys_of_a_run_make_no_keys(shelf: Shelf) -> None:
    """Neither wider nor longer ones."""
    with pytest.raises(
        ClusterError, match=r"gives no keys for the master of a run \(`AccessDenied`"
    ):
        scoped(shelf.keys("worker"), "master", Scope(RUN, shelf.output))


def test_a_wrong_owner_is_said(shelf: Shelf) -> None:
    """With what the store calls it."""
    stranger = msgspec.structs.replace(shelf.owner, secret_access_key="x" * 32)

    with pytest.raises(ClusterError, match="signature we calculated does not match") as caught:
        scoped(stranger, "worker", Scope(RUN, shelf.output))

    assert "x" * 32 not in caught.value.message


def test_a_store_of_a_user_lends_pods_keys_of_their_run(minio: Server) -> None:
    """Where it knows such; nothing is said, and the user's own stay here."""
    said: list[str] = []
    owner = access_to(minio)

    keys = keys_of(lent(owner), Scope(RUN, "s3://bucket/out"), said.append)

    assert said == []
    assert list(keys.worker) == [WORKER_KEYS_FILE]
    assert keys.master[CREDENTIALS_FILE] != keys.worker[WORKER_KEYS_FILE]
    assert minio.secret_access_key not in repr(keys)


def test_a_store_that_makes_no_keys_lends_those_of_its_user(ceph: Server) -> None:
    """And says so, with the word by which it has refused: the user may have narrower ones."""
    said: list[str] = []

    keys = keys_of(lent(access_to(ceph)), Scope(RUN, "s3://bucket/out"), said.append)

    assert said == [
        "pods have your keys of the store, with all that they may do (it makes none for a run,"
        " `InvalidArgument`)"
    ]
    assert ceph.secret_access_key.encode() in keys.worker[WORKER_KEYS_FILE]


def lent(access: Access) -> StoreOfRun:
    """Return a store that is outside of the cluster."""
    return StoreOfRun(access, access.endpoint, OutsideStore())


def test_a_run_is_done_with_the_keys_of_its_roles_alone(tmp_path: Path, minio: Server) -> None:
    """From the plan on: no process of it has had the keys of the owner."""
    (tmp_path / "hosts").mkdir()
    with HostsRun(tmp_path / "hosts", minio) as run:
        planned = run.start().says("on the other machines")
        planned.kill(signal.SIGKILL)
        owner = access_to(minio)
        scope = Scope(run.id, run.output, tuple(inputs_of(run, owner)))
        files = {}
        for role in ("master", "worker"):
            files[role] = run.cli.folder / f"{role}.keys"
            write_credentials(str(files[role]), scoped(owner, role, scope))
        spec = msgspec.structs.replace(
            told_to(run), join_file=str(run.join_file), worker_keys=str(files["worker"])
        )
        (run.cli.folder / "spec.json").write_bytes(msgspec.json.encode(spec))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
            del run.cli.environ[name]
        run.worker()
        run.cli.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(files["master"])

        master = run.run("master", "spec.json")

        assert master.ends() == 0, master.said
        assert run.rows() == undisturbed(tmp_path)
        assert minio.secret_access_key not in master.said


def inputs_of(run: HostsRun, owner: Access) -> list[str]:
    """Return where the inputs of a run are."""
    plan = read_plan(open_place(run.output, owner), run.id)
    return [os.fsdecode(file.path) for file in plan.inputs]


def told_to(run: HostsRun) -> MasterSpec:
    """Return what another master of the run is told."""
    return MasterSpec(
        output=run.output,
        run=run.id,
        endpoint=run.cli.environ["AWS_ENDPOINT_URL"],
        region="us-east-1",
        secrets=str(run.cli.home / "state/pymr/masters" / f"{run.id}.json"),
        listen=f"127.0.0.1:{json.loads(run.join_file.read_text())['addresses'][0].rpartition(':')[2]}",
        join_file=None,
        workers=1,
        worker_wait_s=60.0,
    )


def test_keys_that_are_written_anew_are_read_anew(tmp_path: Path) -> None:
    """A file without any is no file of keys."""
    path = str(tmp_path / "keys")
    write_credentials(path, Access(access_key_id="a", secret_access_key="b", session_token="c"))

    read = with_keys_of(path, Access(endpoint="http://store:9000", access_key_id="owner"))

    assert (read.access_key_id, read.session_token) == ("a", "c")
    assert read.endpoint == "http://store:9000"
    assert read.credentials_file == path
