"""The user's code as one object: the same bytes, the same shape, the names of its author."""

from __future__ import annotations

import hashlib
import io
import linecache
import os
import shlex
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import pytest

import pymr
from pymr import names
from pymr.core.spec import Code, Shape
from pymr.errors import CorruptDataError, IntegrityError, ResourceError, WorkerFileError
from pymr.store.object_store import ObstoreStore
from pymr.task import bundle, bundled_import
from pymr.task.blame import user_frames
from pymr.task.bundle import get_code, make_bundle, put_code, unpack_bundle
from pymr.task.user_code import MODULE_NAME, load_job

WORKER = """\
import pymr
import beside
import beside_package.inner

def mapper(ctx, chunk):
    beside_package.inner.fail(chunk)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what loading does to this process: it is made for a process of its own."""
    for name in ("path", "argv", "path_hooks"):
        monkeypatch.setattr(sys, name, [*getattr(sys, name)])
    monkeypatch.setattr(bundled_import, "_folders", {})
    before = set(sys.modules)
    yield
    forget(before)


def forget(before: set[str]) -> None:
    for name in set(sys.modules) - before:
        if name in (MODULE_NAME, "worker") or name.startswith("beside"):
            del sys.modules[name]


def memory_store() -> ObstoreStore:
    from obstore.store import MemoryStore

    return ObstoreStore(MemoryStore())


def write_job(folder: Path, worker: str = WORKER) -> Path:
    """Write a worker file with a module and a package beside it."""
    (folder / "beside_package").mkdir(parents=True)
    (folder / "worker.py").write_text(worker)
    (folder / "beside.py").write_text("X = 1\n")
    (folder / "other.py").write_text("# nobody imports it\n")
    (folder / "beside_package/__init__.py").write_text("")
    (folder / "beside_package/inner.py").write_text(
        "def fail(x):\n    # äöü\n    raise ValueError(x)\n"
    )
    return folder / "worker.py"


def loaded(path: Path) -> tuple[Code, Shape]:
    """Return code and shape as they are where a run is submitted; nothing stays loaded."""
    before, path_before = set(sys.modules), [*sys.path]
    code = Code(path=str(path))
    _, shape = load_job(code)
    forget(before)
    sys.path[:] = path_before
    return code, shape


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    """Whenever they were written, by whom, and wherever they are."""
    bodies = set()
    for number in (1, 2):
        worker = write_job(tmp_path / str(number))
        worker.chmod(0o600 | number)
        os.utime(worker, (number, number))
        bodies.add(make_bundle(*loaded(worker)))

    (body,) = bodies
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == [
            "worker.py",
            "beside.py",
            "beside_package/__init__.py",
            "beside_package/inner.py",
        ]


def test_what_is_loaded_of_a_bundle_has_the_same_shape(tmp_path: Path) -> None:
    """And the names that its author knows, with their lines, though there are no such files."""
    store = memory_store()
    worker = write_job(tmp_path / "home")
    code, shape = loaded(worker)

    sent = put_code(store, "run", code, shape)
    shutil.rmtree(tmp_path / "home")
    found = get_code(store, sent, str(tmp_path / "unpacked"))
    job, found_shape = load_job(found)

    assert sent.bundle is not None
    assert sent.bundle.key == names.code_key("run", sent.bundle.sha256)
    assert (sent.path, found.path) == (str(worker), str(worker))
    assert found_shape == shape
    with pytest.raises(ValueError, match="boom") as failed:
        job.mapper(None, "boom")
    inner = tmp_path / "home/beside_package/inner.py"
    assert user_frames(failed.value.__traceback__)[-2:] == [
        {
            "file": str(worker),
            "line": 6,
            "function": "mapper",
            "source": "    beside_package.inner.fail(chunk)",
        },
        {"file": str(inner), "line": 3, "function": "fail", "source": "    raise ValueError(x)"},
    ]
    linecache.checkcache()
    assert linecache.getline(str(inner), 2) == "    # äöü\n"
    assert sys.modules["beside"].__file__ == f"{found.folder}/beside.py"


def test_files_are_for_their_owner_alone_and_nothing_is_added(tmp_path: Path) -> None:
    """No compiled code is kept, which would be called by where it is."""
    store = memory_store()
    found = get_code(
        store,
        put_code(store, "run", *loaded(write_job(tmp_path / "home"))),
        str(tmp_path / "unpacked"),
    )
    load_job(found)

    modes = {
        path.relative_to(tmp_path / "unpacked").as_posix(): path.stat().st_mode & 0o777
        for path in (tmp_path / "unpacked").rglob("*")
    }
    assert (tmp_path / "unpacked").stat().st_mode & 0o777 == 0o700
    assert modes == {
        "worker.py": 0o600,
        "beside.py": 0o600,
        "beside_package": 0o700,
        "beside_package/__init__.py": 0o600,
        "beside_package/inner.py": 0o600,
    }


def test_files_that_have_changed_since_are_not_sent(tmp_path: Path) -> None:
    """Other machines would run something else than was looked at here."""
    worker = write_job(tmp_path / "home")
    code, shape = loaded(worker)
    (tmp_path / "home/beside.py").write_text("X = 2\n")

    with pytest.raises(WorkerFileError, match=r"has changed since it was loaded: other text"):
        make_bundle(code, shape)
    (tmp_path / "home/beside.py").unlink()
    with pytest.raises(WorkerFileError, match=r"has changed since it was loaded: .*No such file"):
        make_bundle(code, shape)


@pytest.mark.parametrize(("limit", "value"), [("BUNDLE_BYTES_MAX", 100), ("BUNDLE_FILES_MAX", 3)])
def test_too_much_code_is_refused_where_it_is_sent_and_where_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """It goes to each host."""
    code, shape = loaded(write_job(tmp_path / "home"))
    body = make_bundle(code, shape)
    monkeypatch.setattr(bundle, limit, value)

    with pytest.raises(WorkerFileError, match=r"are 4 files of \d+ bytes, expected at most"):
        make_bundle(code, shape)
    with pytest.raises(IntegrityError, match="larger than any"):
        unpack_bundle(body, digest(body), str(tmp_path / "unpacked"))


def test_a_pickle_travels_as_it_is(tmp_path: Path) -> None:
    """Not in a message, whatever its size."""
    store = memory_store()
    job = pymr.Job(mapper=lambda ctx, chunk: ctx.emit(chunk, 1), reducer=pymr.SUM)
    body = cloudpickle.dumps(job)
    code = Code(pickle=body, digest=hashlib.sha256(body).hexdigest(), sys_path=("/nowhere",))
    _, shape = load_job(code)

    sent = put_code(store, "run", code, shape)
    found = get_code(store, sent, str(tmp_path / "unpacked"))

    assert sent.pickle is None
    assert found.pickle == body
    assert load_job(found)[1] == shape
    assert not (tmp_path / "unpacked").exists()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def tar_of(*entries: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return out.getvalue()


def entry_of(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (entry_of("/etc/evil.py"), "not a plain relative path"),
        (entry_of("../evil.py"), "not a plain relative path"),
        (entry_of("a/../../evil.py"), "not a plain relative path"),
        (entry_of("./evil.py"), "not a plain relative path"),
        (entry_of("a", tarfile.SYMTYPE, "/etc"), "`a` is no plain file"),
        (entry_of("a", tarfile.LNKTYPE, "worker.py"), "`a` is no plain file"),
        (entry_of("a", tarfile.CHRTYPE), "`a` is no plain file"),
        (entry_of("a", tarfile.FIFOTYPE), "`a` is no plain file"),
        (entry_of("a", tarfile.DIRTYPE), "`a` is no plain file"),
    ],
)
def test_whatever_is_no_plain_file_below_the_folder_is_refused(
    tmp_path: Path, entry: tarfile.TarInfo, problem: str
) -> None:
    """Though its digest is right; not a file is written."""
    body = tar_of(entry_of("worker.py"), entry)

    with pytest.raises(IntegrityError, match=f"is refused: .*{problem}"):
        unpack_bundle(body, digest(body), str(tmp_path / "unpacked"))

    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda b: b[:700], lambda b: b"x" * len(b)])
def test_what_is_no_archive_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Or one that ends too early."""
    body = damage(make_bundle(*loaded(write_job(tmp_path / "home"))))

    with pytest.raises(IntegrityError, match="is refused: "):
        unpack_bundle(body, digest(body), str(tmp_path / "unpacked"))


def test_other_bytes_than_were_recorded_are_not_looked_into(tmp_path: Path) -> None:
    """Whoever could write to the store gets no code to run, of a file or of a pickle."""
    store = memory_store()
    code = put_code(store, "run", *loaded(write_job(tmp_path / "home")))
    assert code.bundle is not None
    evil = tar_of(entry_of("worker.py"))

    with pytest.raises(IntegrityError, match="not unpacked"):
        unpack_bundle(evil, code.bundle.sha256, str(tmp_path / "unpacked"))
    store.replace(code.bundle.key, evil)
    with pytest.raises(CorruptDataError, match="another digest"):
        get_code(store, code, str(tmp_path / "unpacked"))
    assert not (tmp_path / "unpacked").exists()


def test_the_folder_must_be_new(tmp_path: Path) -> None:
    """Nobody can have put anything there, or a link in its place."""
    body = make_bundle(*loaded(write_job(tmp_path / "home")))
    (tmp_path / "link").symlink_to(tmp_path / "home")

    for place in ("home", "link", "no/such"):
        with pytest.raises(ResourceError, match=f"cannot be written to .*{place}`"):
            unpack_bundle(body, digest(body), str(tmp_path / place))


def sent(tmp_path: Path, change: Callable[[str], str]) -> Code:
    """Return unpacked code that is not quite what its author could load."""
    store = memory_store()
    code = put_code(store, "run", *loaded(write_job(tmp_path / "home")))
    found = get_code(store, code, str(tmp_path / "unpacked"))
    worker = Path(found.folder or "", "worker.py")
    worker.write_text(change(worker.read_text()))
    return found


def test_packages_that_a_host_lacks_are_named_with_the_host(tmp_path: Path) -> None:
    """Elsewhere they may be installed."""
    block = '# /// script\n# dependencies = ["no-such-a", "no-such-b>1", "msgspec"]\n# ///\n'

    with pytest.raises(WorkerFileError) as failed:
        load_job(sent(tmp_path, lambda text: block + text))

    host, error = os.uname().nodename, failed.value
    assert error.message == (
        f"on host `{host}`: `{tmp_path}/home/worker.py` declares packages that are not installed"
        " here: no-such-a, no-such-b>1"
    )
    assert error.fields["host"] == host
    assert error.fields["missing"] == ["no-such-a", "no-such-b>1"]
    assert error.hint is not None
    assert error.hint.startswith(f"{shlex.quote(sys.executable)} -m pip install")


def test_a_module_that_a_host_lacks_is_named_with_the_host(tmp_path: Path) -> None:
    """Of a pickled job, too."""
    with pytest.raises(WorkerFileError, match=r"on host `.*no module named `no_such`") as failed:
        load_job(sent(tmp_path, lambda text: "import no_such\n" + text))

    assert failed.value.fields["missing"] == ["no_such"]
    assert failed.value.fields["frames"][0]["file"] == f"{tmp_path}/home/worker.py"


def test_a_module_that_a_pod_lacks_is_to_be_put_into_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be installed there: its files are read-only, and another pod takes its place."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")

    with pytest.raises(WorkerFileError, match="no module named `no_such`") as failed:
        load_job(sent(tmp_path, lambda text: "import no_such\n" + text))

    assert failed.value.hint is not None
    assert failed.value.hint.startswith(
        "--requirements FILE   with no_such in it, or `# /// script`"
    )


def test_what_this_python_cannot_read_is_told_by_the_name_of_its_author(tmp_path: Path) -> None:
    """Hosts may have another version."""
    with pytest.raises(WorkerFileError, match=f"{tmp_path}/home/worker.py:1:3: invalid syntax"):
        load_job(sent(tmp_path, lambda text: "a b\n" + text))
