"""How both ends use gRPC: its options, its credentials, and no word of its own on stderr.

The one place that imports `grpc`; others take it from here, since it reads the environment when it
is loaded.

What is guaranteed about a peer that is gone rests on what this package does (deadlines of calls,
STREAM_IDLE_S and STREAM_SILENCE_S of streams), not on the transport. Its keepalive finds a peer
that was stopped in about KEEPALIVE_S + KEEPALIVE_ANSWER_S; without `ping_timeout_ms` that takes a
minute.
"""

from __future__ import annotations

import os
from typing import Any, Final

# Task processes are never forked from a process with a channel. Without this each start of one
# would stop the threads of gRPC, or hang in them.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# Its log goes to stderr as it likes, with the addresses of peers; what matters comes as an error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from pymr.cluster.certificate import MASTER_NAME, Identity
from pymr.cluster.wire import MESSAGE_BYTES_MAX

__all__ = ["CLIENT_OPTIONS", "SERVER_OPTIONS", "aio", "client_credentials", "grpc"]

aio = grpc.aio

STREAM_IDLE_S: Final = 5.0  # a side of a stream that has said nothing for so long says so
STREAM_SILENCE_S: Final = 20.0  # a stream on which nothing came for so long is over
KEEPALIVE_S: Final = 10.0
KEEPALIVE_ANSWER_S: Final = 5.0
CONNECTION_AGE_S: Final = 3600.0  # a client comes back at once, with a new handshake
_CONNECTION_GRACE_S: Final = 30.0  # for calls that are under way then
_HANDSHAKE_S: Final = 10.0
_CONNECT_S: Final = 5.0
_STREAMS_MAX: Final = 64  # calls at once on one connection
_HEADER_BYTES_MAX: Final = 8 << 10


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


_BOTH: Final[dict[str, Any]] = {
    "grpc.keepalive_time_ms": _ms(KEEPALIVE_S),
    "grpc.keepalive_timeout_ms": _ms(KEEPALIVE_ANSWER_S),
    "grpc.http2.ping_timeout_ms": _ms(KEEPALIVE_ANSWER_S),
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_metadata_size": _HEADER_BYTES_MAX,
    "grpc.absolute_max_metadata_size": _HEADER_BYTES_MAX,
}
SERVER_OPTIONS: Final[list[tuple[str, Any]]] = list(
    {
        **_BOTH,
        "grpc.http2.min_ping_interval_without_data_ms": _ms(KEEPALIVE_S / 2),
        "grpc.http2.max_ping_strikes": 2,
        "grpc.max_concurrent_streams": _STREAMS_MAX,
        "grpc.max_connection_age_ms": _ms(CONNECTION_AGE_S),
        "grpc.max_connection_age_grace_ms": _ms(_CONNECTION_GRACE_S),
        "grpc.server_handshake_timeout_ms": _ms(_HANDSHAKE_S),
        "grpc.so_reuseport": 0,  # else a second master would share the port, and get half of us
    }.items()
)
CLIENT_OPTIONS: Final[list[tuple[str, Any]]] = list(
    {
        **_BOTH,
        "grpc.min_reconnect_backoff_ms": _ms(_CONNECT_S),  # how long one try may take
        "grpc.enable_retries": 0,  # `cluster.client` does it, and knows what may be repeated
        "grpc.use_local_subchannel_pool": 1,  # a new channel is a new connection
        "grpc.enable_http_proxy": 0,  # the variables of a proxy for the web are not meant for this
        "grpc.service_config_disable_resolution": 1,  # no look-up of TXT records
        "grpc.ssl_target_name_override": MASTER_NAME,
    }.items()
)


def server_credentials(authority: bytes, identity: Identity) -> grpc.ServerCredentials:
    """Return credentials that let nobody in without a certificate of `authority` (PEM)."""
    return grpc.ssl_server_credentials(
        [(identity.key, identity.certificate)],
        root_certificates=authority,
        require_client_auth=True,
    )


def client_credentials(authority: bytes, identity: Identity) -> grpc.ChannelCredentials:
    """Return credentials that trust nobody but `authority` (PEM)."""
    return grpc.ssl_channel_credentials(
        root_certificates=authority,
        private_key=identity.key,
        certificate_chain=identity.certificate,
    )
