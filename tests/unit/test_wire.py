"""What goes over the wire and back, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from pymr import errors
from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.core.events import TaskCommitted, Warned
from pymr.core.spec import Attempt, MapSource, MapWork, Receipt, ReduceWork, Stored
from pymr.errors import InternalError, ProtocolError, PymrError

ATTEMPT = Attempt("map", 17, 1)
MIB = 1 << 20


def tree(root: type[PymrError] = PymrError) -> list[type[PymrError]]:
    """Return all classes of errors of the package."""
    below = [leaf for child in root.__subclasses__() for leaf in tree(child)]
    return [each for each in (root, *below) if each.__module__ == "pymr.errors"]


def completion(outcome: Any) -> m.Completion:
    """Return the report of an attempt."""
    return m.Completion(1, 2, ATTEMPT, outcome)


def crossed(error: PymrError) -> dict[str, Any]:
    """Return the error as the master gets it in a completion."""
    [body] = wire.encode_items([completion(failure(error))])
    [back] = wire.decode_from_worker(body)
    assert isinstance(back, m.Completion)
    assert isinstance(back.outcome, m.Failure)
    return back.outcome.error


def failure(error: PymrError) -> m.Failure:
    """Return a failure as a worker reports it."""
    return m.Failure(error=errors.to_dict(error), retryable=error.retryable, signature="s")


@pytest.mark.parametrize("error_class", tree(), ids=lambda each: each.__name__)
@pytest.mark.parametrize("hint", [None, "pymr jobs"])
def test_every_class_of_error_crosses_the_wire(
    error_class: type[PymrError], hint: str | None
) -> None:
    """Class, message, hint and fields are the same on the other side."""
    fields = {"offset": 1 << 70, "line": None, "ratio": 0.5, "frames": [{"file": "é.py"}]}
    error = error_class("`x` is\n\u2028 wrong", hint=hint, **fields)

    back = errors.from_dict(crossed(error))

    assert type(back) is error_class
    assert (back.message, back.hint, back.fields) == (error.message, hint, fields)
    assert (back.exit_code, back.retryable) == (error.exit_code, error.retryable)


def test_an_error_of_user_code_with_anything_in_it_crosses_the_wire() -> None:
    """A lone surrogate has no UTF-8, a range no JSON: neither may cost the report."""
    error = errors.UserCodeError("bad \udc80", place=range(3))

    back = crossed(error)

    assert back["message"] == "bad ?"
    assert back["fields"] == {"place": "range(0, 3)"}


def test_a_huge_error_is_cut_and_keeps_what_tells_most() -> None:
    """A message of 10 MB is the user's; that the attempt failed is what must arrive."""
    error = errors.UserCodeError("x" * (10 * MIB), offset=7, record="y" * MIB, hint="z" * MIB)

    back = errors.from_dict(crossed(error))

    assert len(next(wire.encode_items([completion(failure(error))]))) <= wire.ERROR_BYTES_MAX + 100
    assert type(back) is errors.UserCodeError
    assert back.message == "x" * 4000 + " …"
    assert back.fields == {"offset": 7}


def test_f31_a_message_over_the_limit_is_never_sent() -> None:
    """A list of map sources beyond 1 MiB must be an object, and the error names the message."""
    sources = tuple(MapSource(task, "k" * 50, "d" * 32, 9) for task in range(10_000))
    grant = m.Grant(epoch=1, attempt=ATTEMPT, key="k", work=ReduceWork(3, sources))

    with pytest.raises(InternalError, match=r"message `Grant` has \d{7} bytes, expected at most"):
        list(wire.encode_items([grant]))
    reply = m.StatusReply(
        run="r", epoch=1, state="map", workers=1, slots=1, detail={"x": "x" * MIB}
    )
    with pytest.raises(InternalError, match="message `StatusReply` has"):
        wire.encode(reply)


def test_f31_what_is_too_large_goes_as_the_key_of_an_object() -> None:
    """A few bytes stand for any number of map sources."""
    work = ReduceWork(3, Stored("_pymr/r/sources-1", 5 * MIB, "ab" * 32))
    grant = m.Grant(epoch=1, attempt=ATTEMPT, key="k", work=work)

    [body] = wire.encode_items([grant])

    assert len(body) < 200
    assert wire.decode_for_worker(body) == (grant,)


def test_f31_many_items_are_as_many_messages_as_they_need() -> None:
    """Each holds as much as fits, in order."""
    inputs = MapWork((), {}, "x" * (300 << 10))
    grants = [
        m.Grant(epoch=1, attempt=Attempt("map", task, 1), key="k", work=inputs) for task in range(7)
    ]

    bodies = list(wire.encode_items(grants))

    assert [len(wire.decode_for_worker(body)) for body in bodies] == [3, 3, 1]
    assert all(len(body) <= wire.MESSAGE_BYTES_MAX for body in bodies)
    assert [g for body in bodies for g in wire.decode_for_worker(body)] == grants


def test_a_message_that_lacks_what_it_must_have_is_refused() -> None:
    """An empty reply has no way to the store; the error names the message."""
    with pytest.raises(ProtocolError, match="0 bytes is no `RegisterReply`") as caught:
        wire.decode(m.RegisterReply, b"")

    assert caught.value.exit_code == 8


@pytest.mark.parametrize(
    ("decode", "body", "problem"),
    [
        (
            wire.decode_from_worker,
            b"\x0a\x0a\x3a\x08\x1a\x06\x08\x01\x10\x11\x18\x01",
            "no outcome",
        ),
        (wire.decode_for_worker, b"\x0a\x02\x2a\x00", "its verdict is 0"),
        (wire.decode_for_worker, b"\x0a\x04\x2a\x02\x10\x63", "its verdict is 99"),
    ],
)
def test_an_item_that_lacks_what_it_must_have_is_refused(
    decode: Any, body: bytes, problem: str
) -> None:
    """A completion without an outcome, a reply without a verdict."""
    with pytest.raises(ProtocolError, match=problem):
        decode(body)


@pytest.mark.parametrize("body", [b"{", b'{"type":1}', b'"\xb0"', b'{"type":' + b"[" * 100_000])
def test_an_error_that_is_none_is_refused(body: bytes) -> None:
    """Whatever JSON it is, or is not."""
    with pytest.raises(ProtocolError, match="an error of the other side cannot be read"):
        wire.decode_error(body)


def test_an_attempt_without_a_number_is_refused() -> None:
    """Numbers start at 1: 0 is a field that was not sent."""
    body = b"".join(wire.encode_items([m.Revoke(Attempt("map", 0, 0))]))

    with pytest.raises(ProtocolError, match="an attempt has no phase, or no number"):
        wire.decode_for_worker(body)


def test_a_grant_without_work_is_refused() -> None:
    """There is nothing that the worker could do."""
    whole = m.Grant(epoch=1, attempt=Attempt("map", 0, 1), key="k", work=MapWork((), {}))
    [body] = wire.encode_items([whole])
    grant = b"\x08\x01\x12\x04\x08\x01\x18\x01\x1a\x01k"
    assert grant in body

    with pytest.raises(ProtocolError, match="a grant has no work"):
        wire.decode_for_worker(b"\x0a\x0d\x0a\x0b" + grant)


def test_a_worker_cannot_send_a_decision_as_a_note() -> None:
    """Notes are for the feed; what is committed is the master's to say."""
    receipt = Receipt(attempt=ATTEMPT, key="k", size=1, code_digest="c")
    forged = m.Noted(TaskCommitted(receipt))  # type: ignore[arg-type]
    [body] = wire.encode_items([forged])

    with pytest.raises(ProtocolError, match="Invalid value 'TaskCommitted'"):
        wire.decode_from_worker(body)
    [good] = wire.encode_items([m.Noted(Warned("disk is slow"))])
    assert wire.decode_from_worker(good) == (m.Noted(Warned("disk is slow")),)


def test_items_that_this_version_does_not_know_are_passed_over() -> None:
    """A later version may add some; field 99 of an item is none of ours."""
    [known] = wire.encode_items([m.Drain("night")])
    unknown = b"\x0a\x05\x9a\x06\x02hi"

    assert wire.decode_for_worker(unknown + known) == (m.Drain("night"),)


def test_the_secrets_of_the_store_are_in_no_repr() -> None:
    """Whoever logs a message does not log them."""
    from pymr.store.access import Access

    reply = Access(access_key_id="canary-id", secret_access_key="canary-secret")

    assert "canary" not in repr(reply)
