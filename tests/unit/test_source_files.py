"""Which files make up a worker is read from its imports, without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymr.errors import WorkerFileError
from pymr.task.source_files import digest_of, find_source_files, parse_worker

NAMES = ["worker.py", "near.py", "box/__init__.py", "box/deep.py"]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files and return `worker.py` among them."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "worker.py"


def found(worker: Path) -> list[str]:
    return [path.relative_to(worker.parent).as_posix() for path in find_source_files(worker)]


@pytest.mark.parametrize(
    "statement",
    [
        "import near",
        "import json, near as n",
        "from near import x",
        "from near import *",
        "import near.deeper",
        "def setup(ctx):\n    import near",
        "try:\n    import near\nexcept ImportError:\n    near = None",
        "if False:\n    from near import x",
        "class C:\n    async def f(self):\n        import near",
    ],
)
def test_a_module_beside_the_worker_is_found_by_any_import(tmp_path: Path, statement: str) -> None:
    """However it is imported, and wherever the statement stands."""
    worker = write(tmp_path, {"worker.py": statement, "near.py": "x = 1", "other.py": "x = 2"})

    assert found(worker) == ["worker.py", "near.py"]


def test_what_neighbours_import_is_found_too(tmp_path: Path) -> None:
    """The search goes on from each file found, round a circle as well; the worker comes first."""
    worker = write(
        tmp_path,
        {"worker.py": "import b", "b.py": "import a", "a.py": "import b, worker, c", "c.py": ""},
    )

    assert found(worker) == ["worker.py", "a.py", "b.py", "c.py"]


@pytest.mark.parametrize("has_init", [True, False])
def test_all_files_of_a_package_belong(tmp_path: Path, *, has_init: bool) -> None:
    """What a package imports of itself, relatively or not, cannot be told file by file."""
    files = {
        "worker.py": "from shop.cart import add",
        "shop/__init__.py": "",
        "shop/cart.py": "from . import price\nfrom .deep.tax import rate\nimport rounding",
        "shop/price.py": "from ..outside import x",
        "shop/deep/tax.py": "rate = 2",
        "rounding.py": "",
        "outside.py": "",
    }
    if not has_init:
        del files["shop/__init__.py"]
    worker = write(tmp_path, files)
    (tmp_path / "shop" / "notes.txt").write_text("no code")

    assert found(worker) == [
        "worker.py",
        "rounding.py",
        *(["shop/__init__.py"] if has_init else []),
        "shop/cart.py",
        "shop/deep/tax.py",
        "shop/price.py",
    ]


@pytest.mark.parametrize(
    ("package", "winner"), [("near/__init__.py", "near/__init__.py"), ("near/x.py", "near.py")]
)
def test_a_package_and_a_module_of_one_name(tmp_path: Path, package: str, winner: str) -> None:
    """A package wins, a mere folder does not, as Python has it; the loser is no part."""
    worker = write(tmp_path, {"worker.py": "import near", "near.py": "", package: ""})

    assert found(worker) == ["worker.py", winner]


def test_a_clone_of_pymr_beside_the_worker_is_no_part(tmp_path: Path) -> None:
    """Its folder is called as what the worker imports, and is full of other files."""
    worker = tmp_path / "worker.py"
    worker.write_text("import pymr\n")
    (tmp_path / "pymr/src").mkdir(parents=True)
    (tmp_path / "pymr/src/setup.py").write_text("")

    assert find_source_files(worker) == [worker]


def test_installed_packages_and_the_standard_library_are_no_part(tmp_path: Path) -> None:
    """Only what lies beside the worker is shipped with it."""
    worker = write(
        tmp_path,
        {"worker.py": "import json, msgspec.json, pymr, no_such", "json/x.py": "", "pymr.txt": ""},
    )

    assert found(worker) == ["worker.py"]


def test_nothing_is_run(tmp_path: Path) -> None:
    """A module that would end the process is only read."""
    worker = write(tmp_path, {"worker.py": "import near", "near.py": "raise SystemExit"})

    assert found(worker) == ["worker.py", "near.py"]


@pytest.mark.parametrize("place", [0, 5, 10])
@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_every_file_counts_in_the_digest(
    tmp_path: Path, name: str, place: int
) -> None:
    """A changed comment in a neighbour is another digest."""
    body = "import near, box    "
    worker = write(tmp_path, dict.fromkeys(NAMES, body))
    files = find_source_files(worker)
    before = digest_of(files, tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())

    data[-1 - place] ^= 1
    path.write_bytes(data)

    assert digest_of(files, tmp_path) != before


def test_the_digest_tells_where_one_file_ends(tmp_path: Path) -> None:
    """Bytes that move from one file to the next, or names that change, are not overlooked."""
    pairs = [("ab", "c"), ("a", "bc")]
    digests = set()
    for index, (first, second) in enumerate(pairs):
        folder = tmp_path / str(index)
        worker = write(folder, {"worker.py": first, "near.py": second})
        digests.add(digest_of([worker, folder / "near.py"], folder))
    renamed = write(tmp_path / "2", {"worker.py": "a", "far.py": "bc"})
    digests.add(digest_of([renamed, tmp_path / "2" / "far.py"], tmp_path / "2"))
    glued = write(tmp_path / "3", {"worker.py": "anear.py\0bc"})
    digests.add(digest_of([glued], tmp_path / "3"))

    assert len(digests) == 4


def test_the_name_of_the_folder_does_not_count(tmp_path: Path) -> None:
    """The same files in another place are the same worker."""
    files = {"worker.py": "import near", "near.py": "x = 1"}
    workers = [write(tmp_path / name, files) for name in ("a", "b")]

    first, second = (digest_of(find_source_files(w), w.parent) for w in workers)

    assert first == second


@pytest.mark.parametrize("name", ["worker.py", "near.py"])
def test_a_syntax_error_has_line_and_column(tmp_path: Path, name: str) -> None:
    """In a neighbour as in the worker itself; the line is shown."""
    files = {"worker.py": "import near\n", "near.py": ""}
    files[name] += "x = 1\n  y = 2\n"
    worker = write(tmp_path, files)
    line = files[name].count("\n")

    with pytest.raises(WorkerFileError, match=f"{name}:{line}:.*unexpected indent: `y = 2`") as e:
        find_source_files(worker)

    assert e.value.fields["line"] == line
    assert e.value.exit_code == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"x = 1\0\n", "null byte"), (b"x = '\xff'\n", "utf-8"), (b"# coding: no\n", "encoding")],
)
def test_bytes_that_are_no_source_are_refused(tmp_path: Path, body: bytes, message: str) -> None:
    """NUL bytes, a wrong encoding, an unknown one."""
    worker = tmp_path / "worker.py"
    worker.write_bytes(body)

    with pytest.raises(WorkerFileError, match=f"(?i)worker.py.*{message}"):
        parse_worker(worker)


def test_a_worker_in_another_encoding_is_read_as_python_does(tmp_path: Path) -> None:
    """A coding line, a byte order mark and CRLF are all Python."""
    for body in (b"# coding: latin-1\r\nx = '\xe9'\r\n", b"\xef\xbb\xbfimport near\n"):
        (tmp_path / "worker.py").write_bytes(body)

        assert found(tmp_path / "worker.py") == ["worker.py"]


def test_a_worker_that_is_missing_or_no_file(tmp_path: Path) -> None:
    """The path is named, and how to get a worker file."""
    with pytest.raises(WorkerFileError, match=r"no such worker file: `.*worker\.py`") as missing:
        parse_worker(tmp_path / "worker.py")
    with pytest.raises(WorkerFileError, match="is a directory"):
        parse_worker(tmp_path)
    (tmp_path / "loop.py").symlink_to("loop.py")
    with pytest.raises(WorkerFileError, match="Too many levels of symbolic links"):
        parse_worker(tmp_path / "loop.py")

    assert missing.value.hint == "pymr init writes one that runs"
