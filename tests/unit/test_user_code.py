"""How user code is loaded: under which name, before which packages, and what is refused."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import cloudpickle
import pytest

import pymr
from pymr.core.spec import Code
from pymr.errors import IntegrityError, WorkerFileError
from pymr.task.declared import check_packages
from pymr.task.user_code import MODULE_NAME, load_job

JOB = """
def mapper(ctx, chunk):
    ctx.emit(chunk, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""
LIBRARY = Path(os.__file__).parent
WORKER = f"import pymr\n{JOB}"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what loading does to this process: it is made for a process of its own."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    yield
    for name in set(sys.modules) - before:
        if name in (MODULE_NAME, "worker") or name.startswith("beside"):
            del sys.modules[name]


def load(folder: Path, text: str = WORKER, name: str = "worker.py") -> tuple[pymr.Job, str]:
    """Load `text` as a worker file; return its job and digest."""
    path = folder / name
    path.write_text(text)
    job, shape = load_job(Code(path=str(path)))
    return job, shape.digest


def refusal(folder: Path, text: str) -> WorkerFileError:
    with pytest.raises(WorkerFileError) as caught:
        load(folder, text)
    return caught.value


def test_a_worker_file_is_loaded_and_described(tmp_path: Path) -> None:
    """The shape says what a runner needs, so that it need not import anything itself."""
    (tmp_path / "beside.py").write_text("")
    path = tmp_path / "worker.py"
    path.write_text(f"import beside\n{WORKER}")

    job, shape = load_job(Code(path=str(path)))

    assert isinstance(job, pymr.Job)
    assert (shape.input_format, shape.reducer, shape.combiner) == ("text", "sum", None)
    assert shape.files == ("worker.py", "beside.py")
    assert len(shape.digest) == 64
    assert shape.warnings == ()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("reducer=None", ("text", None, None)),
        ("reducer=pymr.COUNT, input=pymr.LINES", ("lines", "count", None)),
        ("reducer=print, combiner=pymr.MAX, input=pymr.WHOLE", ("whole", "function", "max")),
        ("reducer=print, combiner=print", ("text", "function", "function")),
    ],
)
def test_the_shape_of_each_kind_of_job(
    tmp_path: Path, arguments: str, expected: tuple[str, str | None, str | None]
) -> None:
    """Functions, builtins and none of them are told apart."""
    path = tmp_path / "worker.py"
    path.write_text(f"import pymr\njob = pymr.Job(mapper=print, {arguments})\n")

    _, shape = load_job(Code(path=str(path)))

    assert (shape.input_format, shape.reducer, shape.combiner) == expected


@pytest.mark.parametrize(("file", "name"), [("worker", "worker"), ("my-worker", MODULE_NAME)])
def test_the_file_runs_under_a_name_that_finds_it(tmp_path: Path, file: str, name: str) -> None:
    """Not as `__main__`, with no arguments: as `import` finds it, so that its classes pickle."""
    text = f"{WORKER}\nimport sys\nname, argv, file = __name__, sys.argv, __file__\nclass C: ...\n"

    load(tmp_path, text, f"{file}.py")

    module = sys.modules[name]
    assert module.name == name == module.C.__module__
    assert module.argv == [str(tmp_path / f"{file}.py")] == [module.file]


def test_a_worker_named_like_a_standard_module_shadows_nothing(tmp_path: Path) -> None:
    """`random.py` is the worker; `import random` in it is Python's; a warning says so."""
    path = tmp_path / "random.py"
    path.write_text(f"import random\nnumber = random.randint(3, 3)\n{WORKER}")

    _, shape = load_job(Code(path=str(path)))

    assert sys.modules[MODULE_NAME].number == 3
    assert PathFinder.find_spec("random").origin == str(LIBRARY / "random.py")
    assert "`random.py` has the name of a module of the standard library" in shape.warnings[0]


def test_modules_beside_the_worker_win_over_installed_packages_only(tmp_path: Path) -> None:
    """The standard library wins over them, or a `queue.py` would break what it never heard of."""
    for name in ("msgspec", "queue", "beside_alone"):
        (tmp_path / f"{name}.py").write_text("")

    load(tmp_path)

    found = {n: PathFinder.find_spec(n).origin for n in ("msgspec", "queue", "beside_alone")}
    assert found["msgspec"] == str(tmp_path / "msgspec.py")
    assert found["beside_alone"] == str(tmp_path / "beside_alone.py")
    assert found["queue"] == str(LIBRARY / "queue.py")


def test_the_folder_comes_last_where_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder of packages the standard library still goes before it."""
    monkeypatch.setattr(sys, "path", [str(LIBRARY)])

    load(tmp_path)

    assert sys.path == [str(LIBRARY), str(tmp_path)]


def test_loading_twice_adds_the_folder_once(tmp_path: Path) -> None:
    """The path does not grow."""
    load(tmp_path)
    load(tmp_path)

    assert sys.path.count(str(tmp_path)) == 1


def test_a_relative_path_finds_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder on the path is absolute: the worker may change the current one later."""
    (tmp_path / "beside_b.py").write_text("x = 7")
    (tmp_path / "worker.py").write_text(f"import beside_b\n{WORKER}")
    monkeypatch.chdir(tmp_path)

    load_job(Code(path="worker.py"))

    assert sys.modules["beside_b"].x == 7
    assert str(tmp_path) in sys.path


# -- what an import may do wrong ---------------------------------------------------------------


def test_an_error_at_import_shows_the_users_frames_only(tmp_path: Path) -> None:
    """Neither PyMR's frames nor the import machinery's; neighbours are the user's."""
    (tmp_path / "beside_c.py").write_text("def f():\n    return {}['k']\nf()\n")

    error = refusal(tmp_path, f"import beside_c\n{WORKER}")

    assert "cannot be imported: KeyError: 'k'" in error.message
    assert error.fields["error_type"] == "KeyError"
    assert [(Path(f["file"]).name, f["line"]) for f in error.fields["frames"]] == [
        ("worker.py", 1),
        ("beside_c.py", 3),
        ("beside_c.py", 2),
    ]
    assert error.fields["frames"][-1]["source"] == "    return {}['k']"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class E(Exception):\n    __str__ = None\nraise E", "E"),
    ],
)
def test_f88_what_would_end_the_process_is_an_error_of_the_file(
    tmp_path: Path, code: str, message: str
) -> None:
    """An import that exits, or an exception that can not be shown, is reported as such."""
    assert message in refusal(tmp_path, f"{code}\n{WORKER}").message


def test_a_missing_module_comes_with_the_command_that_installs_it(tmp_path: Path) -> None:
    """Of `a.b.c` the package is `a`; the interpreter is this one."""
    error = refusal(tmp_path, f"import no_such_thing.deep\n{WORKER}")

    assert "no module named `no_such_thing" in error.message
    assert error.hint is not None
    assert error.hint.startswith(f"{shlex.quote(sys.executable)} -m pip install no_such_thing ")


def test_an_error_of_pymr_itself_keeps_its_words(tmp_path: Path) -> None:
    """A Job that is refused says why; it is not wrapped a second time."""
    error = refusal(tmp_path, "import pymr\njob = pymr.Job(mapper=3)\n")

    assert error.message == "`mapper` is 3, expected a function"
    assert "def mapper(ctx, chunk):" in error.fields["example"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no `job`", "found nothing"]),
        ("import pymr\ndef mapper(a, b): ...\n", ["no `job`", "function `mapper`"]),
        ("async def f(): ...\nclass C: ...\n", ["async function `f`", "class `C`"]),
        ("import pymr\nwords = pymr.Job(mapper=print)\n", ["a Job named `words`"]),
        ("job = 'mapper'\n", ["`job` is 'mapper', expected a pymr.Job"]),
    ],
)
def test_a_file_without_a_job_is_told_what_was_found(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    """So that a misspelled name is seen at once."""
    error = refusal(tmp_path, text)

    assert [part for part in parts if part not in error.message] == []


def test_at_most_eight_definitions_are_named(tmp_path: Path) -> None:
    """A message stays short for a long file."""
    error = refusal(tmp_path, "".join(f"def f{n}(): ...\n" for n in range(20)))

    assert error.message.count("function") == 8


# -- PEP 723 -----------------------------------------------------------------------------------


def block(folder: Path, *lines: str, text: str = "") -> Path:
    """Write a worker with a script block of `lines` and return its path."""
    path = folder / "worker.py"
    path.write_text("\n".join(["# /// script", *(f"# {x}" for x in lines), "# ///", text]))
    return path


@pytest.mark.parametrize(
    "lines",
    [
        ['dependencies = ["msgspec", "click>=8.1", "rich>=13,<1000"]'],
        ['requires-python = ">=3.11"', "dependencies = []"],
        ["[tool.other]", "x = 1"],
        ["dependencies = [", '  "msgspec",', "]"],
        ["dependencies = [\"no-such-package; python_version < '3'\"]"],
        ['dependencies = ["no.such.PACKAGE ; sys_platform == \'win32\'", "MsgSpec"]'],
    ],
)
def test_packages_that_are_installed_are_accepted(tmp_path: Path, lines: list[str]) -> None:
    """Names in any spelling, ranges, and markers that do not hold here."""
    check_packages(block(tmp_path, *lines))


def test_all_missing_packages_are_named_at_once(tmp_path: Path) -> None:
    """Too old counts as missing; the hint is the whole command."""
    path = block(tmp_path, 'dependencies = ["no-such-a", "msgspec>=99", "click", "no-such-b==1"]')

    with pytest.raises(WorkerFileError) as caught:
        check_packages(path)

    assert caught.value.message.endswith(
        "are not installed here: no-such-a, msgspec>=99, no-such-b==1"
    )
    assert caught.value.hint == (
        f"{shlex.quote(sys.executable)} -m pip install no-such-a 'msgspec>=99' no-such-b==1"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["dependencies = ["], "the `# /// script` block"),
        (['dependencies = ["not a name"]'], "dependency `not a name`"),
        (['dependencies = "click"'], "`dependencies` is 'click', expected a list"),
        (['requires-python = ">=99"'], "requires Python >=99, this is 3."),
        (['requires-python = "new"'], "`requires-python` is 'new'"),
    ],
)
def test_a_block_that_is_wrong_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    """It is not passed over: the user meant something by it."""
    with pytest.raises(WorkerFileError) as caught:
        check_packages(block(tmp_path, *lines))

    assert message in caught.value.message


def test_two_blocks_are_refused(tmp_path: Path) -> None:
    """As PEP 723 asks for; blocks of other types do not count."""
    path = block(tmp_path, "x = 1", text="\n# /// other\n# y = 1\n# ///\n")
    check_packages(path)
    path.write_text(path.read_text() + "\n# /// script\n# z = 1\n# ///\n")

    with pytest.raises(WorkerFileError, match="2 `# /// script` blocks, expected one"):
        check_packages(path)


def test_a_block_is_checked_before_the_file_is_run(tmp_path: Path) -> None:
    """With CRLF, too: what is missing is said instead of the ImportError that it causes."""
    path = block(tmp_path, 'dependencies = ["no-such-a"]', text="raise SystemExit('was run')")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    with pytest.raises(WorkerFileError, match="not installed here: no-such-a"):
        load_job(Code(path=str(path)))


# -- pickles -----------------------------------------------------------------------------------


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def pickled(job: object) -> Code:
    body = cloudpickle.dumps(job)
    return Code(pickle=body, digest=hashlib.sha256(body).hexdigest())


def test_a_pickled_job_is_loaded() -> None:
    """With the digest of its bytes as its code's."""
    code = pickled(pymr.Job(mapper=lambda _ctx, _chunk: None, reducer=pymr.MIN))

    job, shape = load_job(code)

    assert job.reducer is pymr.MIN
    assert (shape.reducer, shape.digest, shape.files) == ("min", code.digest, ())


@pytest.mark.parametrize("digest", [None, "", "00" * 32])
def test_a_pickle_with_another_digest_is_not_loaded(tmp_path: Path, digest: str | None) -> None:
    """Its bytes could do anything; they are refused unread."""
    trap = tmp_path / "sprung"
    body = cloudpickle.dumps(Trap(trap))

    with pytest.raises(IntegrityError, match="not loaded"):
        load_job(Code(pickle=body, digest=digest))

    assert not trap.exists()


def test_a_pickle_that_can_not_be_loaded_is_the_users(tmp_path: Path) -> None:
    """A module that this process does not have, for instance; `sys_path` may bring it."""
    (tmp_path / "beside_d.py").write_text("def mapper(ctx, chunk): ...\n")
    sys.path.append(str(tmp_path))
    import beside_d

    code = pickled(pymr.Job(mapper=beside_d.mapper))
    sys.path.remove(str(tmp_path))
    del sys.modules["beside_d"]

    with pytest.raises(WorkerFileError, match=r"the job cannot be imported: no module .*beside_d"):
        load_job(code)
    job, _ = load_job(Code(pickle=code.pickle, digest=code.digest, sys_path=(str(tmp_path),)))

    assert job.mapper.__module__ == "beside_d"
