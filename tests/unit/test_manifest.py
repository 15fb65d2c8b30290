"""The manifest: one form, sealed by a digest, readable by older and newer versions."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pymr.core.spec import TextRules
from pymr.errors import CorruptDataError, IncompleteError, RunNotFoundError
from pymr.names import MANIFEST
from pymr.store.local import LocalStore
from pymr.task.manifest import (
    Columns,
    Manifest,
    ManifestPart,
    ManifestTask,
    ManifestWorker,
    Settings,
    Versions,
    decode_manifest,
    encode_manifest,
    manifest_input,
    read_manifest,
)


def manifest(**changes: Any) -> Manifest:
    fields = {
        "run": "0192-run",
        "name": "wc-7f3a",
        "created": 1_700_000_000.25,
        "finished": 1_700_000_060.5,
        "versions": Versions(pymr="0.1.0", python="3.11.7"),
        "worker": ManifestWorker(file="worker.py", digest="ab" * 32, files=("worker.py",)),
        "params": {"min": "3"},
        "settings": Settings(
            input_format="text",
            output_format="tsv",
            reducers=1,
            reducer="function",
            combiner="sum",
            text=TextRules(encoding="latin-1"),
        ),
        "inputs": (manifest_input(b"logs/\xff\n.txt", size=10, digest="0f", records=2),),
        "parts": (
            ManifestPart(
                name="part-00000.tsv", key="_pymr/r/reduce/0", records=3, bytes=9, sha256="cd" * 32
            ),
            ManifestPart(
                name="part-00001.tsv", key="_pymr/r/reduce/1", records=4, bytes=8, sha256="ef" * 32
            ),
        ),
        "columns": Columns(key="str", value=None, value_mixed=True),
        "counters": {"bad": 1},
        "ledger": {"fingerprint": 2**128 - 1},
        "tasks": (ManifestTask(task="map-0000", attempt=2, code_digest="ab" * 32),),
        "warnings": ("one",),
    }
    return Manifest(**(fields | changes))


def reseal(data: dict[str, Any]) -> bytes:
    """Return `data` as a writer in another language would seal it."""
    body = json.dumps(data | {"digest": ""}, indent=2).encode() + b"\n"
    digest = hashlib.sha256(body).hexdigest().encode()
    return body.replace(b'"digest": ""', b'"digest": "%b"' % digest)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    """Encoding and decoding keep every field, 128-bit sums too, and fill the digest in."""
    written = manifest()

    read = decode_manifest(encode_manifest(written))

    assert msgspec.structs.replace(read, digest="") == written
    assert encode_manifest(read) == encode_manifest(written)
    assert (read.records, read.bytes, read.output_format) == (7, 17, "tsv")


def test_the_file_is_json_for_people_that_ends_with_its_seal() -> None:
    """Indented, one last newline, the digest as last field, of the bytes with it empty."""
    body = encode_manifest(manifest())

    lines = body.decode().split("\n")
    assert lines[0] == "{"
    assert lines[1] == '  "v": 1,'
    assert lines[-3].startswith('  "digest": "')
    assert lines[-2:] == ["}", ""]
    digest = json.loads(body)["digest"]
    assert hashlib.sha256(body.replace(digest.encode(), b"")).hexdigest() == digest
    assert reseal(json.loads(body)) == body


def test_every_changed_byte_is_seen() -> None:
    """No byte of the file can be changed, cut or added without an error."""
    body = encode_manifest(manifest())

    broken = [body[:i] + bytes([body[i] ^ 1]) + body[i + 1 :] for i in range(len(body))]
    broken += [body[:i] for i in range(0, len(body), 7)]
    broken += [body + b"\n", b" " + body, body[:-3] + b"}\n\n"]
    for other in broken:
        with pytest.raises((CorruptDataError, IncompleteError)):
            decode_manifest(other)


def test_fields_of_a_later_version_are_passed_over_but_sealed() -> None:
    """Fields are only ever added: an older reader checks the seal over what it does not know."""
    data = json.loads(encode_manifest(manifest()))
    body = reseal({"extra": {"new": 1}} | data)

    assert decode_manifest(body).run == "0192-run"
    with pytest.raises(CorruptDataError, match="its digest is"):
        decode_manifest(body.replace(b'"new": 1', b'"new": 2'))


def test_an_unknown_version_is_not_guessed_at() -> None:
    """A manifest of another major form is refused with both numbers (exit 10)."""
    body = reseal(json.loads(encode_manifest(manifest())) | {"v": 2, "parts": "elsewhere"})

    with pytest.raises(IncompleteError, match="has version 2, expected 1 at most") as caught:
        decode_manifest(body)

    assert caught.value.exit_code == 10


@pytest.mark.parametrize(
    ("path", "text", "is_exact"),
    [
        (b"logs/a.txt", "logs/a.txt", True),
        ("é/日本".encode(), "é/日本", True),
        (b"a\xff.txt", "a\\xff.txt", False),
        (b"a\nb", "a\\nb", False),
        (b"a\x1b[31m", "a\\x1b[31m", False),
        (b"a\\xff.txt", "a\\\\xff.txt", False),
    ],
)
def test_the_name_of_an_input_is_printable_and_exact(
    path: bytes, text: str, *, is_exact: bool
) -> None:
    """Every file name can be read by people, and got back byte for byte (B29)."""
    entry = manifest_input(path, size=1, digest=None, records=0)

    assert entry.path == text
    assert (entry.path_base64 is None) is is_exact
    exact = base64.b64decode(entry.path_base64) if entry.path_base64 else os.fsencode(entry.path)
    assert exact == path


def test_an_output_without_a_manifest_has_no_result(tmp_path: Path) -> None:
    """The error names the place and is the one of a run that is not there (exit 4)."""
    with pytest.raises(RunNotFoundError) as caught:
        read_manifest(LocalStore(str(tmp_path)))

    assert str(tmp_path) in caught.value.message
    assert caught.value.exit_code == 4


def test_a_corrupt_manifest_is_named(tmp_path: Path) -> None:
    """A manifest that was changed on the disk is an integrity error that says where."""
    store = LocalStore(str(tmp_path))
    store.put_if_absent(MANIFEST, encode_manifest(manifest()).replace(b"wc-7f3a", b"wc-7f3b"))

    with pytest.raises(CorruptDataError, match=r"its digest is `[0-9a-f]{64}`, expected") as caught:
        read_manifest(store)

    assert caught.value.exit_code == 7
    assert caught.value.fields["path"] == f"{tmp_path}/{MANIFEST}"
