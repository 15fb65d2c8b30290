"""The library's client of one store, made of an address and an access."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pymr.errors import ConfigError
from pymr.store.access import Access, Address
from pymr.store.credentials import renewed
from pymr.store.object_errors import Place

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client
    from obstore.store import S3Config

CONNECT_WAIT_S: Final = 5.0
# Time limits look at progress, so a slow store is no broken one: this is how long not one byte
# may come. Of an upload nothing comes before a part is sent: 8 MiB at 140 KB/s take that long.
SILENCE_S: Final = 60.0
RENEW_S: Final = 2.0  # a file of credentials is read again after that
_REQUEST_S: Final = 24 * 3600.0  # a request as a whole; the library wants a number
PART_RETRY_S: Final = 600.0  # a request keeps its signature, which holds for 15 minutes
_SCHEMES: Final = {"s3": "amazonaws.com", "gs": "storage.googleapis.com", "az": "azure"}


class Clients(NamedTuple):
    """Two clients of one store: the same, but for who sends a failed request again."""

    requests: Client  # we do
    uploads: Client  # the library does, part by part


class _Keys:
    """Gives the library keys, those that stand in their file now."""

    refresh_threshold = timedelta(0)

    def __init__(self, access: Access) -> None:
        self._access = access

    def __call__(self) -> dict[str, Any]:
        self._access = renewed(self._access)
        lasts = self._access.credentials_file is None
        return {
            "access_key_id": self._access.access_key_id,
            "secret_access_key": self._access.secret_access_key,
            "token": self._access.session_token,
            "expires_at": None if lasts else datetime.now(UTC) + timedelta(seconds=RENEW_S),
        }


def connect(address: Address, access: Access) -> Clients:
    """Return clients of the store at an address; nothing is asked of it yet.

    Raises:
        ConfigError: the library cannot use the address.
    """
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, MemoryStore

    prefix = address.prefix.strip("/") or None
    if address.scheme == "memory":
        store = MemoryStore()
        return Clients(store, store)
    try:
        if address.scheme == "s3":
            return _both(lambda **options: _s3(address.bucket, prefix, access, options), access)
        provider: Any = GCSStore if address.scheme == "gs" else AzureStore
        return _both(lambda **options: provider(address.bucket, prefix=prefix, **options), access)
    except (BaseError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{place_of(address, access)} cannot be used: {first}") from error


def place_of(address: Address, access: Access) -> Place:
    """Return what messages say of a store."""
    endpoint = access.told_endpoint or _SCHEMES.get(address.scheme, address.scheme)
    way = None if access.way is None else access.way.command
    return Place(endpoint, address.scheme, address.bucket, address.prefix.strip("/"), way)


def _both(make: Callable[..., Client], access: Access) -> Clients:
    silence_s = SILENCE_S if access.silence_s is None else access.silence_s
    options: dict[str, Any] = {
        "allow_http": access.endpoint is not None and access.endpoint.startswith("http:"),
        "connect_timeout": timedelta(seconds=min(CONNECT_WAIT_S, silence_s)),
        "read_timeout": timedelta(seconds=silence_s),
        "timeout": timedelta(seconds=_REQUEST_S),
    }
    if access.root_certificates:
        options["root_certificate"] = access.root_certificates
    retry_s = min(access.storage_wait_s, PART_RETRY_S)
    again = {
        "max_retries": 1_000,
        "retry_timeout": timedelta(seconds=retry_s),
        "backoff": {
            "init_backoff": timedelta(milliseconds=50),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    return Clients(
        make(client_options=options, retry_config={"max_retries": 0}),
        make(client_options=options, retry_config=again),
    )


def _s3(bucket: str, prefix: str | None, access: Access, options: dict[str, Any]) -> Client:
    """Return a client that takes from the environment nothing that `access` says."""
    from obstore.store import S3Store

    config: S3Config = {"virtual_hosted_style_request": False}
    if access.region is not None:
        config["region"] = access.region
    if access.is_requester_paying:
        config["request_payer"] = True
    if access.endpoint is not None:
        # The library lets the variable of the second win over the first.
        config["endpoint"] = config["aws_endpoint_url_s3"] = access.endpoint
    if access.access_key_id is not None:
        options["credential_provider"] = _Keys(access)
    return S3Store(bucket, prefix=prefix, config=config, **options)
