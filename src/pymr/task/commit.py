"""From attempts to the output: verify, commit, publish, and check again at any time.

    verify_attempt   an attempt's objects are what its receipt says        (before it counts)
    publish          MANIFEST.json appears: the commit point
                     parts are shown, stale ones go, `_SUCCESS` comes last (for other tools)
                     objects the manifest does not name are removed
    open_part, verify_output   the reader's side

Laws: the manifest alone says what is to be done, so `publish` may be stopped anywhere and
run again, by any process, until it returns. Before the manifest appears there is no output;
with it there is all of it. Nothing that a visible manifest names is ever removed, for what is
removed is decided by reading the manifest back. docs/reference/output.md is the reader's
contract; the protocol is the manifest commit of S3A committers
(https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/committers.html), by links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from pymr import failpoint
from pymr.core.spec import BadObject, EdgeSum, MapFooter, Receipt, SplitReceipt
from pymr.errors import (
    CorruptDataError,
    ObjectExistsError,
    ObjectMissingError,
    OutputError,
    PymrError,
    ResourceError,
    RunNotFoundError,
)
from pymr.names import (
    BAD,
    MANIFEST,
    SUCCESS,
    is_bad_name,
    is_map_output,
    is_part_name,
    is_record,
    run_prefix,
)
from pymr.store.base import ObjectStore
from pymr.store.ending import Ending
from pymr.task.manifest import (
    Manifest,
    ManifestPart,
    encode_manifest,
    manifest_writer,
    read_manifest,
)
from pymr.text_form import show_path

_CHUNK_BYTES: Final = 1 << 20  # one read of a part


def verify_attempt(store: ObjectStore, receipt: Receipt) -> MapFooter:
    """Return what the books need of an attempt, whose objects are as its receipt says.

    Of a map output the footer is read, and bound by the receipt's digest. A part is known by
    its size here; its SHA-256 stands in the manifest, for `verify_output`.

    Raises:
        CorruptDataError: the object is missing, or is not what the receipt says.
    """
    if receipt.bad_object is not None:
        _check_bad_object(store, receipt.bad_object, receipt.bad_records)
    if receipt.footer_digest is None:
        _check_size(store, receipt.key, receipt.size)
        return MapFooter((), receipt.splits)
    from pymr._native import footer_sums
    from pymr.shuffle.sorted_run import SortedRunReader

    ending = Ending(store, receipt.key, receipt.size)
    if not ending.is_there:
        _check_size(store, receipt.key, receipt.size)  # It says what is wrong.
    reader = SortedRunReader(ending.read_at, receipt.size, receipt.key, receipt.footer_digest)
    sums, extra = footer_sums(reader.name, *reader.read_footer())
    try:
        splits = msgspec.json.decode(extra, type=tuple[SplitReceipt, ...])
    except msgspec.MsgspecError as error:
        raise CorruptDataError(
            f"sorted run `{receipt.key}` is corrupt: its split receipts: {error}",
            key=receipt.key,
        ) from error
    return MapFooter(tuple(EdgeSum(*each) for each in sums), splits)


def verify_kept(store: ObjectStore, receipt: Receipt) -> MapFooter:
    """As `verify_attempt`, for an object of an earlier process: a part is read to its end.

    The blocks of a map output are checked by the reduce tasks that read them.

    Raises:
        CorruptDataError: the object is missing, or is not what the receipt says.
    """
    footer = verify_attempt(store, receipt)
    if receipt.sha256 is not None:
        digest = hashlib.sha256()
        for chunk in _chunks(store, receipt.key):
            digest.update(chunk)
        _check_digest(receipt.key, digest.hexdigest(), receipt.sha256)
    return footer


def publish(store: ObjectStore, manifest: Manifest, *, keep: bool = False) -> Manifest:
    """Commit `manifest`, show its parts, and return the manifest that is visible now.

    May be repeated, and then goes on where it was: if the run has a visible manifest, that
    one stands, but that of a replay in a later epoch replaces it. With `manifest.replaces`, the
    output of that run is replaced: readers of the manifest see the old or the new, other tools see
    no `_SUCCESS` in between. `keep` leaves intermediate data in place. On a disk it costs 3
    fsyncs, and one more for `_bad/`.

    Raises:
        OutputError: something that is not ours has a name that we need; it is left as it is.
        CorruptDataError: a part is not there in full; nothing was changed.
        ResourceError: no space; if committed, no part of this run is shown under its name.
        PymrError: with the field `is_committed`: the manifest is visible, its parts are not.
    """
    visible = _visible_manifest(store)
    is_committed = visible is not None and _is_of(visible, manifest)
    if visible is not None and is_committed:
        manifest = visible
    for part in manifest.shown:
        _check_size(store, part.key, part.bytes)
    if manifest.replaces is None:
        _refuse_foreign(store, manifest)
    if not is_committed:
        failpoint.hit("publish.manifest")
        manifest = _commit(store, manifest, visible)
        failpoint.hit("publish.visible")
    try:
        _show_parts(store, manifest)
    except PymrError as error:
        raise _not_shown(error, manifest.name) from error
    manifest = read_manifest(store)
    failpoint.hit("publish.remove")
    if not keep:
        with suppress(PymrError):  # The result is there; what is left over takes space only.
            remove_attempts(store, manifest.run)
            if manifest.replaces not in (None, manifest.run):
                store.delete_folder(run_prefix(manifest.replaces))
    return manifest


def is_shown(store: ObjectStore) -> bool:
    """Say whether the publication of the visible manifest came to its end, `_SUCCESS`.

    If not, `publish` of that manifest goes on where it was.

    Raises:
        ObjectMissingError: no manifest is visible.
    """
    return store.get(MANIFEST) == _get(store, SUCCESS)


def _is_of(visible: Manifest, manifest: Manifest) -> bool:
    """Say whether a process of the run, taken for gone or not, has published; a replay is anew."""
    is_older = manifest.replaces == manifest.run and visible.epoch < manifest.epoch
    return visible.run == manifest.run and not is_older


def _visible_manifest(store: ObjectStore) -> Manifest | None:
    try:
        return read_manifest(store)
    except RunNotFoundError:
        return None


def _refuse_foreign(store: ObjectStore, manifest: Manifest) -> None:
    """Raise if a name that will be written holds anything but what will be written."""
    for part in manifest.shown:
        found = _differences(store, part.name, part)
        if found and not found[0].is_missing:
            raise _foreign(store, part.name)
    if _get(store, SUCCESS) not in (None, _get(store, MANIFEST)):
        raise _foreign(store, SUCCESS)


def _commit(store: ObjectStore, manifest: Manifest, visible: Manifest | None) -> Manifest:
    """Make `manifest` the visible one, in one step; return the run's that is, if it was faster."""
    if visible is not None and visible.run != manifest.replaces:
        raise _foreign(store, MANIFEST)
    body = encode_manifest(manifest)
    try:
        write = manifest_writer(store, visible)
        if manifest.replaces is not None:
            store.delete(SUCCESS)
        write(body)
    except ObjectExistsError as error:
        visible = _visible_manifest(store)
        if visible is None or not _is_of(visible, manifest):
            raise _foreign(store, MANIFEST) from error
        return visible
    return manifest


def _show_parts(store: ObjectStore, manifest: Manifest) -> None:
    names = {part.name for part in manifest.shown}
    stale = _shown_names(store) - names if manifest.replaces is not None else set()
    try:
        for part in manifest.shown:
            failpoint.hit("publish.part")
            store.copy(part.key, part.name)
        for name in stale:
            store.delete(name)
        if manifest.bad_records is not None:
            store.sync(BAD)
        elif any(map(is_bad_name, stale)):  # Nothing is left in the folder, but a user's files.
            store.delete_folder(BAD, but={entry.key for entry in store.list(BAD)})
        failpoint.hit("publish.success")
        store.copy(MANIFEST, SUCCESS)
        store.sync("")
    except ResourceError:
        for name in (SUCCESS, *names, *stale):
            store.delete(name)
        raise


def remove_attempts(store: ObjectStore, run: str, *, but: Collection[str] = ()) -> None:
    """Remove what a run wrote and no manifest names; its records stay: journal, history, prints.

    `but` are committed attempts of a run that has no manifest yet, which a resume needs, or whose
    manifest has bad records: a replay needs them. Then no map output is removed without `but`.

    What is named is read from the store, never taken from memory: whoever fails while it
    publishes cannot know whether its manifest is visible.

    Raises:
        CorruptDataError: the manifest cannot be read; nothing was removed.
    """
    visible = _visible_manifest(store)
    named = set(but)
    if visible is not None:
        is_over = visible.run == run
        if is_over and visible.bad_records is None:
            named.clear()
        elif is_over and not named:
            named.update(e.key for e in store.list(run_prefix(run)) if is_map_output(e.key))
        named.update(part.key for part in visible.shown)
    store.delete_folder(run_prefix(run), but=_Kept(run, named))


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a run. Its records are known by their keys: some may come meanwhile."""

    run: str
    named: set[str]

    def __contains__(self, key: object) -> bool:
        return key in self.named or is_record(self.run, str(key))


def open_part(store: ObjectStore, part: ManifestPart) -> Iterator[bytes]:
    """Yield the bytes of a part, in pieces; who reads to the end has read it checked.

    Raises:
        ObjectMissingError: the output was replaced since the manifest was read, or damaged.
        CorruptDataError: at the end, if the bytes are not those that were committed.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(store, part.key):
        digest.update(chunk)
        yield chunk
    _check_digest(part.key, digest.hexdigest(), part.sha256)


class Difference(msgspec.Struct, frozen=True):
    """One way in which an output differs from its manifest."""

    key: str
    what: str  # object, bytes, records, sha256, content
    expected: str
    found: str

    @property
    def is_missing(self) -> bool:
        """There is nothing under the key."""
        return self.what == "object" and self.found == "missing"

    def __str__(self) -> str:
        return f"`{self.key}`: {self.what} {self.found}, expected {self.expected}"


def verify_output(store: ObjectStore) -> list[Difference]:
    """Read everything again, and return where the output differs from its manifest.

    Raises:
        RunNotFoundError: nothing was committed there.
        IncompleteError: a newer PyMR wrote it.
    """
    try:
        manifest = read_manifest(store)
    except CorruptDataError as error:
        problem = error.fields["problem"]
        return [Difference(MANIFEST, "content", "what was written", f"corrupt ({problem})")]
    differences = []
    for part in manifest.shown:
        differences += _differences(store, part.key, part)
        differences += _differences(store, part.name, part)
    for name in sorted(_shown_names(store) - {part.name for part in manifest.shown}):
        differences.append(Difference(name, "object", "none", "extra"))
    success = _get(store, SUCCESS)
    if success is None:
        differences.append(Difference(SUCCESS, "object", "present", "missing"))
    elif success != store.get(MANIFEST):
        differences.append(Difference(SUCCESS, "content", f"that of {MANIFEST}", "other bytes"))
    return differences


def _differences(store: ObjectStore, key: str, part: ManifestPart) -> list[Difference]:
    """Compare the object `key` with what the manifest says about `part`."""
    digest, size, records = hashlib.sha256(), 0, 0
    try:
        for chunk in _chunks(store, key):
            digest.update(chunk)
            size += len(chunk)
            records += chunk.count(b"\n")
    except ObjectMissingError:
        return [Difference(key, "object", "present", "missing")]
    pairs = (
        ("bytes", str(part.bytes), str(size)),
        ("records", str(part.records), str(records)),
        ("sha256", part.sha256, digest.hexdigest()),
    )
    return [Difference(key, what, want, found) for what, want, found in pairs if want != found]


def _shown_names(store: ObjectStore) -> set[str]:
    return {at.key for at in store.list("") if is_part_name(at.key) or is_bad_name(at.key)}


def _chunks(store: ObjectStore, key: str) -> Iterator[bytes]:
    offset = 0
    while chunk := store.get_range(key, offset, _CHUNK_BYTES):
        yield chunk
        offset += len(chunk)


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectMissingError:
        return None


def _check_size(store: ObjectStore, key: str, expected: int) -> None:
    try:
        size = store.size(key)
    except ObjectMissingError as error:
        raise CorruptDataError(f"object `{key}` is missing: {error.message}", key=key) from error
    if size != expected:
        raise CorruptDataError(
            f"object `{key}` is corrupt: it has {size} bytes, expected {expected}", key=key
        )


def _check_bad_object(store: ObjectStore, expected: BadObject, records: int) -> None:
    """Read the bad records of an attempt, and refuse other ones, or another number of them."""
    _check_size(store, expected.key, expected.size)
    sha256, found = hashlib.sha256(), 0
    for chunk in _chunks(store, expected.key):
        sha256.update(chunk)
        found += chunk.count(b"\n")
    digest = sha256.hexdigest()
    if (digest, found) != (expected.sha256, records):
        raise CorruptDataError(
            f"bad records `{expected.key}` are corrupt: {found} with SHA-256 `{digest}`,"
            f" expected {records} with `{expected.sha256}`",
            key=expected.key,
        )


def _check_digest(key: str, found: str, expected: str) -> None:
    if found != expected:
        raise CorruptDataError(
            f"part `{key}` is corrupt: its SHA-256 is `{found}`, expected `{expected}`", key=key
        )


def _not_shown(error: PymrError, name: str) -> PymrError:
    """Return `error` as that of a run whose manifest is visible."""
    return type(error)(
        f"the result is committed, but its parts cannot be shown: {error.message}",
        hint=f"when that is put right, `pymr resume {name}` shows them",
        **{**error.fields, "is_committed": True},
    )


def _foreign(store: ObjectStore, key: str) -> OutputError:
    return OutputError(
        f"`{key}` in output `{show_path(str(store))}` is not of this run, expected none",
        hint="choose another --output",
        key=key,
    )
