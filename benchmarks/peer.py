"""The peers that have to be installed: in an environment of their own, by the benchmark itself.

It stands in `.bench/peers`, is made when first needed, and again when `requirements.txt`
changes. A peer that this machine cannot run is left out, and the table says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Literal

from command import BENCH, FOLDER, HERE, WORKERS, command_side, remove
from contest import Side

Peer = Literal["DuckDB", "Polars", "Dask Bag", "PySpark", "mrjob", "Lithops"]

ENVIRONMENT = BENCH / "peers"
REQUIREMENTS = HERE / "requirements.txt"
MRJOB_PYTHON = (3, 13)  # the first without the module `pipes`, which mrjob imports


def install() -> Path:
    """Return the Python that has the peers, installing them if need be."""
    python, stamp = ENVIRONMENT / "bin/python", ENVIRONMENT / "installed"
    digest = sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        print("installing the peers into .bench/peers …", file=sys.stderr)
        remove(ENVIRONMENT)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(digest)
    return python


def obstacle(peer: Peer) -> str | None:
    """Return why `peer` cannot run here, and what would help."""
    if peer == "mrjob" and sys.version_info >= MRJOB_PYTHON:
        return f"mrjob needs a Python before 3.13, this is {sys.version.split()[0]}"
    if peer == "PySpark" and shutil.which("java") is None:
        return "PySpark needs Java, there is none   get it: sudo apt install default-jre-headless"
    return None


def peer_side(
    peer: Peer,
    script: str,
    text: Path | str,
    output: Path,
    *,
    once: bool,
    environment: dict[str, str] | None = None,
) -> Side:
    """Return the side that runs `peers/<script> text output` with two workers."""
    temporary = FOLDER / "peer-tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return command_side(
        peer,
        [str(install()), str(HERE / "peers" / script), str(text), str(output)],
        output=output,
        once=once,
        environment={
            **(environment or {}),
            "POLARS_MAX_THREADS": str(WORKERS),
            "PEER_WORKERS": str(WORKERS),
            "PYSPARK_PYTHON": str(ENVIRONMENT / "bin/python"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "TMPDIR": str(temporary),
        },
    )
