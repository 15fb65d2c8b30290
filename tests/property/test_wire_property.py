"""Whatever a message says, the other side reads the same."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cluster_messages import ERRORS, FOR_WORKER, FROM_WORKER, MESSAGES
from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.errors import ProtocolError


def test_every_message_has_examples() -> None:
    """A message that is added is tested here too."""
    assert set(MESSAGES) == set(get_args(wire.Message))


@pytest.mark.parametrize("message_type", MESSAGES, ids=lambda each: each.__name__)
def test_a_message_crosses_the_wire(message_type: type) -> None:
    """What is decoded is what was encoded."""

    @given(MESSAGES[message_type])
    def crosses(message: Any) -> None:
        assert wire.decode(message_type, wire.encode(message)) == message

    crosses()


@given(st.lists(FROM_WORKER, max_size=5))
def test_items_of_a_worker_cross_the_wire_in_their_order(items: list[m.FromWorker]) -> None:
    """However many go into one message."""
    for item in items:
        event(type(item).__name__)

    messages = list(wire.encode_items(items))

    assert [i for each in messages for i in wire.decode_from_worker(each)] == items
    assert len(messages) == min(len(items), 1)


@given(st.lists(FOR_WORKER, max_size=5))
def test_items_for_a_worker_cross_the_wire_in_their_order(items: list[m.ForWorker]) -> None:
    """However many go into one message."""
    for item in items:
        event(type(item).__name__)

    messages = list(wire.encode_items(items))

    assert [i for each in messages for i in wire.decode_for_worker(each)] == items


@given(st.binary(max_size=200), st.sampled_from(list(MESSAGES)))
def test_bytes_that_are_no_message_are_a_protocol_error(body: bytes, message_type: type) -> None:
    """And nothing else: no other error comes out of what a stranger sends."""
    reads = [
        lambda: wire.decode(message_type, body),
        lambda: wire.decode_from_worker(body),
        lambda: wire.decode_for_worker(body),
    ]
    for read in reads:
        try:
            read()
        except ProtocolError:
            event("refused")
        else:
            event("read")


@given(st.data(), st.sampled_from(list(MESSAGES)))
def test_a_damaged_message_is_a_protocol_error_or_another_message(
    data: st.DataObject, message_type: type
) -> None:
    """A flipped byte may make another message, never another kind of error."""
    body = bytearray(wire.encode(data.draw(MESSAGES[message_type])))
    if body:
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        wire.decode(message_type, bytes(body))
    except ProtocolError:
        event("refused")


@given(ERRORS, st.integers(500, 2000))
def test_an_error_is_never_larger_than_asked_and_keeps_its_type(
    error: dict[str, Any], bytes_max: int
) -> None:
    """What is cut of it are the ends of its texts, and fields."""
    error = {**error, "message": error["message"] * 50, "hint": (error["hint"] or "") * 50}

    body = wire.encode_error(error, bytes_max)
    back = wire.decode_error(body)

    assert len(body) <= bytes_max
    assert back is not None
    assert back["type"] == error["type"]
    event("cut" if back != error else "whole")
