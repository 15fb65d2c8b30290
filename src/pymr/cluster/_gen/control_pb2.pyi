from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_MAP: _ClassVar[Phase]
    PHASE_REDUCE: _ClassVar[Phase]

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_FAILED: _ClassVar[FailureKind]
    FAILURE_KIND_CRASHED: _ClassVar[FailureKind]
    FAILURE_KIND_MEMORY: _ClassVar[FailureKind]
    FAILURE_KIND_RETURNED: _ClassVar[FailureKind]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_COMMITTED: _ClassVar[Verdict]
    VERDICT_ALREADY: _ClassVar[Verdict]
    VERDICT_STALE: _ClassVar[Verdict]
    VERDICT_RETRY: _ClassVar[Verdict]
    VERDICT_NOTED: _ClassVar[Verdict]
    VERDICT_REFUSED: _ClassVar[Verdict]
PHASE_UNSPECIFIED: Phase
PHASE_MAP: Phase
PHASE_REDUCE: Phase
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_FAILED: FailureKind
FAILURE_KIND_CRASHED: FailureKind
FAILURE_KIND_MEMORY: FailureKind
FAILURE_KIND_RETURNED: FailureKind
VERDICT_UNSPECIFIED: Verdict
VERDICT_COMMITTED: Verdict
VERDICT_ALREADY: Verdict
VERDICT_STALE: Verdict
VERDICT_RETRY: Verdict
VERDICT_NOTED: Verdict
VERDICT_REFUSED: Verdict

class Attempt(_message.Message):
    __slots__ = ("phase", "task", "number")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    task: int
    number: int
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., task: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("key", "size", "sha256")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    sha256: str
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("json", "stored")
    JSON_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    stored: Stored
    def __init__(self, json: _Optional[bytes] = ..., stored: _Optional[_Union[Stored, _Mapping]] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("protocol", "run", "host", "pid", "pymr", "python", "slots")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PYMR_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    run: str
    host: str
    pid: int
    pymr: str
    python: str
    slots: int
    def __init__(self, protocol: _Optional[int] = ..., run: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., pymr: _Optional[str] = ..., python: _Optional[str] = ..., slots: _Optional[int] = ...) -> None: ...

class RegisterReply(_message.Message):
    __slots__ = ("worker", "run", "epoch", "lease_s", "root", "access_json", "spec", "code_json", "settings_json")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    ACCESS_JSON_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CODE_JSON_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    worker: str
    run: str
    epoch: int
    lease_s: float
    root: str
    access_json: bytes
    spec: Payload
    code_json: bytes
    settings_json: bytes
    def __init__(self, worker: _Optional[str] = ..., run: _Optional[str] = ..., epoch: _Optional[int] = ..., lease_s: _Optional[float] = ..., root: _Optional[str] = ..., access_json: _Optional[bytes] = ..., spec: _Optional[_Union[Payload, _Mapping]] = ..., code_json: _Optional[bytes] = ..., settings_json: _Optional[bytes] = ...) -> None: ...

class ToMaster(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FromWorker]
    def __init__(self, items: _Optional[_Iterable[_Union[FromWorker, _Mapping]]] = ...) -> None: ...

class FromWorker(_message.Message):
    __slots__ = ("hello", "ask", "renew", "started", "noted", "leaving", "completion")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    NOTED_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ask: Ask
    renew: Renew
    started: Started
    noted: Noted
    leaving: Leaving
    completion: Completion
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ask: _Optional[_Union[Ask, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., noted: _Optional[_Union[Noted, _Mapping]] = ..., leaving: _Optional[_Union[Leaving, _Mapping]] = ..., completion: _Optional[_Union[Completion, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("run", "epoch", "worker", "held")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    worker: str
    held: _containers.RepeatedCompositeFieldContainer[Held]
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., worker: _Optional[str] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("attempt", "key", "sources_sha256")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SOURCES_SHA256_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    key: str
    sources_sha256: str
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., key: _Optional[str] = ..., sources_sha256: _Optional[str] = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("slots", "grants_seen")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_SEEN_FIELD_NUMBER: _ClassVar[int]
    slots: int
    grants_seen: int
    def __init__(self, slots: _Optional[int] = ..., grants_seen: _Optional[int] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("attempts", "error_json")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[Progress]
    error_json: bytes
    def __init__(self, attempts: _Optional[_Iterable[_Union[Progress, _Mapping]]] = ..., error_json: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("attempt", "bytes_in", "records_in")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    RECORDS_IN_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    bytes_in: int
    records_in: int
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., bytes_in: _Optional[int] = ..., records_in: _Optional[int] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("attempt", "process")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    process: str
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., process: _Optional[str] = ...) -> None: ...

class Noted(_message.Message):
    __slots__ = ("event_json",)
    EVENT_JSON_FIELD_NUMBER: _ClassVar[int]
    event_json: bytes
    def __init__(self, event_json: _Optional[bytes] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ("reason", "error_json")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    error_json: bytes
    def __init__(self, reason: _Optional[str] = ..., error_json: _Optional[bytes] = ...) -> None: ...

class ToWorker(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ForWorker]
    def __init__(self, items: _Optional[_Iterable[_Union[ForWorker, _Mapping]]] = ...) -> None: ...

class ForWorker(_message.Message):
    __slots__ = ("grant", "revoke", "drain", "done", "completion_reply")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_REPLY_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    revoke: Revoke
    drain: Drain
    done: Done
    completion_reply: CompletionReply
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., completion_reply: _Optional[_Union[CompletionReply, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("epoch", "attempt", "key", "work_json", "work_stored", "partition_work", "alone")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    WORK_JSON_FIELD_NUMBER: _ClassVar[int]
    WORK_STORED_FIELD_NUMBER: _ClassVar[int]
    PARTITION_WORK_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    attempt: Attempt
    key: str
    work_json: bytes
    work_stored: Stored
    partition_work: PartitionWork
    alone: bool
    def __init__(self, epoch: _Optional[int] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., key: _Optional[str] = ..., work_json: _Optional[bytes] = ..., work_stored: _Optional[_Union[Stored, _Mapping]] = ..., partition_work: _Optional[_Union[PartitionWork, _Mapping]] = ..., alone: _Optional[bool] = ...) -> None: ...

class PartitionWork(_message.Message):
    __slots__ = ("partition", "sources")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    partition: int
    sources: Stored
    def __init__(self, partition: _Optional[int] = ..., sources: _Optional[_Union[Stored, _Mapping]] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("error_json",)
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    error_json: bytes
    def __init__(self, error_json: _Optional[bytes] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("seq", "epoch", "attempt", "receipt", "failure")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    attempt: Attempt
    receipt: Payload
    failure: Failure
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., receipt: _Optional[_Union[Payload, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("error_json", "retryable", "signature", "kind")
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    error_json: bytes
    retryable: bool
    signature: str
    kind: FailureKind
    def __init__(self, error_json: _Optional[bytes] = ..., retryable: _Optional[bool] = ..., signature: _Optional[str] = ..., kind: _Optional[_Union[FailureKind, str]] = ...) -> None: ...

class CompletionReply(_message.Message):
    __slots__ = ("seq", "verdict", "error_json")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    seq: int
    verdict: Verdict
    error_json: bytes
    def __init__(self, seq: _Optional[int] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., error_json: _Optional[bytes] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("run", "epoch", "state", "workers", "slots", "detail_json")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_JSON_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    state: str
    workers: int
    slots: int
    detail_json: bytes
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., state: _Optional[str] = ..., workers: _Optional[int] = ..., slots: _Optional[int] = ..., detail_json: _Optional[bytes] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class CancelReply(_message.Message):
    __slots__ = ("was_running",)
    WAS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    was_running: bool
    def __init__(self, was_running: _Optional[bool] = ...) -> None: ...
