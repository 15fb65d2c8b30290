"""Stores that run beside the tests."""

from __future__ import annotations

import os
import uuid

import pytest

from pymr.store.access import Access, Address
from pymr.store.object_store import ObstoreStore, open_objects


@pytest.fixture
def minio() -> ObstoreStore:
    """Return an empty corner of a MinIO that runs."""
    endpoint = os.environ.get("_PYMR_TEST_S3")
    if not endpoint:
        pytest.skip("no MinIO runs")
    access = Access(
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="canary-user",
        secret_access_key="canary-secret",
    )
    return open_objects(Address("s3", "map-reduce-bucket", f"objectplace/{uuid.uuid4()}"), access)
