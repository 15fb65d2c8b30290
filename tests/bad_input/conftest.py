"""What the tests of bad inputs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """Return a folder of its own and the real command line in it."""
    return CommandLine(tmp_path)
