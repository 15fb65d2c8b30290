"""Who this process is to S3 stores: the usual variables and files, as other tools read them.

The first of these that has keys gives them:

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
    AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, AWS_CONTAINER_CREDENTIALS_*_URI
    the profile AWS_PROFILE, or `default`, of ~/.aws/credentials, then of ~/.aws/config
    what a cloud tells its own machines

Endpoint and region of the settings go before the variables, and those before the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from pymr.config import Settings
from pymr.config.value import ENDPOINT, REGION, Kind, RefusedValueError, read_value
from pymr.errors import ConfigError
from pymr.store.access import Access

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# With one of them the library has keys made for it, and makes new ones before they expire.
_OF_THE_LIBRARY: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_CERTIFICATE: Final = r"(?s)-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----"
# Ways to keys that other tools know, and this one does not.
_INDIRECT: Final = ("credential_process", "sso_session", "sso_start_url", "source_profile")

Section = Mapping[str, str]


def access_of(settings: Settings, environ: Mapping[str, str], home: str) -> Access:
    """Return how the stores of a run are reached by the owner of `home`.

    Only for who needs a store: what it reads may be broken, and a run in folders does not care.

    Raises:
        ConfigError: a variable or file is wrong, or names keys that it does not have.
    """
    profile = environ.get("AWS_PROFILE") or "default"
    files = _files(environ, home)
    config = _section(files[1], profile if profile == "default" else f"profile {profile}")
    region = settings.region or _variable(environ, _REGIONS, REGION) or config.get("region")
    access = Access(
        endpoint=settings.endpoint
        or _variable(environ, _ENDPOINTS, ENDPOINT)
        or _file_endpoint(files[1], config),
        region=region,
        root_certificates=_certificates(environ),
        is_requester_paying=environ.get("AWS_REQUEST_PAYER", "").lower() in ("requester", "true"),
        storage_wait_s=settings.storage_wait_s,
    )
    if environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_SECRET_ACCESS_KEY"):
        keys = {name: environ.get(name.upper(), "") for name in _KEYS}
        return _with_keys(access, keys, "environment")
    if any(environ.get(name) for name in _OF_THE_LIBRARY):
        return access
    for file in files:
        section = config if file == files[1] else _section(file, profile)
        if section.get(_KEYS[0]):
            read = _with_keys(access, section, f"{file}, profile `{profile}`")
            return msgspec.structs.replace(
                read, credentials_file=os.path.abspath(file), credentials_profile=profile
            )
    if environ.get("AWS_PROFILE") or any(way in config for way in _INDIRECT):
        raise _without_keys(profile, files, config)
    return access


def renewed(access: Access) -> Access:
    """Return `access` with the keys that stand in its file now; as it is where there is none.

    A file that is missing, half written or on another machine changes nothing.
    """
    file, profile = access.credentials_file, access.credentials_profile
    if file is None:
        return access
    try:
        for name in (profile, f"profile {profile}"):
            if (section := _section(file, name)).get(_KEYS[0]):
                return _with_keys(access, section, file)
    except ConfigError:
        pass
    return access


def with_keys_of(file: str, access: Access) -> Access:
    """Return `access` with the keys that a file has, which are read anew when it changes.

    Raises:
        ConfigError: it has none.
    """
    named = msgspec.structs.replace(
        access,
        access_key_id=None,
        secret_access_key=None,
        session_token=None,
        credentials_file=os.path.abspath(file),
        credentials_profile="default",
    )
    read = renewed(named)
    if read.access_key_id is None:
        raise ConfigError(f"`{file}` has no keys of a store", file=file)
    return read


def write_credentials(path: str, access: Access) -> Access:
    """Keep the keys of `access` in the file `path`, readable by its owner alone.

    Returned is the access for processes that can read the file: written again with newer keys, it
    renews them all. Without keys nothing is written.

    Raises:
        OSError: it cannot be written.
    """
    if access.access_key_id is None:
        return access
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(credentials_text(access))
    os.replace(temporary, path)
    return msgspec.structs.replace(
        access, credentials_file=os.path.abspath(path), credentials_profile="default"
    )


def credentials_text(access: Access) -> str:
    """Return the keys of `access` as a file has them that `renewed` reads."""
    values = (access.access_key_id, access.secret_access_key, access.session_token)
    lines = [f"{name} = {value}" for name, value in zip(_KEYS, values, strict=True) if value]
    return "\n".join(("[default]", *lines, ""))


def _files(environ: Mapping[str, str], home: str) -> tuple[str, str]:
    """Return the files of credentials and of configuration, there or not."""
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    config = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    return _at_home(credentials, home), _at_home(config, home)


def _at_home(path: str, home: str) -> str:
    return f"{home}/{path[2:]}" if path.startswith("~/") else path


def _section(file: str, name: str) -> Section:
    """Return a section of a file; empty where there is no such section or file."""
    from configparser import Error, RawConfigParser

    parser = RawConfigParser(strict=False, default_section="")
    try:
        with open(file, encoding="utf-8") as lines:
            parser.read_file(lines)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, Error) as error:
        # Its text may hold a secret: only what kind of error it is.
        why = error.strerror if isinstance(error, OSError) else "it is not made of `name = value`"
        raise ConfigError(f"{file} cannot be read: {why}", file=file) from None
    return dict(parser[name]) if parser.has_section(name) else {}


def _file_endpoint(file: str, config: Section) -> str | None:
    """Return the endpoint of S3 that a profile names, itself or in its `services`."""
    if services := config.get("services"):
        nested = _section(file, f"services {services}").get("s3", "")
        for line in nested.splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "endpoint_url":
                return value.strip()
    return config.get("endpoint_url")


def _variable(environ: Mapping[str, str], names: tuple[str, ...], kind: Kind) -> str | None:
    """Return the first of the variables that is set, if it is of the kind."""
    for name in names:
        if raw := environ.get(name):
            try:
                return str(read_value(kind, raw, typed=False))
            except RefusedValueError as error:
                example = f"{name}={kind.example}"
                raise ConfigError(
                    f"{name} is {error.seen}, expected {error.expected}, such as `{example}`",
                    origin=f"environment {name}",
                ) from error
    return None


def _certificates(environ: Mapping[str, str]) -> str | None:
    """Return the certificates in the file AWS_CA_BUNDLE, without what is said between them."""
    path = environ.get("AWS_CA_BUNDLE")
    if not path:
        return None
    try:
        with open(path, encoding="latin-1") as file:
            found = re.findall(_CERTIFICATE, file.read())
    except OSError as error:
        raise ConfigError(
            f"AWS_CA_BUNDLE is `{path}`, which cannot be read: {error.strerror}"
        ) from error
    if not found:
        raise ConfigError(
            f"AWS_CA_BUNDLE is `{path}`, which holds no certificate, expected some in PEM form:"
            " `-----BEGIN CERTIFICATE-----` …"
        )
    return "\n".join([*found, ""])


def _with_keys(access: Access, keys: Mapping[str, str], origin: str) -> Access:
    for name in _KEYS[:2]:
        if not keys.get(name):
            raise ConfigError(f"{name.upper()} is not set ({origin}), expected both keys or none")
    return msgspec.structs.replace(
        access,
        access_key_id=keys[_KEYS[0]],
        secret_access_key=keys[_KEYS[1]],
        session_token=keys.get(_KEYS[2]) or None,
    )


def _without_keys(profile: str, files: tuple[str, str], config: Section) -> ConfigError:
    if way := next((way for way in _INDIRECT if way in config), None):
        return ConfigError(
            f"profile `{profile}` of {files[1]} has `{way}`, expected keys that can be read there",
            hint='eval "$(aws configure export-credentials --format env)"',
        )
    return ConfigError(
        f"profile `{profile}` (AWS_PROFILE) has no keys in {files[0]} or {files[1]}",
        hint="aws configure list-profiles",
    )
