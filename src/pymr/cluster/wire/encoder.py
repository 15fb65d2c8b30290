"""Structs of `cluster.message` as protobuf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, assert_never, cast

import msgspec

from pymr.cluster import message as m
from pymr.cluster._gen import control_pb2 as pb
from pymr.core.spec import Attempt, JobSpec, MapWork, Receipt, ReduceWork, Stored
from pymr.errors import InternalError
from pymr.task.channel import encode_any

MESSAGE_BYTES_MAX: Final = 1 << 20  # the limit of both ends; gRPC's own default is 4 MiB
ERROR_BYTES_MAX: Final = 64 << 10  # of an error in a message
_TEXT_CHARACTERS_MAX: Final = 4000  # of the message of an error that is cut
_FIELD_BYTES_MAX: Final = 1 << 10  # of a field that an error keeps when it is cut

PHASES: Final = {"map": pb.PHASE_MAP, "reduce": pb.PHASE_REDUCE}
FAILURE_KINDS: Final = {
    each: pb.FailureKind.Value(f"FAILURE_KIND_{each.name}") for each in m.FailureKind
}
VERDICTS: Final = {each: pb.Verdict.Value(f"VERDICT_{each.name}") for each in m.Verdict}

Item = m.FromWorker | m.ForWorker
Message = (
    m.RegisterRequest
    | m.RegisterReply
    | m.StatusRequest
    | m.StatusReply
    | m.CancelRequest
    | m.CancelReply
)

_json: Final = msgspec.json.encode


def to_protobuf(message: Message) -> Any:
    """Return a message as the generated class of the same name."""
    return _ENCODERS[type(message)](message)


def to_item(item: Item) -> bytes:
    """Return one item as the bytes of a message that holds it alone; such can be joined."""
    name = type(item).__name__
    wrapped: Any
    if isinstance(item, m.ForWorker):
        wrapped = pb.ToWorker(items=[pb.ForWorker(**_for_worker(item))])
    else:
        wrapped = pb.ToMaster(items=[pb.FromWorker(**_from_worker(item))])
    return limited(name, cast("bytes", wrapped.SerializeToString()))


def _register_reply(message: m.RegisterReply) -> Any:
    return pb.RegisterReply(
        worker=message.worker,
        run=message.run,
        epoch=message.epoch,
        lease_s=message.lease_s,
        root=message.root,
        access_json=_json(message.access),
        spec=_payload(message.spec),
        code_json=_json(message.code),
        settings_json=_json(message.settings),
    )


def _completion(message: m.Completion) -> Any:
    outcome: dict[str, Any]
    if isinstance(message.outcome, m.Failure):
        outcome = {"failure": _failure(message.outcome)}
    else:
        outcome = {"receipt": _payload(message.outcome)}
    return pb.Completion(
        seq=message.seq,
        epoch=message.epoch,
        attempt=_attempt(message.attempt),
        **outcome,
    )


def _completion_reply(message: m.CompletionReply) -> Any:
    return pb.CompletionReply(
        seq=message.seq, verdict=VERDICTS[message.verdict], error_json=error_json(message.error)
    )


def _status_reply(message: m.StatusReply) -> Any:
    return pb.StatusReply(
        run=message.run,
        epoch=message.epoch,
        state=message.state,
        workers=message.workers,
        slots=message.slots,
        detail_json=encode_any(message.detail),
    )


def _for_worker(item: m.ForWorker) -> dict[str, Any]:
    match item:
        case m.Grant():
            return {"grant": _grant(item)}
        case m.CompletionReply():
            return {"completion_reply": _completion_reply(item)}
        case m.Revoke():
            return {"revoke": pb.Revoke(attempt=_attempt(item.attempt))}
        case m.Drain():
            return {"drain": pb.Drain(reason=item.reason)}
        case m.Done():
            return {"done": pb.Done(error_json=error_json(item.error))}
        case _:
            assert_never(item)


def _from_worker(item: m.FromWorker) -> dict[str, Any]:  # noqa: PLR0911 - a flat table
    match item:
        case m.Ask():
            return {"ask": pb.Ask(slots=item.slots, grants_seen=item.grants_seen)}
        case m.Renew():
            return {"renew": _renew(item)}
        case m.Started():
            started = pb.Started(attempt=_attempt(item.attempt), process=item.process)
            return {"started": started}
        case m.Completion():
            return {"completion": _completion(item)}
        case m.Noted():
            return {"noted": pb.Noted(event_json=_json(item.event))}
        case m.Hello():
            return {"hello": _hello(item)}
        case m.Leaving():
            return {"leaving": pb.Leaving(reason=item.reason, error_json=error_json(item.error))}
        case _:
            assert_never(item)


def _grant(item: m.Grant) -> Any:
    return pb.Grant(
        epoch=item.epoch,
        attempt=_attempt(item.attempt),
        key=item.key,
        alone=item.alone,
        **_work(item.work),
    )


def _hello(item: m.Hello) -> Any:
    held = [_held(each) for each in item.held]
    return pb.Hello(run=item.run, epoch=item.epoch, worker=item.worker, held=held)


def _renew(item: m.Renew) -> Any:
    attempts = [_progress(each) for each in item.attempts]
    return pb.Renew(attempts=attempts, error_json=error_json(item.error))


def _work(work: m.Work) -> dict[str, Any]:
    match work:
        case Stored():
            return {"work_stored": _stored(work)}
        case ReduceWork(partition, Stored() as sources):
            listed = pb.PartitionWork(partition=partition, sources=_stored(sources))
            return {"partition_work": listed}
        case MapWork() | ReduceWork():
            return {"work_json": _json(work)}
        case _:
            assert_never(work)


def _attempt(attempt: Attempt) -> Any:
    return pb.Attempt(phase=PHASES[attempt.phase], task=attempt.task, number=attempt.number)


def _progress(progress: m.Progress) -> Any:
    attempt = _attempt(progress.attempt)
    return pb.Progress(attempt=attempt, bytes_in=progress.bytes_in, records_in=progress.records_in)


def _held(held: m.Held) -> Any:
    return pb.Held(attempt=_attempt(held.attempt), key=held.key, sources_sha256=held.sources or "")


def _failure(failure: m.Failure) -> Any:
    return pb.Failure(
        error_json=error_json(failure.error),
        retryable=failure.retryable,
        signature=failure.signature,
        kind=FAILURE_KINDS[failure.kind],
    )


def _stored(stored: Stored) -> Any:
    return pb.Stored(key=stored.key, size=stored.size, sha256=stored.sha256)


def _payload(payload: JobSpec | Receipt | Stored) -> Any:
    if isinstance(payload, Stored):
        return pb.Payload(stored=_stored(payload))
    return pb.Payload(json=_json(payload))


def error_json(error: dict[str, Any] | None, bytes_max: int = ERROR_BYTES_MAX) -> bytes:
    """Return an error (errors.to_dict) as JSON; nothing for none.

    One that is larger than `bytes_max` keeps its type, the beginning of its message, and as many
    of its small fields as there is room for.
    """
    if error is None:
        return b""
    body = encode_any(error)
    if len(body) <= bytes_max:
        return body
    characters = min(_TEXT_CHARACTERS_MAX, bytes_max // 16)  # 6 bytes each, as \u0000
    kept = {
        "type": error["type"],
        "message": f"{error['message'][:characters]} …",
        "hint": (error.get("hint") or "")[:characters] or None,
        "fields": {},
    }
    size = len(encode_any(kept))
    for name, value in error.get("fields", {}).items():
        field = len(encode_any({name: value}))
        if field <= _FIELD_BYTES_MAX and size + field <= bytes_max:
            kept["fields"][name] = value
            size += field
    return encode_any(kept)


def limited(name: str, body: bytes) -> bytes:
    """Return `body`, the bytes of a message of that name.

    Raises:
        InternalError: it is larger than a message may be.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise InternalError(
            f"message `{name}` has {len(body)} bytes, expected at most {MESSAGE_BYTES_MAX}:"
            " what may be larger belongs into an object of the store",
            message_type=name,
        )
    return body


_ENCODERS: Final[dict[type, Callable[[Any], Any]]] = {
    m.RegisterRequest: lambda each: pb.RegisterRequest(**msgspec.structs.asdict(each)),
    m.RegisterReply: _register_reply,
    m.StatusRequest: lambda each: pb.StatusRequest(run=each.run),
    m.StatusReply: _status_reply,
    m.CancelRequest: lambda each: pb.CancelRequest(run=each.run),
    m.CancelReply: lambda each: pb.CancelReply(was_running=each.was_running),
}
