"""Whoever works on a run sees that it was cancelled, and does not look all the time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pymr import names
from pymr.errors import InterruptedRunError
from pymr.runner.cancel_mark import CANCEL_LOOK_S, CancelMark
from pymr.store.folder_place import FolderPlace

RUN = "01a2-1"


def test_a_mark_is_seen_when_it_is_time_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks nothing is asked."""
    place, now = FolderPlace(str(tmp_path)), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    mark = CancelMark(place, RUN)

    mark.look()
    place.objects.put_if_absent(names.cancelled_key(RUN), b"")
    mark.look()
    assert mark.is_there()
    now[0] += CANCEL_LOOK_S

    with pytest.raises(InterruptedRunError, match="cancelled") as caught:
        mark.look()
    assert caught.value.fields["is_cancelled"]


def test_the_mark_of_another_run_is_none_of_this_one(tmp_path: Path) -> None:
    """An output may have had several."""
    place = FolderPlace(str(tmp_path))
    place.objects.put_if_absent(names.cancelled_key("01a2-2"), b"")

    CancelMark(place, RUN).look()

    assert not CancelMark(place, RUN).is_there()
