"""The protocol: what would break a peer of the last release, and what is made of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

ROOT = Path(__file__).parents[2]
HEAD = 'syntax = "proto3"; package p.v1;'
OLD = f"""{HEAD}
enum Kind {{ KIND_UNSPECIFIED = 0; KIND_MAP = 1; }}
message Item {{
  string key = 1;
  oneof form {{ bytes json = 2; Other other = 3; }}
  repeated uint32 tasks = 4;
  reserved 9;
}}
message Other {{ uint64 size = 1; }}
service Control {{ rpc Register(Item) returns (Other); rpc Lease(stream Item) returns (stream Other); }}
"""


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Return `proto/generate.py`."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(generate: ModuleType, folder: Path, text: str) -> FileDescriptorProto:
    """Return what a protocol describes."""
    (folder / "control.proto").write_text(text)
    return generate.compile_proto(folder / "control.proto", folder)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("string key = 1;", "", "Item.key = 1 is gone: reserve its number and its name"),
        ("string key = 1;", "reserved 1;", "Item.key = 1 is gone: reserve"),
        ("string key = 1;", "string name = 1;", "Item.key = 1 was ('key'"),
        ("string key = 1;", "bytes key = 1;", "'TYPE_STRING'"),
        ("string key = 1;", "string key = 7;", "Item.key = 1 is gone"),
        ("repeated uint32", "uint32", "LABEL_REPEATED"),
        ("Other other = 3; }", "} Other other = 3;", "Item.other = 3 was"),
        ("reserved 9;", "string again = 9;", "Item: number 9 is used again"),
        ("KIND_MAP = 1", "KIND_REDUCE = 1", "Kind: KIND_MAP = 1 is KIND_REDUCE"),
        ("KIND_MAP = 1;", "", "Kind: KIND_MAP = 1 is gone"),
        ("rpc Register(Item) returns (Other);", "", "call Control.Register is gone"),
        ("(stream Item) returns", "(Item) returns", "call Control.Lease is gone, or takes"),
        ("p.v1", "p.v2", "package p.v1 has become p.v2"),
    ],
)
def test_what_breaks_a_peer_is_told(
    generate: ModuleType, tmp_path: Path, old: str, new: str, told: str
) -> None:
    """One line each, with the name of what has changed."""
    assert old in OLD
    before = described(generate, tmp_path, OLD)
    after = described(generate, tmp_path, OLD.replace(old, new))

    assert any(told in problem for problem in generate.breaks(before, after))


def test_a_message_that_is_gone_is_told(generate: ModuleType, tmp_path: Path) -> None:
    """Its name may still be on the way."""
    before = described(generate, tmp_path, OLD)
    after = described(generate, tmp_path, f"{HEAD} message Other {{ uint64 size = 1; }}")

    problems = list(generate.breaks(before, after))

    assert "message Item is gone" in problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string key = 1;", "string key = 1; string more = 5;"),
        ("string key = 1;", 'reserved 1; reserved "key";'),
        ("KIND_MAP = 1;", "KIND_MAP = 1; KIND_REDUCE = 2;"),
        ("Other other = 3; }", "Other other = 3; string stored = 6; }"),
        ("service Control {", "message New {} service Control { rpc Stop(New) returns (New);"),
    ],
)
def test_what_is_added_breaks_nobody(
    generate: ModuleType, tmp_path: Path, old: str, new: str
) -> None:
    """Nor what is given up in good order."""
    before = described(generate, tmp_path, OLD)
    after = described(generate, tmp_path, OLD.replace(old, new))

    assert list(generate.breaks(before, after)) == []


def test_the_generated_code_is_that_of_the_protocol(generate: ModuleType, tmp_path: Path) -> None:
    """And a comparison finds it out if it is not."""
    generate.compile_proto(generate.SOURCE, tmp_path)
    assert list(generate.stale(tmp_path)) == []

    (tmp_path / "control_pb2.py").write_text("# another")

    assert list(generate.stale(tmp_path)) == [
        "src/pymr/cluster/_gen/control_pb2.py is not made of control.proto: make proto"
    ]


def test_names_of_the_protocol_follow_the_glossary() -> None:
    """As those of the code do."""
    import re

    rows = re.findall(r"^\|.*\|.*\|(.*)\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    forbidden = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    text = re.sub(r"//.*", "", (ROOT / "proto/control.proto").read_text())
    words = {
        word.lower()
        for name in re.findall(r"\w+", text)
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    }

    assert words & forbidden == set()
