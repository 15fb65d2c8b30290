"""What is said where the packages for runs on other machines are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pymr.cluster import extra
from pymr.cluster.extra import require_extra
from pymr.errors import ConfigError


def test_with_all_packages_nothing_is_said() -> None:
    """And none is loaded by asking."""
    code = (
        "from pymr.cluster.extra import require_extra; require_extra(); import sys;"
        "print([n for n in ('grpc', 'cryptography', 'prometheus_client') if n in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert printed.stdout == b"[]\n"


def test_a_missing_package_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2."""
    monkeypatch.setattr(extra, "PACKAGES", ("grpc", "no_such_package", "no_such.package"))

    with pytest.raises(ConfigError) as caught:
        require_extra()

    assert caught.value.message.endswith("not installed: no_such_package, no_such.package")
    assert caught.value.hint == "pip install 'pymr[cluster]'"
    assert caught.value.exit_code == 2


def test_a_run_on_one_machine_loads_none_of_them() -> None:
    """Start-up time is a feature."""
    code = (
        "import sys, pymr.cli.start, pymr.runner.local;"
        "print([n for n in ('grpc', 'google', 'cryptography', 'prometheus_client', 'pymr.cluster')"
        " if n in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert printed.stdout == b"[]\n"
