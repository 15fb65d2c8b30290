"""How far the clock of a store is from the one of this machine.

No decision of ours looks at a clock, but a store refuses requests that are signed at another time
than its own, from 15 minutes on. It says its time in the head of any answer, also of a refusal.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from pymr.store.access import Access, Address
from pymr.store.signed_request import tls_context

CLOCK_WAIT_S: Final = 5.0
_AMAZON: Final = "https://s3.amazonaws.com"


def clock_offset_s(address: Address, access: Access) -> float | None:
    """Return by how many seconds the store is ahead; None: it does not say.

    It tells whole seconds, and the way there takes time: one or two seconds mean nothing.
    """
    if address.scheme != "s3":
        return None
    url = urlsplit(access.endpoint or _AMAZON)
    connection: HTTPConnection
    if url.scheme == "https":
        connection = HTTPSConnection(url.netloc, timeout=CLOCK_WAIT_S, context=tls_context(access))
    else:
        connection = HTTPConnection(url.netloc, timeout=CLOCK_WAIT_S)
    try:
        connection.request("HEAD", "/")
        told = connection.getresponse().headers["Date"]
        now = time.time()
        return None if told is None else parsedate_to_datetime(told).timestamp() - now
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
