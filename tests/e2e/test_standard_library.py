"""The demo's job over real text: the source of the running Python's standard library."""

from __future__ import annotations

import sysconfig
from collections import Counter
from pathlib import Path

from cli import CommandLine
from pymr import Result

WORDCOUNT = Path(__file__).parents[2] / "examples" / "wordcount" / "worker.py"


def library_files() -> list[Path]:
    """Return the source files that `make demo` counts: some are deliberately not UTF-8."""
    folder = Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in folder.rglob("*.py") if "-packages" not in str(path))


def test_the_word_count_of_the_standard_library_is_that_of_a_one_liner(tmp_path):
    """Every word and every count equal an independent Counter's; the books name each byte."""
    cli = CommandLine(tmp_path)
    files = library_files()
    inputs = [f"--input={path}" for path in files]

    outcome = cli.run("start", *inputs, "--errors=replace", "--output=out", WORDCOUNT)

    expected = Counter(
        word for path in files for word in path.read_text("utf-8-sig", "replace").split()
    )
    assert outcome.code == 0, outcome.stderr
    result = Result(str(cli.folder / "out"))
    assert dict(result) == expected
    assert sum(part.records for part in result.manifest.parts) == len(expected)
    assert result.manifest.ledger["bytes_in"] == sum(path.stat().st_size for path in files)
    assert cli.run("verify", "out").code == 0
