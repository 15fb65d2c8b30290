"""A sign of life costs nobody anything: not even where the store is gone."""

from __future__ import annotations

import threading

import msgspec
import pytest

from pymr.errors import StoreUnavailableError
from pymr.names import alive_key
from pymr.store.life_sign import LifeSign, LifeSigns, read_sign
from pymr.store.object_store import ObstoreStore
from staged_run import memory_store

SIGN = LifeSign(epoch=1, pid=1, host="h", time=0.0)


class Gone(ObstoreStore):
    """A store that does not answer."""

    def get(self, key: str) -> bytes:
        """Do not answer."""
        raise StoreUnavailableError("no answer", key=key)


def test_a_store_that_is_gone_at_the_end_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever reads what the command says has enough of that."""
    uncaught: list[object] = []
    monkeypatch.setattr(threading, "excepthook", uncaught.append)

    with LifeSigns(Gone(memory_store()._client), "r", SIGN):
        pass

    assert not uncaught


@pytest.mark.parametrize(("epoch", "stays"), [(1, False), (2, True)])
def test_a_sign_is_removed_by_whoever_showed_it(epoch: int, *, stays: bool) -> None:
    """That of a later process stays."""
    store = memory_store()

    with LifeSigns(store, "r", SIGN) as signs:
        assert signs is not None
        later = LifeSign(epoch=epoch, pid=2, host="h", time=1.0)
        while read_sign(store, alive_key("r")) is None:
            pass
        store.replace(alive_key("r"), msgspec.json.encode(later))

    assert (read_sign(store, alive_key("r")) is not None) is stays
