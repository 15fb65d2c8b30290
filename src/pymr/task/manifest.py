"""`_pymr/MANIFEST.json`: the commit of a run, and all that a reader of its output needs.

An output without a manifest has no result; with one, the parts it names are the result. It
is JSON for people and tools; docs/reference/output.md explains each field. Fields are only
ever added within a version; unknown ones are passed over.

Law: `digest` is the last field, and is the SHA-256 (hex) of the file's bytes as they are with
`"digest": ""`. So one changed byte anywhere is seen, also by a reader that does not know all
fields.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from pymr.core.spec import BadObject, Receipt, TextRules
from pymr.errors import (
    CorruptDataError,
    IncompleteError,
    ObjectExistsError,
    ObjectMissingError,
    RunNotFoundError,
)
from pymr.names import MANIFEST, bad_name
from pymr.shuffle import footer
from pymr.store.base import ObjectStore, VersionedStore
from pymr.text_form import show_path

VERSION: Final = 1

_HEX_DIGITS: Final = 64
_UNSEALED_END: Final = b'"digest": ""\n}\n'


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What wrote the output: software, and format numbers."""

    pymr: str
    python: str
    manifest: int = VERSION
    sorted_run: int = footer.VERSION


class ManifestWorker(msgspec.Struct, frozen=True, kw_only=True):
    """The user's code: `digest` covers all `files`."""

    file: str
    digest: str
    files: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that the bytes of the parts depend on."""

    input_format: str
    output_format: str
    reducers: int  # 0 for a map-only job
    reducer: str | None
    combiner: str | None
    partitioner: str | None = None
    partition_seed: int = 0
    # With --sort the first encoded key of each part but the first; None: keys are hashed.
    boundaries: tuple[bytes, ...] | None = None
    text: TextRules = TextRules()


class ManifestInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input as it was read. `path` is printable; `path_base64` is exact where it is not."""

    path: str
    path_base64: str | None = None
    size: int
    digest: str | None = None  # hex; Σ over grid cells of xxh3_128, see contracts of the ledger
    records: int
    bad_records: int = 0  # of `records`, left out since the mapper raises for them
    uploaded: str | None = None  # the object that was read, where the file itself was not


class ManifestPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part: `name` as other tools see it, `key` the object that is the result."""

    name: str
    key: str
    records: int
    bytes: int
    sha256: str


class ManifestBadRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The records that were left out since the mapper raises for them, in files of `_bad/`."""

    count: int
    files: tuple[ManifestPart, ...]


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The types of the two columns, over all parts; None: mixed, or no rows."""

    key: str | None = None
    value: str | None = None
    key_mixed: bool = False
    value_mixed: bool = False


class ManifestTask(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt of a task was committed, and the code it ran if it was an earlier one."""

    task: str  # map-0000
    attempt: int
    code_digest: str | None = None  # None: that of `worker`


class ManifestMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What all processes of the run might use together, and the most that they did."""

    limit_bytes: int
    peak_bytes: int | None  # None: this system does not tell


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a committed run. Times are Unix seconds."""

    v: int = VERSION
    run: str
    name: str
    epoch: int = 1  # the process of the run that committed this: a later one is of a replay
    created: float
    finished: float
    replaces: str | None = None  # the run whose output this replaces; itself after a replay
    versions: Versions
    worker: ManifestWorker
    params: dict[str, str] = {}
    settings: Settings
    inputs: tuple[ManifestInput, ...]
    parts: tuple[ManifestPart, ...]
    bad_records: ManifestBadRecords | None = None
    columns: Columns = Columns()
    counters: dict[str, int] = {}
    ledger: dict[str, Any] = {}
    tasks: tuple[ManifestTask, ...] = ()
    memory: ManifestMemory | None = None
    warnings: tuple[str, ...] = ()
    digest: str = ""

    @property
    def output_format(self) -> str:
        """The format of the parts."""
        return self.settings.output_format

    @property
    def shown(self) -> tuple[ManifestPart, ...]:
        """All that has a name for other tools: the parts, and the files of `_bad/`."""
        return self.parts + (self.bad_records.files if self.bad_records is not None else ())

    @property
    def records(self) -> int:
        """The rows of all parts."""
        return sum(part.records for part in self.parts)

    @property
    def bytes(self) -> int:
        """The size of all parts."""
        return sum(part.bytes for part in self.parts)


def bad_file(receipt: Receipt, bad: BadObject) -> ManifestPart:
    """Return the entry of the bad records of an attempt."""
    return ManifestPart(
        name=bad_name(receipt.attempt.task),
        key=bad.key,
        records=receipt.bad_records,
        bytes=bad.size,
        sha256=bad.sha256,
    )


def manifest_input(
    path: bytes,
    *,
    size: int,
    digest: str | None,
    records: int,
    bad_records: int = 0,
    uploaded: bytes | None = None,
) -> ManifestInput:
    """Return the entry of the input `path`, whatever bytes its name has."""
    text = show_path(path)
    exact = None if text.encode() == path else b64encode(path).decode()
    return ManifestInput(
        path=text,
        path_base64=exact,
        size=size,
        digest=digest,
        records=records,
        bad_records=bad_records,
        uploaded=None if uploaded is None else show_path(uploaded),
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of MANIFEST.json, with the digest of `manifest` filled in."""
    unsealed = msgspec.structs.replace(manifest, digest="")
    body = msgspec.json.format(msgspec.json.encode(unsealed), indent=2) + b"\n"
    assert body.endswith(_UNSEALED_END), "`digest` is not the last field"
    head = body[: -len(_UNSEALED_END)]
    return head + b'"digest": "%b"\n}\n' % _digest(body)


def decode_manifest(body: bytes, name: str = MANIFEST) -> Manifest:
    """Return the manifest in `body`, whose digest is checked; `name` is for messages.

    Raises:
        CorruptDataError: it is not what was written.
        IncompleteError: a newer PyMR wrote it.
    """
    try:
        version = msgspec.json.decode(body, type=_Version).v
        if version > VERSION:
            raise IncompleteError(
                f"manifest `{name}` has version {version}, expected {VERSION} at most",
                hint="pip install --upgrade pymr",
            )
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise _corrupt(name, str(error)) from error
    end = b'"%b"\n}\n' % manifest.digest.encode()
    expected = _digest(body[: -len(end)] + b'""\n}\n').decode()
    if not body.endswith(end) or manifest.digest != expected:
        raise _corrupt(name, f"its digest is `{manifest.digest}`, expected `{expected}`")
    return manifest


def read_manifest(store: ObjectStore) -> Manifest:
    """Return the manifest of the output in `store`.

    Raises:
        RunNotFoundError: nothing was committed there.
        CorruptDataError: it is not what was written.
        IncompleteError: a newer PyMR wrote it.
    """
    try:
        body = store.get(MANIFEST)
    except ObjectMissingError as error:
        raise RunNotFoundError(
            f"no committed output in `{show_path(str(store))}`: it has no `{MANIFEST}`"
        ) from error
    return decode_manifest(body, f"{show_path(str(store))}/{MANIFEST}")


def manifest_writer(store: ObjectStore, visible: Manifest | None) -> Callable[[bytes], None]:
    """Return what writes a manifest where `visible` is, or none, and over no other one.

    In a folder a lock sees to that. In a store another process of the run may have published;
    then what is returned raises ObjectExistsError, too.

    Raises:
        ObjectExistsError: it is another one already.
    """
    if visible is None:
        return partial(store.put_if_absent, MANIFEST)
    if not isinstance(store, VersionedStore):
        return partial(store.replace, MANIFEST)
    body, version = store.get_versioned(MANIFEST)
    now = decode_manifest(body, MANIFEST)
    if (now.run, now.epoch) != (visible.run, visible.epoch):
        raise ObjectExistsError(f"`{MANIFEST}` is that of run {now.run} now", key=MANIFEST)
    return partial(store.replace_if, MANIFEST, version=version)


class _Version(msgspec.Struct):
    v: int


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _corrupt(name: str, problem: str) -> CorruptDataError:
    return CorruptDataError(
        f"manifest `{name}` is corrupt: {problem}",
        hint="pymr start   with another --output",
        path=name,
        problem=problem,
    )
