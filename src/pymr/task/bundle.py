"""The user's code as one object, for processes on other machines.

A worker file and the modules beside it that it imports become a tar file without times and
owners: the same files are the same bytes. A job that came as a pickle travels as that. Whoever
loads either has compared its digest with the one that the run has recorded before a byte is looked
into; what is unpacked all the same is plain files, below a new folder, within limits.

Data beside a worker file does not travel: it is an input, or a package that is installed.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from pymr import names
from pymr.core.spec import Code, Shape
from pymr.errors import IntegrityError, ResourceError, StoreError, WorkerFileError
from pymr.store.base import ObjectStore, check_key
from pymr.task.source_files import digest_of_bodies
from pymr.task.stored_object import get_stored, put_stored

BUNDLE_BYTES_MAX: Final = 64 << 20  # of all files
BUNDLE_FILES_MAX: Final = 10_000


def put_code(store: ObjectStore, run: str, code: Code, shape: Shape) -> Code:
    """Write the user's code into the store of `run`, and return it as other machines find it.

    Raises:
        WorkerFileError: files have changed since they were loaded, or are too large.
        StoreError: the store failed.
    """
    stored = put_stored(store, make_bundle(code, shape), partial(names.code_key, run))
    return msgspec.structs.replace(code, bundle=stored, pickle=None)


def get_code(store: ObjectStore, code: Code, folder: str) -> Code:
    """Return `code` as a process on this machine loads it; files go into `folder`, which is new.

    Raises:
        ObjectMissingError: the bundle is gone.
        IntegrityError: it is not what the run has recorded.
        ResourceError: the files cannot be written.
    """
    assert code.bundle is not None, "it was put into a store"
    body = get_stored(store, code.bundle)
    if code.path is None:
        return msgspec.structs.replace(code, pickle=body)
    unpack_bundle(body, code.bundle.sha256, folder)
    return msgspec.structs.replace(code, folder=os.path.realpath(folder))


def make_bundle(code: Code, shape: Shape) -> bytes:
    """Return the files that `shape` names, or the pickle.

    Raises:
        WorkerFileError: files have changed since they were loaded, or are too large.
    """
    if code.path is None:
        return code.pickle or b""
    folder = Path(code.path).parent
    try:
        bodies = {name: (folder / name).read_bytes() for name in shape.files}
    except OSError as error:
        raise _changed(code.path, str(error)) from error
    if digest_of_bodies(bodies.items()) != shape.digest:
        raise _changed(code.path, "other text than was loaded")
    size = sum(map(len, bodies.values()))
    if size > BUNDLE_BYTES_MAX or len(bodies) > BUNDLE_FILES_MAX:
        raise WorkerFileError(
            f"`{code.path}` and the modules beside it are {len(bodies)} files of {size:,} bytes,"
            f" expected at most {BUNDLE_FILES_MAX} of {BUNDLE_BYTES_MAX:,}: all of them go to each"
            " host",
            hint="install large packages on the hosts, and keep them elsewhere here",
        )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in bodies.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o600
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def unpack_bundle(body: bytes, sha256: str, folder: str) -> None:
    """Write the files of a bundle below `folder`, which is made: for its owner alone.

    Raises:
        IntegrityError: its digest is another one, or there is anything in it but plain files.
        ResourceError: `folder` is there already, or cannot be written.
    """
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise IntegrityError(
            f"the bundle of the user's code has digest `{found}`, expected `{sha256}`; not unpacked"
        )
    try:
        files = list(_files_of(body))
        os.mkdir(folder, 0o700)
        for name, data in files:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
    except tarfile.TarError as error:
        raise _refused(str(error)) from error
    except OSError as error:
        raise ResourceError(
            f"the user's code cannot be written to `{folder}`: {error.strerror}", where=folder
        ) from error


def _files_of(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents, of plain files with plain relative names, within the limits."""
    size = count = 0
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as archive:
        for entry in archive:
            size, count = size + entry.size, count + 1
            if size > BUNDLE_BYTES_MAX or count > BUNDLE_FILES_MAX:
                raise _refused("it is larger than any that is made")
            file = archive.extractfile(entry) if entry.isfile() else None
            if file is None:
                raise _refused(f"`{entry.name}` is no plain file")
            try:
                check_key(entry.name)
            except StoreError as error:
                raise _refused(error.message) from error
            yield entry.name, file.read()


def _changed(path: str, problem: str) -> WorkerFileError:
    return WorkerFileError(
        f"`{path}`, or a module beside it, has changed since it was loaded: {problem}",
        hint="start it again",
    )


def _refused(problem: str) -> IntegrityError:
    return IntegrityError(f"the bundle of the user's code is refused: {problem}")
