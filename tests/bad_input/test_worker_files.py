"""Worker files that cannot be used: exit 2, with the file, the line, and what would do."""

from __future__ import annotations

import shlex
import sys

import pytest

from cli import COUNT_WORDS, CommandLine, Outcome

MAPPER = "import pymr\n\ndef mapper(ctx, chunk):\n    ctx.emit(chunk, 1)\n\n"


def start(cli: CommandLine, worker: str | bytes, *flags: str, name: str = "worker.py") -> Outcome:
    cli.write("in.txt", "b a\na\n")
    cli.write(name, worker)
    return cli.run("start", "--output=out", "--workers=1", "--input=in.txt", *flags, name)


@pytest.mark.parametrize(
    ("worker", "parts"),
    [
        ("x = (1,\ny = 2\n", ["worker.py:1:5: '(' was never closed: `x = (1,`"]),
        ("def f():\n\tif 1:\n        pass\n", ["worker.py:3:", "inconsistent use of tabs"]),
        ("x = 1\nreturn x\n", ["worker.py:2:1: 'return' outside function: `return x`"]),
        ("def f(a, a): ...\n", ["worker.py:1:10: duplicate argument 'a'"]),
        (b"x = '\xff'\n", ["worker.py", "utf-8"]),
        (b"x = 1\0\n", ["worker.py", "null byte"]),
        ("(" * 5000, ["worker.py:1:", "too many nested parentheses"]),
        (
            "import pymr\nx = " + "-" * 200_000 + "1",
            ["`worker.py` is nested too deeply for Python"],
        ),
        ("", ["no `job` in it; found nothing", "job = pymr.Job(mapper=mapper"]),
    ],
    ids=["syntax", "tabs", "return", "twice", "no UTF-8", "NUL", "nested", "deep", "empty"],
)
def test_b77_a_file_that_is_not_python(
    cli: CommandLine, worker: str | bytes, parts: list[str]
) -> None:
    """File, line and column, and the line itself."""
    said = start(cli, worker).refused(2, *parts)

    assert str(cli.folder) not in said, "a file is named as the user named it"


def test_b77_a_byte_order_mark_and_crlf_are_python(cli: CommandLine) -> None:
    """Editors write them."""
    worker = "\ufeff" + COUNT_WORDS.replace("\n", "\r\n")

    assert start(cli, worker).succeeded() == ["a\t2", "b\t1"]


def test_b77_there_is_no_worker_file(cli: CommandLine) -> None:
    """Missing, a folder, or not readable."""
    cli.write("in.txt", "a\n")
    cli.write("deep/worker.py", COUNT_WORDS).chmod(0)

    cli.run("start", "--input=in.txt", "wrker.py").refused(
        2, "no such worker file: `wrker.py`", "pymr init"
    )
    cli.run("start", "--input=in.txt", "deep").refused(2, "worker file `deep` is a directory")
    cli.run("start", "--input=in.txt", "deep/worker.py", without_override=True).refused(
        2, "worker file `deep/worker.py`: Permission denied"
    )


FOUND = [
    ("", ["no `job` in it; found function `mapper`"]),
    ("class Job: ...\nasync def f(): ...\n", ["class `Job`", "async function `f`"]),
    ("wordcount = pymr.Job(mapper=mapper)\n", ["a Job named `wordcount`", "name it `job`"]),
    ("job = mapper\n", ["`job` is the function `mapper`, expected a pymr.Job"]),
    ("job = 3\n", ["`job` is 3, expected a pymr.Job"]),
    ("async def m(ctx, chunk): ...\njob = pymr.Job(mapper=m)\n", ["`mapper` is an async function"]),
    ("class M: ...\njob = pymr.Job(mapper=M)\n", ["`mapper` is the class M"]),
    (
        "def m(chunk): ...\njob = pymr.Job(mapper=m)\n",
        ["`mapper` is m(chunk), expected 2 arguments", "def mapper(ctx, chunk):"],
    ),
    (
        "def r(key, values): ...\njob = pymr.Job(mapper=mapper, reducer=r)\n",
        ["`reducer` is r(key, values), expected 3 arguments", "def reducer(ctx, key, values):"],
    ),
    ("job = pymr.Job(mapper=lambda x: x)\n", ["`mapper` is <lambda>(x), expected 2 arguments"]),
    ("job = pymr.Job(mapper='mapper')\n", ["`mapper` is 'mapper', expected a function"]),
    ("job = pymr.Job()\n", ["missing 1 required keyword-only argument: 'mapper'"]),
    ("job = pymr.Job(mapper=mapper, reduce=mapper)\n", ["unexpected keyword argument 'reduce'"]),
    (
        "job = pymr.Job(mapper=mapper, reducer=pymr.COUNT, combiner=pymr.SUM)\n",
        ["together with a combiner", "leave the combiner out"],
    ),
]


@pytest.mark.parametrize(("code", "parts"), FOUND, ids=[code or "no job" for code, _ in FOUND])
def test_b78_a_file_without_a_job_that_can_run(
    cli: CommandLine, code: str, parts: list[str]
) -> None:
    """What was found is named, beside what was expected."""
    start(cli, MAPPER + code).refused(2, "worker.py", *parts)


def test_b78_a_lambda_is_a_function(cli: CommandLine) -> None:
    """If it takes what a mapper takes."""
    worker = "import pymr\njob = pymr.Job(mapper=lambda ctx, chunk: [(len(chunk), 1)])\n"

    assert start(cli, worker).succeeded() == ["4\t1", "2\t1"]


def test_b79_a_worker_with_a_name_of_the_standard_library(cli: CommandLine) -> None:
    """It shadows nothing, and a warning says so."""
    worker = COUNT_WORDS.replace("ctx.emit(word, 1)", "ctx.emit(json.dumps(word), 1)")

    outcome = start(cli, "import json, random\n" + worker, name="json.py")

    assert outcome.succeeded("warning: `json.py` has the name of a module") == ['"a"\t2', '"b"\t1']


def test_b80_a_package_that_is_missing(cli: CommandLine) -> None:
    """Its name, the line that imports it, and the command that installs it."""
    said = start(cli, "import pymr\nimport no_such_package.deep\n").refused(
        2, "no module named `no_such_package`", "worker.py:2", "-m pip install no_such_package"
    )

    assert "requirements.txt" in said


def test_b80_packages_declared_in_the_file(cli: CommandLine) -> None:
    """PEP 723: all that are missing at once, before the file is run."""
    block = (
        "# /// script\n# dependencies = ['no-such-package>=2', 'click', 'click>99', 'nor-this']\n"
        "# ///\nraise SystemExit('was run')\n"
    )

    start(cli, block).refused(
        2,
        "not installed here: no-such-package>=2, click>99, nor-this",
        f"{shlex.quote(sys.executable)} -m pip install 'no-such-package>=2' 'click>99' nor-this",
    )


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ("dependencies = [", ["`# /// script` block", "Invalid value"]),
        ("dependencies = ['not a name']", ["dependency `not a name`"]),
        ("dependencies = 'click'", ["`dependencies` is 'click', expected a list of strings"]),
        ("dependencies = [3]", ["`dependencies` is [3], expected a list of strings"]),
        ("requires-python = '>=99'", ["requires Python >=99, this is 3."]),
        ("requires-python = 'new'", ["`requires-python` is 'new'"]),
        ("x = 1\n# ///\n\n# /// script\n# y = 2", ["2 `# /// script` blocks, expected one"]),
    ],
)
def test_b80_a_script_block_that_is_wrong(cli: CommandLine, block: str, parts: list[str]) -> None:
    """It is refused, not passed over."""
    start(cli, f"# /// script\n# {block}\n# ///\n{COUNT_WORDS}").refused(2, "worker.py", *parts)


def test_b81_what_a_file_does_when_it_is_imported(cli: CommandLine) -> None:
    """No `__main__`, no standard input, no flags of ours; what it prints is kept for `logs`."""
    head = (
        "import os, sys\n"
        "print('printed', sys.stdin.read() == '', sys.argv[1:], flush=True)\n"
        "os.write(1, b'written\\n')\n"
        "os.system('echo by a child')\n"
        "if __name__ == '__main__':\n    sys.exit('was run as a script')\n"
    )

    outcome = start(cli, head + COUNT_WORDS, "--json")

    outcome.succeeded("; pymr logs ")
    assert cli.run("logs", "out").stdout == "printed True []\nwritten\nby a child\n"
    assert all(line.startswith("{") for line in outcome.stdout.splitlines())
    assert outcome.stdout.splitlines()[-1].startswith('{"')


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import sys\nsys.exit(3)\n", ["SystemExit: 3", "worker.py:2"]),
        ("import sys\nsys.exit()\n", ["cannot be imported: SystemExit\n", "worker.py:2"]),
        ("raise KeyboardInterrupt\n", ["KeyboardInterrupt", "worker.py:1"]),
        ("def f():\n    return 1 / 0\nf()\n", ["ZeroDivisionError: division by zero", "py:2 in f"]),
        ("name = input('who? ')\n", ["EOFError: EOF when reading a line", "worker.py:1"]),
        ("from pymr import Jub\n", ["ImportError: cannot import name 'Jub'", "worker.py:1"]),
        ("import os\nos._exit(5)\n", ["ended by itself with exit code 5"]),
        ("import os\nos.kill(os.getpid(), 9)\n", ["was killed by SIGKILL"]),
        ("import beside\n", ["beside.py:2:6: invalid syntax: `oops oops`"]),
        (
            "class E(Exception):\n    __str__ = None\nraise E\n",
            ["cannot be imported: E: (its __str__ raised TypeError)", "worker.py:3"],
        ),
    ],
)
def test_f88_b81_a_file_that_ends_its_own_import(
    cli: CommandLine, code: str, parts: list[str]
) -> None:
    """The error and the line; the run never begins."""
    cli.write("beside.py", "\noops oops\n")

    start(cli, code).refused(2, *parts)

    assert not (cli.folder / "out").exists()
