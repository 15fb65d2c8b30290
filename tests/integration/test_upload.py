"""Files of this machine are put into a store, once, and are read there under their own names."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import services
from input_samples import find, write
from pymr.core.events import UploadProgressed
from pymr.core.spec import InputFile
from pymr.errors import InputError, StoreError
from pymr.records.source import open_input
from pymr.runner import upload
from pymr.runner.upload import upload_inputs
from pymr.store.access import Access
from s3_request import Server, send

pytestmark = pytest.mark.services
LARGE = b"".join(b"%015d\n" % number for number in range(1_200_000))  # of three parts


class Store:
    """A place in a store, and what is there."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.place = services.new_bucket(server)
        self.access: Access = services.access_to(server)
        self.told: list[UploadProgressed] = []

    def upload(self, *names: str) -> tuple[InputFile, ...]:
        """Upload files of the working directory."""
        return upload_inputs(
            find(*names).files, f"s3://{self.place}/st", self.access, self.told.append, print
        )

    def keys(self, query: str = "prefix") -> int:
        """Return how many objects there are, or uploads that were begun."""
        listed = send(self.server, "GET", f"/{self.place}", {query: ""})
        return listed.count(b"<Key>")

    def read(self, file: InputFile) -> bytes:
        """Return the bytes of an input."""
        with open_input(file, self.access) as source:
            return source.read_at(0, file.size)


@pytest.fixture
def store(minio: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give an empty one, and a folder to work in."""
    monkeypatch.chdir(tmp_path)
    return Store(minio)


def test_files_become_objects_and_keep_their_names(store: Store) -> None:
    """In order; the bytes are the same, and the address says whose they are."""
    write("in/b.txt", LARGE)
    write("in/a\n.txt", b"a\n")

    first, second = store.upload("in")

    assert (first.name, second.name) == (b"in/a\n.txt", b"in/b.txt")
    assert first.path.startswith(f"s3://{store.place}/st/inputs/".encode())
    assert first.path.endswith(b"-2/a-.txt")
    assert [store.read(file) for file in (first, second)] == [b"a\n", LARGE]
    assert store.told[-1] == UploadProgressed(2, len(LARGE) + 2, 2, len(LARGE) + 2, 0)


def test_what_is_there_is_not_sent_again(store: Store) -> None:
    """Whoever sent it; files with other bytes are."""
    write("a.txt", LARGE)
    before = store.upload("a.txt")
    write("b.txt", b"new\n")

    again = store.upload("a.txt", "b.txt")

    assert again[0] == before[0]
    assert store.told[-1].files_kept == 1
    assert store.keys() == 2


def test_objects_are_left_where_they_are(store: Store) -> None:
    """Only files are uploaded."""
    write("a.txt")
    (file,) = store.upload("a.txt")

    assert upload_inputs([file], "s3://elsewhere-than-that", store.access, print, print) == (file,)


def test_a_file_that_changes_meanwhile_is_not_uploaded(store: Store) -> None:
    """What is sent has the digest of its key, or is not there at all."""
    write("a.txt", LARGE)
    (file,) = find("a.txt").files
    write("a.txt", LARGE[::-1])

    with pytest.raises(InputError, match=r"input changed: `a\.txt`"):
        upload_inputs([file], f"s3://{store.place}/st", store.access, print, print)

    assert (store.keys(), store.keys("uploads")) == (0, 0)


def test_an_upload_that_is_interrupted_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No object, and no part of one that is paid for and not seen."""
    write("a.txt", LARGE)
    write("b.txt", b"b\n")
    began = threading.Event()

    def report(event: UploadProgressed) -> None:
        if event.bytes_done > 9 << 20:
            began.set()
            raise StoreError("stopped by the test")

    monkeypatch.setattr(upload, "REPORT_INTERVAL_S", 0.0)

    with pytest.raises(StoreError, match="stopped by the test"):
        upload_inputs(find("a.txt").files, f"s3://{store.place}/st", store.access, report, print)

    assert began.is_set()
    assert (store.keys(), store.keys("uploads")) == (0, 0)
