"""The certificates of one run: an authority of its own, and whom it vouches for.

    authority ─┬─► master     serves; has the names of its addresses, and MASTER_NAME
               ├─► worker     may register, hold leases, complete
               └─► operator   may ask for the status, and cancel

The authority is made for one run and knows no other: its certificates are worth nothing anywhere
else, and end with it. Its key stays in the memory of whoever made it, or in a file that only the
user can read (`cluster.join`). Keys are on the curve P-256, as all TLS libraries have it.

Clients ask for MASTER_NAME, whatever address they dial: the authority vouches for one master, and
that one may be behind any address, a forwarded port too. The role of a client stands in its
certificate as a name of its own: a URI, `pymr://<run>/<role>`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MASTER_NAME: Final = "master.pymr.internal"
# A run that takes longer is resumed with new certificates. They are worth nothing after the run
# anyway: its authority and its tokens end with it.
VALID_S: Final = 7 * 86_400.0
SKEW_S: Final = 3600.0 + 300.0  # a machine whose clock is an hour behind accepts them at once

Role = Literal["worker", "operator"]
_COMMON_NAME_CHARACTERS_MAX: Final = 64  # X.520, ub-common-name


class Identity(msgspec.Struct, frozen=True):
    """A certificate and its key, both PEM. The key is in no repr."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Identity(…)"


class Authority:
    """Vouches for the peers of one run."""

    def __init__(self, run: str, identity: Identity) -> None:
        """Take the authority on that `new_authority` has made."""
        self.run = run
        self.identity = identity
        self._certificate = x509.load_pem_x509_certificate(identity.certificate)
        key = serialization.load_pem_private_key(identity.key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def __repr__(self) -> str:
        return f"Authority({self.run!r})"

    @property
    def certificate(self) -> bytes:
        """What peers trust, PEM."""
        return self.identity.certificate

    def for_master(self, hosts: Iterable[str], *, now: datetime | None = None) -> Identity:
        """Return what a master serves with; `hosts` are names and addresses that it has."""
        names: list[x509.GeneralName] = [x509.DNSName(MASTER_NAME)]
        for host in dict.fromkeys(("localhost", "127.0.0.1", *hosts)):
            name = _general_name(host)
            if name is not None:
                names.append(name)
        return self._issue("master", names, ExtendedKeyUsageOID.SERVER_AUTH, now)

    def for_client(self, role: Role, *, now: datetime | None = None) -> Identity:
        """Return what a worker or an operator shows to the master."""
        name = x509.UniformResourceIdentifier(role_name(self.run, role))
        return self._issue(role, [name], ExtendedKeyUsageOID.CLIENT_AUTH, now)

    def _issue(
        self,
        role: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        now: datetime | None,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_subject(role, self.run), self._certificate.subject, key, now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        return _identity(builder.sign(self._key, hashes.SHA256()), key)


def new_authority(run: str, *, now: datetime | None = None) -> Authority:
    """Return an authority for a run, with a key that nobody else has."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("authority", run)
    builder = (
        _builder(subject, subject, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(run, _identity(builder.sign(key, hashes.SHA256()), key))


def role_name(run: str, role: Role) -> str:
    """Return the name by which a certificate says whose it is."""
    return f"pymr://{run}/{role}"


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime | None,
) -> x509.CertificateBuilder:
    now = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(seconds=SKEW_S))
        .not_valid_after(now + timedelta(seconds=VALID_S))
    )


def _subject(role: str, run: str) -> x509.Name:
    name = f"pymr {role} {run}"[:_COMMON_NAME_CHARACTERS_MAX]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName | None:
    """Return a host as a certificate has it; None for one that none can have."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode())
    except (UnicodeError, ValueError):
        return None  # MASTER_NAME is what clients ask for.


def _identity(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
