"""What a test gets that needs a service which is not here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import services


@pytest.fixture
def _nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services, "CACHE", tmp_path)


@pytest.mark.usefixtures("_nothing_is_built")
@pytest.mark.parametrize(
    ("ci", "refusal"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_who_starts_a_minio_that_is_not_built_is_skipped_at_home_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, refusal: type[BaseException]
) -> None:
    """Also one that a test starts for itself alone."""
    monkeypatch.setenv("CI", ci)

    with pytest.raises(refusal, match="no minio here"), services.minio(tmp_path):
        pytest.fail("it has started")


def test_nothing_else_skips_for_want_of_a_service() -> None:
    """A mark of a test's own would skip in CI, too."""
    tests = Path(services.__file__).parent

    asking = [
        path.name
        for path in tests.rglob("*.py")
        if re.search(r"\bis_installed\(", path.read_text())
    ]

    assert asking == ["services.py"]
