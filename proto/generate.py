"""`make proto`: writes the Python of `control.proto` into `src/pymr/cluster/_gen`.

    python proto/generate.py              write it
    python proto/generate.py --check      say what is stale, and what breaks the last release
    python proto/generate.py --release    from now on, this is what must not be broken

The last release is `control.baseline`, a FileDescriptorSet. A field, a value or a call that it has
must stay as it is: its number, its name, its type, whether it repeats, and its oneof. To give up a
field, reserve its number and its name. Until the first release there is nobody to break: remove the
baseline, and write it anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "control.proto"
BASELINE = FOLDER / "control.baseline"
GENERATED = FOLDER.parent / "src/pymr/cluster/_gen"
NAMES = ("control_pb2.py", "control_pb2.pyi")


def compile_proto(source: Path, target: Path) -> FileDescriptorProto:
    """Write Python and its types into `target`, and return what `source` describes."""
    described = target / "described"
    arguments = ["-I", str(source.parent), "--python_out", str(target), "--pyi_out", str(target)]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments, "-o", described, source],
        check=True,
    )
    return FileDescriptorSet.FromString(described.read_bytes()).file[0]


def stale(fresh: Path) -> Iterator[str]:
    """Yield what is not as `make proto` would write it."""
    for name in NAMES:
        written = GENERATED / name
        if not written.exists() or written.read_bytes() != (fresh / name).read_bytes():
            yield f"{written.relative_to(FOLDER.parent)} is not made of {SOURCE.name}: make proto"


def breaks(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[str]:
    """Yield what a peer that was built with `old` would not understand of `new`."""
    if old.package != new.package:
        yield f"package {old.package} has become {new.package}"
    messages = {each.name: each for each in new.message_type}
    for message in old.message_type:
        if message.name in messages:
            yield from _broken_fields(message, messages[message.name])
        else:
            yield f"message {message.name} is gone"
    enums = {each.name: each for each in new.enum_type}
    for enum in old.enum_type:
        values = {each.number: each.name for each in getattr(enums.get(enum.name), "value", ())}
        for value in enum.value:
            if values.get(value.number) != value.name:
                found = values.get(value.number, "gone")
                yield f"{enum.name}: {value.name} = {value.number} is {found}"
    methods = {
        f"{service.name}.{each.name}": each for service in new.service for each in service.method
    }
    for service in old.service:
        for method in service.method:
            name = f"{service.name}.{method.name}"
            if methods.get(name) != method:
                yield f"call {name} is gone, or takes or returns something else"


def _broken_fields(old: Any, new: Any) -> Iterator[str]:
    fields = {field.number: field for field in new.field}
    reserved = {number for each in new.reserved_range for number in range(each.start, each.end)}
    for field in old.field:
        name = f"{old.name}.{field.name} = {field.number}"
        found = fields.get(field.number)
        if found is None:
            if field.number not in reserved or field.name not in new.reserved_name:
                yield f"{name} is gone: reserve its number and its name"
        elif _form(old, field) != _form(new, found):
            yield f"{name} was {_form(old, field)}, and is {_form(new, found)}"
    for each in old.reserved_range:
        for number in range(each.start, each.end):
            if number in fields:
                yield f"{old.name}: number {number} is used again"


def _form(message: Any, field: Any) -> tuple[object, ...]:
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    kind = FileDescriptorProto.DESCRIPTOR.file.message_types_by_name["FieldDescriptorProto"]
    type_name = kind.enum_types_by_name["Type"].values_by_number[field.type].name
    label = kind.enum_types_by_name["Label"].values_by_number[field.label].name
    return field.name, type_name, field.type_name, label, oneof


def main() -> int:
    """Do what the flag says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--release", action="store_true")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        described = compile_proto(SOURCE, fresh)
        problems = []
        if BASELINE.exists():
            problems = list(
                breaks(FileDescriptorProto.FromString(BASELINE.read_bytes()), described)
            )
        if flags.check:
            problems += stale(fresh)
        else:
            for name in NAMES:
                (GENERATED / name).write_bytes((fresh / name).read_bytes())
        if flags.release and not problems:
            BASELINE.write_bytes(described.SerializeToString(deterministic=True))
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201 - a script
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
