"""Buckets for measures, in a MinIO of their own: its data is in `.bench`, as that of folders is."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from command import FOLDER, HERE, let_stay
from contest import SkippedError

if TYPE_CHECKING:
    from obstore.store import S3Store

    from s3_request import Server

PYMR = str(Path(sys.executable).with_name("pymr"))
TESTS = HERE.parent / "tests"  # they start MinIO for themselves, too
_OPEN = ExitStack()
atexit.register(_OPEN.close)


@cache
def _server() -> Server:
    """Return the server, which is started when it is first asked for."""
    sys.path.append(str(TESTS))
    import services

    if not services.is_installed("minio"):
        raise SkippedError("no MinIO is built   get it: python tests/services.py install")
    FOLDER.mkdir(parents=True, exist_ok=True)
    server = _OPEN.enter_context(services.minio(FOLDER))
    let_stay()
    return server


class Bucket:
    """A new bucket, of which PyMR knows that it may be used: to find that out takes seconds.

    Raises SkippedError where there is no MinIO.
    """

    def __init__(self) -> None:
        self.server = _server()
        import services

        self.name = services.new_bucket(self.server)
        self.address = f"s3://{self.name}"
        command = [PYMR, "doctor", "--store", self.address]
        subprocess.run(command, env=self.environment, stdout=subprocess.DEVNULL, check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What says to a command how its store is reached."""
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": self.server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_access_key,
            "AWS_REGION": self.server.region,
            # Runs are not to appear among those of the user.
            "XDG_STATE_HOME": str(FOLDER / "state"),
        }

    def put(self, file: Path, key: str) -> None:
        """Make an object of a file."""
        import obstore

        obstore.put(self._client(), key, file)

    def clear(self, prefix: str) -> None:
        """Remove all objects below a prefix."""
        import obstore

        client = self._client()
        for page in obstore.list(client, prefix):
            obstore.delete(client, [row["path"] for row in page])

    def rows_of(self, output: str) -> Iterator[bytes]:
        """Yield the rows of an output of PyMR, read and checked by itself."""
        command = [PYMR, "cat", output]
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield from process.stdout
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    def _client(self) -> S3Store:
        from obstore.store import S3Store

        return S3Store(
            self.name,
            endpoint=self.server.endpoint,
            access_key_id=self.server.access_key_id,
            secret_access_key=self.server.secret_access_key,
            region=self.server.region,
            client_options={"allow_http": True},
        )
