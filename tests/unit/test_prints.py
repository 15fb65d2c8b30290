"""What a task process prints, in bounds."""

from __future__ import annotations

import threading
from pathlib import Path

from pymr.core.spec import Attempt
from pymr.errors import StoreError
from pymr.runner.log_uploads import LOG_UPLOADS_MAX
from pymr.runner.prints import HEAD_BYTES_MAX, TAIL_BYTES_MAX, Logs, Prints
from pymr.store.folder_place import FolderPlace
from pymr.store.object_place import ObjectPlace
from pymr.store.object_store import ObstoreStore

RUN = "0190"


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "_pymr" / RUN / "logs").iterdir()}


def test_what_comes_before_there_is_a_place_is_written_when_there_is_one(tmp_path: Path) -> None:
    """An import prints before the run has a folder."""
    logs, prints = Logs(FolderPlace(str(tmp_path)), RUN, 2), Prints()
    prints.add(b"before\n")

    prints.keep(logs, logs.key_of("worker-7", None))
    prints.add(b"after\n")

    assert kept(tmp_path) == {"worker-7-2.log": b"before\nafter\n"}
    prints.close()
    assert (logs.printed_bytes, logs.left_out_bytes) == (13, 0)


def test_every_byte_is_kept_or_counted(tmp_path: Path) -> None:
    """Whatever the pieces are in which it comes."""
    logs, prints = Logs(FolderPlace(str(tmp_path)), RUN, 1), Prints()
    prints.keep(logs, logs.key_of("w", Attempt("reduce", 3, 1)))
    for _ in range(50):
        prints.add(b"\n" * 65_535)

    prints.close()

    [(name, body)] = kept(tmp_path).items()
    head, _, tail = body.partition("\n… ".encode())
    assert (name, len(head)) == ("reduce-00003-1.log", HEAD_BYTES_MAX)
    tail = tail.partition(b"\n")[2]
    assert TAIL_BYTES_MAX <= len(tail) <= TAIL_BYTES_MAX + 65_535
    assert logs.printed_bytes == 50 * 65_535
    # The line that was cut is left out, too: here a line end.
    assert logs.left_out_bytes == logs.printed_bytes - len(head) - len(tail) - 1


def test_a_run_that_has_printed_much_keeps_no_more(tmp_path: Path) -> None:
    """All logs together have a limit, too."""
    logs, prints = Logs(FolderPlace(str(tmp_path)), RUN, 1), Prints()
    logs.room = 10
    prints.keep(logs, logs.key_of("w", Attempt("map", 0, 1)))

    prints.add(b"0123456789abc\n")
    prints.add(b"x")
    prints.close()

    assert kept(tmp_path) == {"map-00000-1.log": b"0123456789"}
    assert (logs.printed_bytes, logs.left_out_bytes) == (15, 5)
    assert prints.recent() == ["0123456789abc", "x"]


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """What is in the way stays; what was printed counts as left out."""
    (tmp_path / "_pymr").write_text("a file")
    logs, prints = Logs(FolderPlace(str(tmp_path)), RUN, 1), Prints()
    prints.keep(logs, logs.key_of("w", Attempt("map", 0, 1)))

    prints.add(b"lost")
    prints.close()

    assert (logs.printed_bytes, logs.left_out_bytes) == (4, 4)


def test_recent_lines_are_text_whatever_was_printed() -> None:
    """Bytes that are none are marked."""
    prints = Prints()

    prints.add(b"\xff\n" + b"n\n" * 50)
    prints.add(b"end \xc3")

    assert prints.recent() == ["\ufffd", *["n"] * 50, "end \ufffd"]


def in_store() -> ObjectPlace:
    from obstore.store import MemoryStore

    return ObjectPlace(ObstoreStore(MemoryStore()), "memory://bucket/out")


def test_in_a_store_a_log_is_an_object_when_it_is_complete(tmp_path: Path) -> None:
    """Until then it is a file that goes with this process."""
    place = in_store()
    logs, prints = Logs(place, RUN, 1, str(tmp_path)), Prints()
    key = logs.key_of("w", Attempt("map", 0, 1))
    prints.keep(logs, key)
    prints.add(b"one\n")
    assert list(place.objects.list("")) == []

    prints.add(b"two\n")
    prints.close()
    logs.close()

    assert place.objects.get(key) == b"one\ntwo\n"
    assert list(tmp_path.iterdir()) == []
    assert (logs.printed_bytes, logs.left_out_bytes) == (8, 0)


def test_logs_that_a_store_does_not_take_stop_nobody(tmp_path: Path) -> None:
    """A queue that is full leaves out what comes; the end waits for what is in it."""
    may_go = threading.Event()

    class Slow(ObstoreStore):
        def replace(self, key: str, body: bytes) -> None:
            """Wait, and refuse one."""
            may_go.wait(10)
            if key.endswith("-00001-1.log"):
                raise StoreError("no")
            super().replace(key, body)

    from obstore.store import MemoryStore

    place = ObjectPlace(Slow(MemoryStore()), "memory://bucket/out")
    logs = Logs(place, RUN, 1, str(tmp_path))
    for task in range(LOG_UPLOADS_MAX + 10):
        prints = Prints()
        prints.keep(logs, logs.key_of("w", Attempt("map", task, 1)))
        prints.add(b"x")
        prints.close()

    may_go.set()
    logs.close()
    logs.close()

    there = len(list(place.objects.list("")))
    assert logs.left_out_bytes >= 9
    assert there == logs.printed_bytes - logs.left_out_bytes - 1
