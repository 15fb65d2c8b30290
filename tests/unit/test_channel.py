"""What goes over the pipes arrives as it was sent, wherever the bytes are cut."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from pymr import errors
from pymr.core.spec import (
    Attempt,
    AttemptSpec,
    Code,
    EdgeSum,
    InputFile,
    JobSpec,
    Limits,
    MapSource,
    MapWork,
    Receipt,
    ReduceWork,
    Shape,
    Split,
    SplitReceipt,
    TextRules,
)
from pymr.errors import PymrError
from pymr.task import channel

SHAPE = Shape(
    input_format="lines",
    reducer="function",
    combiner="sum",
    digest="ab" * 32,
    files=("worker.py", "é.py"),
    warnings=("`json.py`\n",),
)
SPEC = JobSpec(
    run="0-1",
    name="words",
    worker="worker.py",
    shape=SHAPE,
    reducers=3,
    output_format="jsonl",
    params={"pattern": "a=b\u2028"},
    text=TextRules(encoding="utf-16", errors="replace", normalize="NFC"),
    limits=Limits(spill_bytes_max=1 << 40),
)
FILE = InputFile(
    path=b"\xff\n.gz", size=1 << 50, step=65536, stream=True, compression="gzip", spool=b"/t/x"
)
MAP = AttemptSpec(
    Attempt("map", 7, 2), "_pymr/r/map", "/tmp/x", MapWork((Split(3, 0, 9),), {3: FILE})
)
REDUCE = AttemptSpec(
    Attempt("reduce", 0, 1),
    "k",
    "t",
    ReduceWork(2, (MapSource(0, "m", "d", 9), MapSource(1, "n", "e", 10))),
)
RECEIPT = Receipt(
    attempt=Attempt("map", 7, 2),
    key="k",
    size=1 << 60,
    code_digest="c",
    footer_digest="f",
    written=EdgeSum(3, 99, (1 << 128) - 1),
    counters={"bäd": -(1 << 70)},
    splits=(SplitReceipt(input=3, start=0, end=9, bytes=9, records=2, digest=(1 << 128) - 2),),
    damaged_inputs=(3,),
    largest_key="('k', 1)",
    wall_s=0.125,
)
REQUESTS: list[channel.ToProcess] = [
    channel.Load(Code(path="/here/worker.py")),
    channel.Load(Code(pickle=bytes(range(256)), digest="d", sys_path=("/a", "/b"))),
    channel.Begin(SPEC, "/out"),
    channel.Run(MAP),
    channel.Run(REDUCE),
]
REPLIES: list[channel.FromProcess] = [
    channel.Loaded(SHAPE),
    channel.LoadFailed({"type": "WorkerFileError", "message": "m", "hint": None, "fields": {}}),
    channel.Progressed(Attempt("map", 7, 2), 1 << 53, 0),
    channel.Finished(RECEIPT),
    channel.Failed(Attempt("reduce", 0, 1), {"type": "InputError"}, True, "signature"),
]


def sent(requests: list[channel.ToProcess], data: bytes = b"") -> Iterator[channel.ToProcess]:
    """Send `requests`, then `data`, through a real pipe and yield what is read from it."""
    read_fd, write_fd = os.pipe()
    body = b"".join(map(channel.frame, requests)) + data

    def write() -> None:
        channel.write_all(write_fd, body)
        os.close(write_fd)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield from channel.read_requests(read_fd)
    finally:
        thread.join()
        os.close(read_fd)


def test_every_request_arrives() -> None:
    """One after the other through a pipe, and the end of the pipe ends them."""
    assert list(sent(REQUESTS)) == REQUESTS


def test_a_request_larger_than_the_pipe_arrives() -> None:
    """A pickle of a megabyte is written as the reader makes room."""
    large = channel.Load(Code(pickle=os.urandom(1 << 20), digest="d"))

    assert list(sent([large, REQUESTS[0]])) == [large, REQUESTS[0]]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_request_without_its_length_is_the_end(size: int) -> None:
    """A runner that died while it wrote has said nothing more."""
    assert list(sent(REQUESTS[:1], b"\x09\0\0\0"[:size])) == REQUESTS[:1]


def test_every_reply_arrives_however_it_is_cut() -> None:
    """Byte by byte, and with every cut in two."""
    data = b"".join(map(channel.frame, REPLIES))

    single = channel.ReplyBuffer()
    assert [m for i in range(len(data)) for m in single.feed(data[i : i + 1])] == REPLIES
    for cut in range(len(data) + 1):
        halves = channel.ReplyBuffer()
        assert [m for half in (data[:cut], data[cut:]) for m in halves.feed(half)] == REPLIES, cut


def test_a_reply_comes_as_soon_as_it_is_complete() -> None:
    """Not with the next one's first byte."""
    buffer = channel.ReplyBuffer()
    data = channel.frame(REPLIES[2])

    assert list(buffer.feed(data[:-1])) == []
    assert list(buffer.feed(data[-1:])) == [REPLIES[2]]


def test_who_writes_to_a_process_that_is_gone_is_told() -> None:
    """The runner then waits for the end of the replies."""
    read_fd, write_fd = os.pipe()
    os.close(read_fd)

    with pytest.raises(BrokenPipeError):
        channel.write_all(write_fd, b"x")

    os.close(write_fd)


# -- errors ------------------------------------------------------------------------------------


def tree(root: type[PymrError] = PymrError) -> list[type[PymrError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]


def crossed(error: PymrError) -> PymrError:
    """Return `error` as it comes out at the other end of the pipe."""
    message = channel.Failed(Attempt("map", 0, 1), errors.to_dict(error), error.retryable, "s")
    (received,) = channel.ReplyBuffer().feed(channel.frame(message))
    assert isinstance(received, channel.Failed)
    assert received.retryable is error.retryable
    return errors.from_dict(received.error)


@pytest.mark.parametrize(
    "error_class", [c for c in tree() if c.__module__ == "pymr.errors"], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("hint", [None, "pymr jobs"])
def test_every_class_of_error_crosses_the_pipe(
    error_class: type[PymrError], hint: str | None
) -> None:
    """Class, message, hint and fields are the same on the other side."""
    fields = {
        "offset": 1 << 70,
        "line": None,
        "ratio": 0.5,
        "is_no_text": True,
        "frames": [{"file": "é.py", "line": 3}],
    }
    error = error_class("`x` is\n\u2028 wrong", hint=hint, **fields)

    back = crossed(error)

    assert type(back) is error_class
    assert (back.message, back.hint, back.fields) == (error.message, hint, fields)
    assert (str(back), back.exit_code, back.retryable) == (
        str(error),
        error.exit_code,
        error.retryable,
    )


def test_an_error_with_a_lone_surrogate_crosses_too() -> None:
    """No UTF-8 can hold it; the rest of the message must not be lost with it."""
    back = crossed(errors.UserCodeError("bad \udc80 \\ud800 é", frames=[{"source": "\ud800"}]))

    assert back.message == "bad ? \\ud800 é"
    assert back.fields == {"frames": [{"source": "?"}]}


def test_an_error_with_any_object_in_it_crosses_too() -> None:
    """An error of ours that user code raised may hold what has no JSON; its repr stands in."""
    back = crossed(errors.InputError("no", place={1, 2}.__class__, size=range(3)))

    assert type(back) is errors.InputError
    assert back.fields == {"place": "<class 'set'>", "size": "range(0, 3)"}


def test_a_class_that_is_not_known_is_a_bug() -> None:
    """What a newer PyMR raised keeps its message."""
    back = errors.from_dict({"type": "FromTheFuture", "message": "m", "hint": "h", "fields": {}})

    assert type(back) is errors.InternalError
    assert (back.message, back.hint) == ("m", "h")
