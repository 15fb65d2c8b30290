"""Objects of a run and of storage as tests render them; a test changes one detail."""

from __future__ import annotations

from typing import Any

from pymr.kubernetes.objects.run import (
    CREDENTIALS_FILE,
    JOIN_FILE,
    MASTER_FILE,
    SPEC_FILE,
    Images,
    RunObjects,
)
from pymr.kubernetes.objects.storage import StorageObjects

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
ENDPOINT = "http://minio.analytics.svc:9000"
CANARY = "canary-0123456789abcdef"


def run_objects(**changes: Any) -> RunObjects:
    """Return a run of three workers, with secrets that a test can look for."""
    secret = CANARY.encode()
    told: dict[str, Any] = {
        "run": RUN,
        "job": "wordcount",
        "namespace": "analytics",
        "images": Images("pymr-master:0123456789abcdef", "pymr-worker:fedcba9876543210"),
        "workers": 3,
        "master_files": dict.fromkeys((SPEC_FILE, MASTER_FILE, CREDENTIALS_FILE), secret),
        "worker_files": dict.fromkeys((JOIN_FILE, CREDENTIALS_FILE), secret),
        "endpoint": ENDPOINT,
        "region": "us-east-1",
        "timeout_s": 90.5,
    }
    return RunObjects(**{**told, **changes})


def storage_objects(**changes: Any) -> StorageObjects:
    """Return storage with a root credential that a test can look for."""
    told: dict[str, Any] = {
        "image": "pymr-minio:0123456789abcdef",
        "user": "pymr-000000000000",
        "password": CANARY,
    }
    return StorageObjects(**{**told, **changes})
