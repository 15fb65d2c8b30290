"""Whom the authority of a run vouches for, for how long, and as what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pymr.cluster.certificate import MASTER_NAME, Authority, Identity, new_authority

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def loaded(identity: Identity) -> x509.Certificate:
    """Return the certificate of an identity."""
    return x509.load_pem_x509_certificate(identity.certificate)


def extension(identity: Identity, kind: type[Any]) -> Any:
    """Return the value of an extension."""
    return loaded(identity).extensions.get_extension_for_class(kind).value


def test_the_authority_signs_what_it_issues() -> None:
    """And another run's authority did not."""
    authority, other = new_authority("run-1"), new_authority("run-2")

    worker = loaded(authority.for_client("worker"))

    worker.verify_directly_issued_by(loaded(authority.identity))
    with pytest.raises(ValueError, match="does not match certificate issuer"):
        worker.verify_directly_issued_by(loaded(other.identity))


def test_two_authorities_of_one_run_are_strangers() -> None:
    """Names do not matter, keys do."""
    worker = loaded(new_authority("run-1").for_client("worker"))

    with pytest.raises(Exception, match=r"^$"):  # InvalidSignature says nothing.
        worker.verify_directly_issued_by(loaded(new_authority("run-1").identity))


def test_f16_certificates_are_good_for_a_clock_that_is_an_hour_behind() -> None:
    """From more than an hour before they were made, for seven days."""
    authority = new_authority("run-1", now=NOW)

    for identity in (
        authority.identity,
        authority.for_master([], now=NOW),
        authority.for_client("worker", now=NOW),
    ):
        certificate = loaded(identity)
        assert certificate.not_valid_before_utc < NOW - timedelta(hours=1)
        assert certificate.not_valid_before_utc > NOW - timedelta(hours=2)
        assert certificate.not_valid_after_utc == NOW + timedelta(days=7)


def test_the_master_has_the_names_it_is_called_by() -> None:
    """Those of its addresses, this machine's, and the one that our clients ask for."""
    authority = new_authority("run-1")

    names = extension(
        authority.for_master(
            ["10.0.0.7", "big.example", "[fe80::1%eth0]", "bücher.example", "a..b"]
        ),
        x509.SubjectAlternativeName,
    )

    assert names.get_values_for_type(x509.DNSName) == [
        MASTER_NAME,
        "localhost",
        "big.example",
        "xn--bcher-kva.example",
    ]
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "10.0.0.7", "fe80::1"]


def test_a_client_says_whose_it_is_and_can_not_serve() -> None:
    """A worker that is taken over must not be able to play the master."""
    authority = new_authority("run-1")
    worker = authority.for_client("worker")

    names = extension(worker, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["pymr://run-1/worker"]
    assert list(extension(worker, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extension(worker, x509.BasicConstraints).ca is False
    master = extension(authority.for_master([]), x509.ExtendedKeyUsage)
    assert list(master) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_keys_are_on_p_256_and_each_is_another() -> None:
    """Nobody shares one."""
    authority = new_authority("run-1")
    identities = [authority.identity, *(authority.for_client("worker") for _ in range(2))]

    keys = [serialization.load_pem_private_key(each.key, None) for each in identities]

    assert all(isinstance(key, ec.EllipticCurvePrivateKey) for key in keys)
    assert {key.curve.name for key in keys} == {"secp256r1"}  # type: ignore[union-attr]
    assert len({each.key for each in identities}) == 3


def test_an_authority_goes_on_in_another_process() -> None:
    """A later master of the run is trusted by the workers of the earlier one."""
    authority = new_authority("run-1")

    later = Authority("run-1", authority.identity)

    loaded(later.for_master([])).verify_directly_issued_by(loaded(authority.identity))


def test_no_repr_has_a_key() -> None:
    """Whoever logs one of them gives nothing away."""
    authority = new_authority("run-1")

    for each in (authority, authority.identity):
        assert "PRIVATE" not in repr(each)
        assert "BEGIN" not in repr(each)
