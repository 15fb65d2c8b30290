"""Protobuf as structs of `cluster.message`. What a message lacks is a MalformedError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import msgspec

from pymr.cluster import message as m
from pymr.cluster._gen import control_pb2 as pb
from pymr.cluster.wire.encoder import FAILURE_KINDS, PHASES, VERDICTS
from pymr.core.spec import (
    Attempt,
    Code,
    JobSpec,
    MapWork,
    PhaseName,
    Receipt,
    ReduceWork,
    Stored,
)
from pymr.store.access import Access

_T = TypeVar("_T")

_PHASE_NAMES: Final = {number: name for name, number in PHASES.items()}
_FAILURE_KIND_NAMES: Final = {number: kind for kind, number in FAILURE_KINDS.items()}
_VERDICT_NAMES: Final = {number: verdict for verdict, number in VERDICTS.items()}


class MalformedError(Exception):
    """A message lacks what it must have. Does not leave `wire`."""


class _Error(msgspec.Struct):
    """What errors.to_dict makes."""

    type: str
    message: str
    hint: str | None = None
    fields: dict[str, Any] = {}


def _reader(message_type: type[_T]) -> Callable[[bytes], _T]:
    return cast("Callable[[bytes], _T]", msgspec.json.Decoder(message_type).decode)


_access = _reader(Access)
_code = _reader(Code)
_error = _reader(_Error)
_note: Callable[[bytes], m.WorkerNote] = msgspec.json.Decoder(m.WorkerNote).decode
_plain_dict = _reader(dict[str, Any])
_receipt = _reader(Receipt)
_settings = _reader(m.WorkerSettings)
_spec = _reader(JobSpec)
_work_json: Callable[[bytes], MapWork | ReduceWork] = msgspec.json.Decoder(
    MapWork | ReduceWork
).decode


def from_json_error(body: bytes) -> dict[str, Any] | None:
    """Return an error as errors.to_dict; None for nothing."""
    return msgspec.structs.asdict(_error(body)) if body else None


def from_worker(message: Any) -> tuple[m.FromWorker, ...]:
    """Return the items of a ToMaster that this version knows."""
    return tuple(
        _FROM_WORKER[name](getattr(item, name))
        for item in message.items
        if (name := item.WhichOneof("item")) is not None
    )


def for_worker(message: Any) -> tuple[m.ForWorker, ...]:
    """Return the items of a ToWorker that this version knows."""
    return tuple(
        _FOR_WORKER[name](getattr(item, name))
        for item in message.items
        if (name := item.WhichOneof("item")) is not None
    )


def _register_request(message: Any) -> m.RegisterRequest:
    return m.RegisterRequest(
        protocol=message.protocol,
        run=message.run,
        host=message.host,
        pid=message.pid,
        pymr=message.pymr,
        python=message.python,
        slots=message.slots,
    )


def _register_reply(message: Any) -> m.RegisterReply:
    return m.RegisterReply(
        worker=message.worker,
        run=message.run,
        epoch=message.epoch,
        lease_s=message.lease_s,
        root=message.root,
        access=_access(message.access_json),
        spec=_payload(message.spec, _spec),
        code=_code(message.code_json),
        settings=_settings(message.settings_json),
    )


def _completion(message: Any) -> m.Completion:
    outcome: Receipt | Stored | m.Failure
    match message.WhichOneof("outcome"):
        case "receipt":
            outcome = _payload(message.receipt, _receipt)
        case "failure":
            outcome = _failure(message.failure)
        case _:
            raise MalformedError("it has no outcome")
    return m.Completion(
        seq=message.seq,
        epoch=message.epoch,
        attempt=_attempt(message.attempt),
        outcome=outcome,
    )


def _completion_reply(message: Any) -> m.CompletionReply:
    verdict = _VERDICT_NAMES.get(message.verdict)
    if verdict is None:
        raise MalformedError(f"its verdict is {message.verdict}")
    return m.CompletionReply(verdict, from_json_error(message.error_json), message.seq)


def _status_reply(message: Any) -> m.StatusReply:
    return m.StatusReply(
        run=message.run,
        epoch=message.epoch,
        state=message.state,
        workers=message.workers,
        slots=message.slots,
        detail=_plain_dict(message.detail_json),
    )


def _hello(message: Any) -> m.Hello:
    held = tuple(
        m.Held(_attempt(each.attempt), each.key, each.sources_sha256 or None)
        for each in message.held
    )
    return m.Hello(message.run, message.epoch, message.worker, held)


def _failure(message: Any) -> m.Failure:
    kind = _FAILURE_KIND_NAMES.get(message.kind)
    if kind is None:
        raise MalformedError(f"the kind of its failure is {message.kind}")
    return m.Failure(
        error=_some_error(message.error_json),
        retryable=message.retryable,
        signature=message.signature,
        kind=kind,
    )


def _renew(message: Any) -> m.Renew:
    attempts = tuple(
        m.Progress(_attempt(each.attempt), each.bytes_in, each.records_in)
        for each in message.attempts
    )
    return m.Renew(attempts, from_json_error(message.error_json))


def _grant(message: Any) -> m.Grant:
    work: m.Work
    match message.WhichOneof("work"):
        case "work_json":
            work = _work_json(message.work_json)
        case "work_stored":
            work = _stored(message.work_stored)
        case "partition_work":
            inner = message.partition_work
            work = ReduceWork(inner.partition, _stored(inner.sources))
        case _:
            raise MalformedError("a grant has no work")
    return m.Grant(
        epoch=message.epoch,
        attempt=_attempt(message.attempt),
        key=message.key,
        work=work,
        alone=message.alone,
    )


def _attempt(message: Any) -> Attempt:
    phase = _PHASE_NAMES.get(message.phase)
    if phase is None or message.number < 1:
        raise MalformedError("an attempt has no phase, or no number")
    return Attempt(cast("PhaseName", phase), message.task, message.number)


def _stored(message: Any) -> Stored:
    return Stored(message.key, message.size, message.sha256)


def _payload(message: Any, reader: Callable[[bytes], _T]) -> _T | Stored:
    match message.WhichOneof("form"):
        case "json":
            return reader(message.json)
        case "stored":
            return _stored(message.stored)
        case _:
            raise MalformedError("a payload is missing")


def _some_error(body: bytes) -> dict[str, Any]:
    error = from_json_error(body)
    if error is None:
        raise MalformedError("an error is missing")
    return error


_FROM_WORKER: Final[dict[str, Callable[[Any], m.FromWorker]]] = {
    "hello": _hello,
    "ask": lambda item: m.Ask(item.slots, item.grants_seen),
    "renew": _renew,
    "started": lambda item: m.Started(_attempt(item.attempt), item.process),
    "noted": lambda item: m.Noted(_note(item.event_json)),
    "completion": _completion,
    "leaving": lambda item: m.Leaving(item.reason, from_json_error(item.error_json)),
}
_FOR_WORKER: Final[dict[str, Callable[[Any], m.ForWorker]]] = {
    "grant": _grant,
    "revoke": lambda item: m.Revoke(_attempt(item.attempt)),
    "drain": lambda item: m.Drain(item.reason),
    "completion_reply": _completion_reply,
    "done": lambda item: m.Done(from_json_error(item.error_json)),
}
DECODERS: Final[dict[type, tuple[Any, Callable[[Any], object]]]] = {
    m.RegisterRequest: (pb.RegisterRequest, _register_request),
    m.RegisterReply: (pb.RegisterReply, _register_reply),
    m.StatusRequest: (pb.StatusRequest, lambda each: m.StatusRequest(each.run)),
    m.StatusReply: (pb.StatusReply, _status_reply),
    m.CancelRequest: (pb.CancelRequest, lambda each: m.CancelRequest(each.run)),
    m.CancelReply: (pb.CancelReply, lambda each: m.CancelReply(each.was_running)),
}
