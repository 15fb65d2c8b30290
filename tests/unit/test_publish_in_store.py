"""A manifest in a store, where no lock keeps another process of the run away."""

from __future__ import annotations

import msgspec
import pytest

from pymr.errors import OutputError
from pymr.names import MANIFEST
from pymr.store.object_store import ObstoreStore
from pymr.task.commit import publish
from pymr.task.manifest import read_manifest
from staged_run import NEW, OLD, memory_store, published, read, shown, stage


class Overtaken(ObstoreStore):
    """The store `of`, in which another run publishes before the manifest is read, or replaced."""

    def __init__(self, of: ObstoreStore, at: str) -> None:
        super().__init__(of._client)
        self._of = of
        self._at = at

    def get_versioned(self, key: str) -> tuple[bytes, str]:
        """Be overtaken."""
        self._overtake("read")
        return super().get_versioned(key)

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        """Be overtaken."""
        self._overtake("replaced")
        super().replace_if(key, body, version)

    def _overtake(self, when: str) -> None:
        if when == self._at:
            self._at = ""
            published(self._of, "r3", [b"x\n"], replaces="r1")


def test_an_output_in_a_store_is_replaced() -> None:
    """As one in a folder: the new parts, and nothing of the old."""
    store = memory_store()
    published(store, "r1", OLD)

    published(store, "r2", NEW, replaces="r1")

    assert read(store) == shown(store) == NEW


@pytest.mark.parametrize("at", ["read", "replaced"])
def test_a_manifest_that_another_has_replaced_meanwhile_stays(at: str) -> None:
    """Whoever has seen an older one does not write over it."""
    store = memory_store()
    published(store, "r1", OLD)
    manifest = stage(store, "r2", NEW, replaces="r1")

    with pytest.raises(OutputError, match=r"MANIFEST\.json"):
        publish(Overtaken(store, at), manifest)

    assert read(store) == [b"x\n"]


def test_an_earlier_process_of_a_run_does_not_replace_a_later_one_s_manifest() -> None:
    """It finds that what it would replace is gone, and shows what there is."""
    store = memory_store()
    published(store, "r1", OLD, epoch=1)
    late = msgspec.structs.replace(stage(store, "r2", NEW, replaces="r1"), epoch=1)
    published(store, "r2", NEW, replaces="r1", epoch=2)

    publish(store, late)

    assert read_manifest(store).epoch == 2
    assert store.get(MANIFEST)


def test_a_later_process_of_a_run_finds_that_an_earlier_one_has_published_meanwhile() -> None:
    """The run is done then, by what is there; its parts are the same anyway."""
    store = memory_store()
    late = msgspec.structs.replace(stage(store, "r1", OLD), epoch=2)
    published(store, "r1", OLD, epoch=1)

    there = publish(store, late)

    assert there.epoch == 1
    assert there == read_manifest(store)
    assert read(store) == shown(store) == OLD


class Faster(ObstoreStore):
    """The store `of`, in which a process publishes just before the manifest is put."""

    def __init__(self, of: ObstoreStore, run: str) -> None:
        super().__init__(of._client)
        self._of = of
        self._run = run

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Come too late."""
        if key == MANIFEST:
            published(self._of, self._run, OLD, epoch=1)
        super().put_if_absent(key, body)


@pytest.mark.parametrize("epoch", [1, 2])
def test_of_two_processes_of_a_run_that_publish_at_once_one_is_faster(epoch: int) -> None:
    """Both end with what that one has published."""
    store = memory_store()
    manifest = msgspec.structs.replace(stage(store, "r1", OLD), epoch=epoch)

    there = publish(Faster(store, "r1"), manifest)

    assert there == read_manifest(store)
    assert there.epoch == 1
    assert read(store) == shown(store) == OLD


def test_another_run_that_publishes_first_keeps_the_output() -> None:
    """Its manifest stays as it is."""
    store = memory_store()
    manifest = stage(store, "r2", NEW)

    with pytest.raises(OutputError, match=r"MANIFEST\.json"):
        publish(Faster(store, "r1"), manifest)

    assert read(store) == OLD
