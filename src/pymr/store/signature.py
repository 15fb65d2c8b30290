"""Says who sends a request: AWS Signature Version 4, in its headers.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Final, NamedTuple

from pymr.store.access import Access

NO_BODY: Final = hashlib.sha256(b"").hexdigest()
REGION: Final = "us-east-1"  # where none is named, as in the library


class Signer(NamedTuple):
    """Who asks which service of a host; `access` has keys."""

    access: Access
    host: str  # with its port, as the request has it
    service: str = "s3"

    def headers(
        self, method: str, path: str, query: str = "", *, digest: str = NO_BODY
    ) -> dict[str, str]:
        """Return the headers that sign a request that is sent now; its host is among them.

        `path` and `query` are as they are sent: quoted, and the query sorted by name. `digest` is
        the SHA-256 of the body, in hex.
        """
        access = self.access
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": when}
        if access.session_token:
            headers["x-amz-security-token"] = access.session_token
        names = ";".join(headers)
        lines = [method, path, query, *(f"{n}:{v}" for n, v in headers.items()), "", names]
        canonical = "\n".join([*lines, digest]).encode()
        scope = f"{when[:8]}/{access.region or REGION}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
        key = f"AWS4{access.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        who = f"Credential={access.access_key_id}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 {who}, SignedHeaders={names}, Signature={signature}"
        )
        return headers
