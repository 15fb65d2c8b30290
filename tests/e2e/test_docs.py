"""The pages that tell a reader to type something are typed here, and must be right.

    console   lines that start with `$ ` (and go on with `> `) run in bash, block after block,
              in one folder for the page; the lines below are what they print, on stdout and
              stderr
    python    `# name.py` as the first line: the file of that name; otherwise it is executed
    text      shown only; a block is of one of these three kinds

`...` stands for any lines where it is a line, else for any text within one. What differs from
run to run (the end of a run's name, times, rates) is made equal on both sides first.

`python tests/e2e/test_docs.py` puts what is really printed into the pages; review the diff.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

ROOT = Path(__file__).parents[2]
EXECUTED = ["README.md", "docs/tutorial.md"]
PAGES = [
    *EXECUTED,
    "docs/reference/api.md",
    "docs/reference/cli.md",
    "docs/reference/exit-codes.md",
    "docs/design/ARCHITECTURE.md",
]
BIN = Path(sys.executable).parent
SHOWN_FOLDER = "/home/you/mr"  # where a page says that it is

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w./-]+\.py)\n")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
VOLATILE = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "RUN-ID"),
    (re.compile(r"\b(?!map-|reduce-)(\w+)-[0-9a-f]{4}\b"), r"\1-NAME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "DATE"),
    (re.compile(r"\bmemory peak \S+ of \S+"), "memory peak"),
    (re.compile(r"\b\d+(:\d\d)+\b"), "TIME"),
    (re.compile(r"\b[\d.]+ m?s\b"), "TIME"),
    (re.compile(r"\b[\d.,]+ [kMG]?B/s"), "RATE"),
    (re.compile(r"\b[\d.,]+ [kM]? ?rec/s"), "RATE"),
    (re.compile(r"^(python|system|pymr) .*$", re.MULTILINE), r"\1 VERSION"),
    (re.compile(r"^  slowest: .*\n", re.MULTILINE), ""),  # on a machine that is busy
]


class Block(NamedTuple):
    """One fenced block of a page."""

    kind: str
    body: str
    place: str  # page:line, for the message


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    return [
        Block(found[1], found[2], f"{page}:{text.count(chr(10), 0, found.start()) + 1}")
        for found in FENCE.finditer(text)
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """Return each command of a console block with the output it shows."""
    found: list[tuple[str, str]] = []
    for line in block.body.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
            continue
        command, shown = found[-1]
        is_continued = line.startswith("> ") and not shown
        found[-1] = (command + line[2:], "") if is_continued else (command, shown + line)
    return found


def steady(text: str) -> str:
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def matches(shown: str, printed: str) -> bool:
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"\n"
        for line in steady(shown).splitlines()
    ]
    printed = steady(printed)
    return re.fullmatch("".join(lines), printed + "\n" if printed else "") is not None


class Page:
    """A folder in which a page's blocks are executed, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._code = 0
        (folder / "examples").symlink_to(ROOT / "examples")
        state = folder.parent / "state"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYMR_")},
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(state),
            "XDG_CONFIG_HOME": str(state),
            "COLUMNS": "100",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def python(self, block: Block) -> None:
        """Write the file that the block names, or execute it."""
        name = FILE_NAME.match(block.body)
        if name:
            (self._folder / name[1]).write_text(block.body)
        else:
            code, printed = self._run([sys.executable, "-c", block.body])
            assert code == 0, f"{block.place}\n{printed}"

    def console(self, block: Block) -> list[tuple[str, str, str]]:
        """Type each command of the block; return it, what the page shows, what it printed."""
        return [(command, shown, self._type(command)) for command, shown in commands(block)]

    def _type(self, command: str) -> str:
        self._code, printed = self._run(["bash", "-c", f"(exit {self._code})\n{command}"])
        return printed

    def _run(self, command: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout.replace(str(self._folder), SHOWN_FOLDER)


@pytest.mark.parametrize("name", EXECUTED)
def test_every_block_of_a_page_does_what_it_shows(name: str, tmp_path: Path) -> None:
    """What a reader types prints what the page says, from the first block to the last."""
    folder = tmp_path / "page"
    folder.mkdir()
    page = Page(folder)

    for block in blocks(name):
        if block.kind == "python":
            page.python(block)
        elif block.kind == "console":
            for command, shown, printed in page.console(block):
                assert matches(shown, printed), (
                    f"{block.place}: `{command.strip()}` printed\n{printed}\nthe page shows\n{shown}"
                )
        else:
            assert block.kind == "text", f"{block.place}: ```{block.kind} is never executed"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    """A relative link names a file of the repository."""
    text = FENCE.sub("", (ROOT / name).read_text())
    targets = [target for target in LINK.findall(text) if "://" not in target]

    missing = [target for target in targets if not (ROOT / name).parent.joinpath(target).exists()]

    assert missing == []


def test_the_first_screen_shows_how_to_run_and_how_to_test() -> None:
    """The README's first 25 lines hold the two commands, and both are targets of make."""
    top = (ROOT / "README.md").read_text().splitlines()[:25]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert {"demo", "test"} <= {line.split()[1] for line in top if line.startswith("make ")}
    assert {"demo", "test"} <= set(targets)


def test_the_worker_file_of_the_readme_is_the_example() -> None:
    """What the README shows as a worker file is the one that it runs."""
    _, _docstring, code = (ROOT / "examples/wordcount/worker.py").read_text().split('"""')

    assert f"```python\n{code.lstrip()}```" in (ROOT / "README.md").read_text()


def test_the_command_reference_names_every_flag() -> None:
    """`docs/reference/cli.md` has a section for each command, with each of its flags."""
    from pymr.cli import COMMANDS, group

    sections = re.split(r"^## ", (ROOT / "docs/reference/cli.md").read_text(), flags=re.MULTILINE)
    by_command = {section.split()[0].strip("`"): section for section in sections[1:]}

    missing = []
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        flags = [
            max(option.opts, key=len)
            for option in command.params
            if isinstance(option, click.Option)
        ]
        is_run = name in ("plan", "check", "resume", "replay")
        section = sections[0] + by_command[name] + (by_command["start"] if is_run else "")
        missing += [f"{name} {flag}" for flag in flags if f"`{flag}" not in section]

    assert missing == []


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """`docs/reference/exit-codes.md` has a row for each exit code that an error has."""
    from pymr import errors
    from pymr.cli.failure import SIGNAL_EXIT_CODES

    text = (ROOT / "docs/reference/exit-codes.md").read_text()
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type)]

    assert rows == {0, *SIGNAL_EXIT_CODES.values()} | {
        cls.exit_code for cls in classes if issubclass(cls, errors.PymrError)
    }


def test_the_api_reference_names_everything_public() -> None:
    """`docs/reference/api.md` has each public name, and each argument of `pymr.Job`."""
    import inspect

    import pymr

    text = (ROOT / "docs/reference/api.md").read_text()

    names = [f"`pymr.{name}" for name in pymr.__all__ if name != "__version__"]
    arguments = [f"`{name}`" for name in inspect.signature(pymr.Job).parameters]

    assert [name for name in [*names, *arguments] if name not in text] == []


def test_dots_stand_for_lines_and_for_text_but_not_for_nothing_else() -> None:
    """The comparison that the other tests rely on refuses what differs."""
    assert matches("one\n...\nthree\n", "one\ntwo\ntwo\nthree\n")
    assert matches("done in 0:01, 3 ... rows\n", "done in 0:02, 3 nice rows\n")
    assert matches("wordcount-0a1b done\n", "wordcount-77ff done\n")
    assert matches("one\n", "one\n  slowest: map-0001 1.2 s = 3.1x the median\n")
    assert matches("", "")
    assert not matches("", "something\n")
    assert not matches("one\n", "one\ntwo\n")
    assert not matches("3 rows\n", "4 rows\n")


def rewrite(name: str, folder: Path) -> None:
    """Put what the page's commands print in the place of what it shows, where they differ."""
    page = Page(folder)
    text = (ROOT / name).read_text()
    for block in blocks(name):
        if block.kind == "python":
            page.python(block)
        elif block.kind == "console":
            lines = []
            for command, shown, printed in page.console(block):
                lines += ["$ ", "\n> ".join(command.splitlines()), "\n"]
                lines.append(shown if matches(shown, printed) else printed)
            text = text.replace(f"```console\n{block.body}", f"```console\n{''.join(lines)}", 1)
    (ROOT / name).write_text(text)


if __name__ == "__main__":
    import tempfile

    for page_name in EXECUTED:
        with tempfile.TemporaryDirectory() as parent:
            page_folder = Path(parent, "page")
            page_folder.mkdir()
            rewrite(page_name, page_folder)
