"""What an error of the store's library means to a user: one line, and the next command."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError

from pymr.store.access import Access, Way, parse_address
from pymr.store.object_client import place_of
from pymr.store.object_errors import Again, Place, explained

PLACE = Place("http://store.example:9000", "s3", "bucket", "out")
# As obstore 0.8 writes them; the text between is left out.
_NO_NAME = """Generic S3 error: Error performing list request: Error performing GET \
http://store.example:9000/bucket?list-type=2 in 1.6ms - HTTP error: error sending request

Debug source:
source: hyper_util::client::legacy::Error(
    Connect,
    ConnectError(
        "dns error",
        Custom {
            kind: Uncategorized,
            error: "failed to lookup address information: Name or service not known",
        },
    ),
),
"""
_MACHINE = (
    "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms"
    " - Server returned non-2xx status code: {}: no"
)


def test_a_name_that_cannot_be_looked_up_is_told_as_that() -> None:
    """Not the request that it was for, whose text is long and says nothing."""
    error, again = explained(GenericError(_NO_NAME), PLACE, "")

    assert again is Again.SOON
    assert "(`failed to lookup address information: Name or service not known`)" in error.message


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
def test_a_machine_that_is_refused_keys_has_none(status: str) -> None:
    """The store was never asked: it is not the rights of some keys."""
    error, again = explained(GenericError(_MACHINE.format(status)), PLACE, "key")

    assert again is Again.NEVER
    assert "there are no keys for it in the environment" in error.message
    assert error.hint == "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…"


@pytest.mark.parametrize(("scheme", "name"), [("gs", "GOOGLE_APP"), ("az", "AZURE_STORAGE_ACC")])
def test_stores_of_other_clouds_have_keys_of_their_own(scheme: str, name: str) -> None:
    """Those of S3 would be read by nobody."""
    error, _ = explained(GenericError(_MACHINE.format("403 no")), PLACE._replace(scheme=scheme), "")

    assert error.hint is not None
    assert error.hint.startswith(f"export {name}")


def test_a_clouds_machine_that_cannot_tell_keys_now_is_asked_again() -> None:
    """An answer of 503 is no word about keys."""
    _, again = explained(GenericError(_MACHINE.format("503 Service Unavailable")), PLACE, "key")

    assert again is Again.SLOWER


def test_an_object_with_the_name_of_that_address_is_refused_as_any_other() -> None:
    """Only who was asked says whose keys are missing."""
    text = "Error performing GET http://store.example:9000/bucket/http://169.254.169.254/ in 1ms"

    error, _ = explained(GenericError(f"{text} - status code: 403 Forbidden"), PLACE, "key")

    assert "the keys have no right to do that" in error.message


def test_a_store_behind_a_port_of_this_process_is_told_by_its_name() -> None:
    """The port is closed when anybody reads that; a command says how others get there."""
    way = Way("the storage of namespace `data` of `kind-x`", "pymr store --namespace data")
    access = Access(endpoint="http://127.0.0.1:41234", way=way)
    place = place_of(parse_address("s3://missing/out"), access)

    error, _ = explained(GenericError("status code: 404 <Code>NoSuchBucket</Code>"), place, "")

    assert error.message.startswith("s3://missing/out at the storage of namespace `data` of `kind")
    assert "127.0.0.1" not in f"{error.message}{error.hint}"
    assert error.hint == (
        "pymr store --namespace data   says how it is reached, then   aws s3 mb s3://missing"
    )
