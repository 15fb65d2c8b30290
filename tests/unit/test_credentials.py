"""How a store is reached: settings, the usual variables, and the files of other tools."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from pymr.config import Settings, resolve
from pymr.errors import ConfigError
from pymr.store.access import Access, Address, is_address, parse_address
from pymr.store.credentials import access_of, renewed, write_credentials

KEYS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "canary-secret"}
FILE = """\
[default]
aws_access_key_id = FILE
aws_secret_access_key = of the file

[work]
aws_access_key_id = WORK
aws_secret_access_key = of%work
aws_session_token = token
"""
CONFIG = """\
[default]
region = eu-west-1
[profile work]
region = eu-west-2
services = mine
[services mine]
s3 =
  endpoint_url = http://10.0.0.9:9000
  addressing_style = path
[profile indirect]
credential_process = /bin/secrets
[profile only-here]
aws_access_key_id = ONLY
aws_secret_access_key = here
endpoint_url = http://10.0.0.8
"""


def settings(**flags: object) -> Settings:
    return resolve(flags, {}, "/nowhere", "/nowhere").settings


@pytest.fixture
def home(tmp_path: Path) -> str:
    """Give a home with both files."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(FILE)
    (tmp_path / ".aws/config").write_text(CONFIG)
    return str(tmp_path)


def test_without_anything_the_library_looks_for_itself() -> None:
    """No variable and no file: nothing is said, and what a cloud tells its machines holds."""
    assert access_of(settings(), {}, "/nowhere") == Access()


def test_the_usual_variables_give_keys_endpoint_and_region() -> None:
    """As every S3 client reads them; that for S3 alone goes before the one for all services."""
    environ = {
        **KEYS,
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://all:1",
        "AWS_ENDPOINT_URL_S3": "http://s3:2",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REQUEST_PAYER": "requester",
    }

    assert access_of(settings(), environ, "/nowhere") == Access(
        endpoint="http://s3:2",
        region="eu-central-1",
        access_key_id="AK",
        secret_access_key="canary-secret",
        session_token="token",
        is_requester_paying=True,
    )


def test_settings_go_before_variables_and_variables_before_files(home: str) -> None:
    """A flag or pymr.toml wins; then the variable; then the file."""
    environ = {**KEYS, "AWS_ENDPOINT_URL": "http://variable:1", "AWS_REGION": "eu-north-1"}
    given = settings(endpoint="http://flag:1", region="eu-south-1", storage_wait="5s")

    by_flag = access_of(given, environ, home)
    by_variable = access_of(settings(), environ, home)
    by_file = access_of(settings(), {}, home)

    assert (by_flag.endpoint, by_flag.region) == ("http://flag:1", "eu-south-1")
    assert by_flag.storage_wait_s == 5
    assert (by_variable.endpoint, by_variable.region) == ("http://variable:1", "eu-north-1")
    assert (by_variable.access_key_id, by_variable.credentials_file) == ("AK", None)
    assert (by_file.endpoint, by_file.region) == (None, "eu-west-1")
    assert (by_file.access_key_id, by_file.secret_access_key) == ("FILE", "of the file")


def test_a_profile_is_read_from_both_files(home: str) -> None:
    """AWS_PROFILE names a section of each, with the endpoint that its services have."""
    access = access_of(settings(), {"AWS_PROFILE": "work"}, home)

    assert access == Access(
        endpoint="http://10.0.0.9:9000",
        region="eu-west-2",
        access_key_id="WORK",
        secret_access_key="of%work",
        session_token="token",
        credentials_file=f"{home}/.aws/credentials",
        credentials_profile="work",
    )
    only = access_of(settings(), {"AWS_PROFILE": "only-here"}, home)
    assert (only.access_key_id, only.endpoint) == ("ONLY", "http://10.0.0.8")
    assert renewed(only) == only


def test_other_places_of_the_files_are_respected(home: str, tmp_path: Path) -> None:
    """AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name them, `~` included."""
    (tmp_path / "mine").write_text("[default]\naws_access_key_id=M\naws_secret_access_key=N\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": "~/mine", "AWS_CONFIG_FILE": "/none"}

    access = access_of(settings(), environ, home)

    assert (access.access_key_id, access.secret_access_key) == ("M", "N")
    assert (access.region, access.credentials_file) == (None, f"{home}/mine")


def test_keys_that_the_library_has_made_for_it_go_before_files(home: str) -> None:
    """A token of a pod is exchanged by the library, and again before it expires."""
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:x"}

    assert access_of(settings(), environ, home) == Access(region="eu-west-1")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "AK"}, r"^AWS_SECRET_ACCESS_KEY is not set \(environment\)"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "^AWS_ACCESS_KEY_ID is not set"),
        ({"AWS_PROFILE": "none"}, r"^profile `none` \(AWS_PROFILE\) has no keys"),
        ({"AWS_PROFILE": "indirect"}, "has `credential_process`, expected keys"),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "^AWS_ENDPOINT_URL is `minio:9000`, expected the URL"),
        ({"AWS_REGION": "a b"}, "^AWS_REGION is `a b`, expected the name of a region"),
        ({"AWS_CA_BUNDLE": "/none"}, "^AWS_CA_BUNDLE is `/none`, which cannot be read: No such"),
        ({"AWS_CA_BUNDLE": "/dev/null"}, "^AWS_CA_BUNDLE is `/dev/null`, which holds no certific"),
        ({"AWS_CONFIG_FILE": "/"}, "^/ cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_used_is_refused(home: str, environ: dict[str, str], message: str) -> None:
    """Exit code 2, with the variable or the file."""
    with pytest.raises(ConfigError, match=message):
        access_of(settings(), environ, home)


def test_certificates_are_taken_out_of_a_file_that_says_whose_they_are(home: str) -> None:
    """In any language: what reads them takes ASCII alone."""
    blocks = [f"-----BEGIN CERTIFICATE-----\n{n}\n-----END CERTIFICATE-----\n" for n in "AB"]
    Path(home, "ca.pem").write_text(f"# Főtanúsítvány\n{blocks[0]}# the other\n{blocks[1]}")

    access = access_of(settings(), {"AWS_CA_BUNDLE": f"{home}/ca.pem"}, home)

    assert access.root_certificates == "".join(blocks)


def test_a_broken_file_is_refused_without_its_text(home: str) -> None:
    """What stands in a file of credentials is in no message."""
    Path(home, ".aws/credentials").write_text("canary-secret\n[default\n")

    with pytest.raises(
        ConfigError, match="credentials cannot be read: it is not made of"
    ) as caught:
        access_of(settings(), {}, home)

    assert "canary" not in repr(caught.value.__cause__) + str(caught.value)


def test_keys_are_read_anew_from_their_file(home: str) -> None:
    """What rotates them writes the file; one that is gone or half written changes nothing."""
    access = access_of(settings(region="x"), {"AWS_PROFILE": "work"}, home)
    file = Path(home, ".aws/credentials")

    file.write_text(FILE.replace("WORK", "NEWER"))
    newer = renewed(access)
    assert newer == msgspec.structs.replace(access, access_key_id="NEWER")

    file.write_text("[work]\naws_access_key_id = HALF\n")
    assert renewed(newer) == newer
    file.unlink()
    assert renewed(newer) == newer
    assert renewed(Access(access_key_id="A", secret_access_key="S")).access_key_id == "A"


def test_credentials_are_handed_on_in_a_file_of_their_owner(tmp_path: Path) -> None:
    """Written again with newer keys, it renews the access of all who were given it."""
    path = str(tmp_path / "keys")
    access = Access(access_key_id="A", secret_access_key="S", session_token="T", region="r")

    given = write_credentials(path, access)
    write_credentials(path, msgspec.structs.replace(access, access_key_id="B", session_token=None))

    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert given.credentials_file == path
    assert renewed(given) == msgspec.structs.replace(given, access_key_id="B", session_token=None)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
    assert write_credentials(path, Access(region="r")) == Access(region="r")


def test_access_shows_no_secret() -> None:
    """What is printed of it by chance is the endpoint and the region."""
    access = Access(access_key_id="AK", secret_access_key="canary-secret", session_token="canary")

    assert "canary" not in repr(access) + str(access) + f"{access}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket", Address("s3", "bucket", "")),
        ("s3://bucket/", Address("s3", "bucket", "")),
        ("s3://bucket/a/b", Address("s3", "bucket", "a/b")),
        ("s3://bucket//k", Address("s3", "bucket", "/k")),
        ("s3://bucket/a?b#c%20", Address("s3", "bucket", "a?b#c%20")),
        ("gs://b-1.x/a", Address("gs", "b-1.x", "a")),
    ],
)
def test_b85_an_address_is_literal(text: str, expected: Address) -> None:
    """Nothing in it is a query, a fragment or an escape."""
    assert is_address(text)
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["s3://", "s3:///key", "s3://Bucket/x", "s3://b", "s3://a_b!/x"])
def test_b85_an_address_without_a_proper_bucket_is_refused(text: str) -> None:
    """No bucket, or one that no store has: exit code 2 before anything is asked."""
    with pytest.raises(ConfigError, match="expected"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["/a/folder", "s3:/x", "S3://bucket", "ftp://host/x", "a s3://b/c"]
)
def test_what_is_no_address_is_a_folder(text: str) -> None:
    """Schemes that no store has make no address."""
    assert not is_address(text)
