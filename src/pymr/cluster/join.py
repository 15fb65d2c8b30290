"""The join file: all that somebody needs to take part in a run, and its only secret.

JSON, mode 0600, made anew (never over another file, never through a link). There are three kinds:

    worker     what `pymr worker --join-file` reads on other machines: copied there by the user
    operator   what `pymr status` and `pymr cancel` use; stays with who started the run
    master     what another life of the master needs to be trusted by the workers of this one

A file that others may read is refused: its secrets are none any more. One that root has given to
the group of this process alone, to read, is private as well: so does Kubernetes mount a Secret.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import Annotated, Final, Literal, NoReturn

import msgspec

from pymr.cluster.certificate import Authority, Identity, Role
from pymr.errors import ConfigError
from pymr.text_form import show_path

VERSION: Final = 1
JOIN_BYTES_MAX: Final = 1 << 20  # some 3 KB in fact
_MODE: Final = 0o600
_GIVEN_MODE: Final = 0o440
_TOKEN_BYTES: Final = 32  # 256 bits

JoinRole = Literal["worker", "operator", "master"]


class Tokens(msgspec.Struct, frozen=True):
    """The secret of each role of a run; in no repr."""

    worker: str
    operator: str

    def __repr__(self) -> str:
        return "Tokens(…)"

    def of(self, role: Role) -> str:
        """Return the token of a role."""
        return self.worker if role == "worker" else self.operator


class JoinFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="client"):
    """What a worker or an operator of a run has. PEM and token are in no repr."""

    v: int = VERSION
    role: Role
    run: str
    # HOST:PORT of the master, tried in this order.
    addresses: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    authority: str  # PEM of the certificate that its peers trust
    certificate: str
    key: str
    token: str

    def __repr__(self) -> str:
        return f"JoinFile({self.role!r}, {self.run!r}, {', '.join(self.addresses)}, …)"

    @property
    def identity(self) -> Identity:
        """What it shows to the master."""
        return Identity(self.certificate.encode(), self.key.encode())


class MasterFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="master"):
    """What a master of a run has. PEM and tokens are in no repr."""

    v: int = VERSION
    run: str
    authority: str
    authority_key: str
    tokens: Tokens

    def __repr__(self) -> str:
        return f"MasterFile({self.run!r}, …)"

    def open(self) -> Authority:
        """Return the authority of the run."""
        return Authority(self.run, Identity(self.authority.encode(), self.authority_key.encode()))


def new_tokens() -> Tokens:
    """Return tokens that nobody can guess."""
    return Tokens(secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_urlsafe(_TOKEN_BYTES))


def join_file(
    authority: Authority, tokens: Tokens, role: Role, addresses: tuple[str, ...]
) -> JoinFile:
    """Return what somebody with that role needs, with a certificate of its own."""
    identity = authority.for_client(role)
    return JoinFile(
        role=role,
        run=authority.run,
        addresses=addresses,
        authority=authority.certificate.decode(),
        certificate=identity.certificate.decode(),
        key=identity.key.decode(),
        token=tokens.of(role),
    )


def master_file(authority: Authority, tokens: Tokens) -> MasterFile:
    """Return what another master of the run needs."""
    return MasterFile(
        run=authority.run,
        authority=authority.certificate.decode(),
        authority_key=authority.identity.key.decode(),
        tokens=tokens,
    )


def write_join_file(path: str, join: JoinFile | MasterFile) -> None:
    """Write a new file that only its owner can read; durable when this returns.

    Raises:
        ConfigError: `path` exists, if only as a link, or cannot be written.
    """
    body = msgspec.json.format(msgspec.json.encode(join), indent=2) + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _MODE)
    except FileExistsError as error:
        raise ConfigError(
            f"join file `{show_path(path)}` exists, and is not replaced",
            hint=f"rm {show_path(path)}",
        ) from error
    except OSError as error:
        raise _failed("write", path, error) from error
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)  # Whatever the umask says.
            file.write(body)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        os.unlink(path)
        raise _failed("write", path, error) from error


def read_join_file(path: str, role: Role) -> JoinFile:
    """Return the file of a worker or of an operator.

    Raises:
        ConfigError: there is none, others may read it, or it is another kind of file.
    """
    join = _read(path)
    if not isinstance(join, JoinFile) or join.role != role:
        kind = join.role if isinstance(join, JoinFile) else "master"
        article = "an" if role == "operator" else "a"
        raise ConfigError(
            f"`{show_path(path)}` is for the {kind} of a run, expected {article} {role}'s"
        )
    return join


def read_master_file(path: str) -> MasterFile:
    """Return the file of a master.

    Raises:
        ConfigError: there is none, others may read it, or it is another kind of file.
    """
    join = _read(path)
    if not isinstance(join, MasterFile):
        raise ConfigError(
            f"`{show_path(path)}` is for the {join.role} of a run, expected a master's"
        )
    return join


class _Version(msgspec.Struct):
    v: int


def _read(path: str) -> JoinFile | MasterFile:
    body = _read_private(path)
    try:
        version = msgspec.json.decode(body, type=_Version).v
        if version > VERSION:
            raise ConfigError(
                f"join file `{show_path(path)}` has version {version}, expected {VERSION} at most",
                hint="pip install --upgrade 'pymr[cluster]'",
            )
        return msgspec.json.decode(body, type=JoinFile | MasterFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # The error says where, not what: nothing of the file is shown.
        raise _no_join_file(path, str(error)) from None


def _read_private(path: str) -> bytes:
    try:
        # A pipe would make this wait for a writer. A link is followed: what counts is its target.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ConfigError(
            f"cannot read join file `{show_path(path)}`: there is none",
            hint="copy here what `pymr start --on hosts` writes as soon as its master listens",
        ) from error
    except OSError as error:
        raise _failed("read", path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"join file `{show_path(path)}` is not a regular file")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_given(status):
            _refuse_mode(path, status.st_mode)
        if status.st_size > JOIN_BYTES_MAX:
            raise _no_join_file(path, f"{status.st_size} bytes")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _is_given(status: os.stat_result) -> bool:
    """Say whether a file is root's, and lets the group of this process read it, and nobody else."""
    is_read_only = stat.S_IMODE(status.st_mode) == _GIVEN_MODE
    return status.st_uid == 0 and status.st_gid == os.getegid() and is_read_only


def _no_join_file(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"`{show_path(path)}` is no join file: {reason}",
        hint="copy it again from the machine of the master",
    )


def _failed(verb: str, path: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot {verb} join file `{show_path(path)}`: {error.strerror}")


def _refuse_mode(path: str, mode: int) -> NoReturn:
    raise ConfigError(
        f"join file `{show_path(path)}` is not private: its mode is {stat.S_IMODE(mode):04o},"
        f" expected {_MODE:04o}; others may know its secrets",
        hint=f"chmod 600 {show_path(path)}",
    )
