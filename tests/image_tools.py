"""Builders and loaders of images for tests: scripts on PATH that write down what they are told.

They keep to the command contracts of docker, podman, buildah, kind, minikube and k3d as far as
they are used, and know which images "are there". None of them does any work.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

# The kernel takes no interpreter with a space in its path: the shell does, and Python skips that.
SCRIPT = """\
#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, sys
name, told, state = os.path.basename(sys.argv[0]), sys.argv[1:], {state!r}
files = []
if told[:1] in (["build"], ["bud"]):
    files = sorted(os.path.relpath(os.path.join(at, f), told[-1])
                   for at, _, found in os.walk(told[-1]) for f in found)
if os.path.exists(os.path.join(state, "hangs", name + "-" + told[0])):
    import signal
    os.rename(os.path.join(state, "hangs", name + "-" + told[0]), os.path.join(state, "hung"))
    signal.pause()
def path(*names):
    return os.path.join(state, *names)
with open(path("calls"), "a") as calls:
    calls.write(json.dumps([name, told, files]) + "\\n")
if os.path.exists(path("fails", name + "-" + told[0])):
    sys.stderr.write(open(path("fails", name + "-" + told[0])).read())
    sys.exit(1)
def whole(image):
    host = image.partition("/")[0]
    full = image if "/" in image and ("." in host or ":" in host) else "docker.io/library/" + image
    return full.replace("/", "+")
def have(image):
    open(path("images", whole(image)), "w").close()
if told[0] == "version":
    print("linux/amd64" if name == "podman" else "amd64")
elif told[0] == "inspect" or told[:2] == ["image", "inspect"]:
    if not os.path.exists(path("images", whole(told[-1]))):
        sys.exit("no such image")
    asked = told[told.index("--format") + 1]
    digests = [told[-1].rpartition(":")[0] + "@sha256:" + "d" * 64]
    print({{"{{{{.Size}}}}": "1000", "{{{{json .RepoDigests}}}}": json.dumps(digests)}}.get(asked, "sha256:" + "1" * 64))
elif told[0] in ("build", "bud"):
    print("STEP 1/9")
    have(told[told.index("--tag") + 1])
elif told[0] == "tag":
    have(told[2])
elif "--digestfile" in told:
    open(told[told.index("--digestfile") + 1], "w").write("sha256:" + "d" * 64)
"""


class ImageTools:
    """Programs in a folder of their own, which a test makes its PATH."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.bin = folder / "bin"
        self.state = folder / "state"
        self.bin.mkdir()
        (self.state / "images").mkdir(parents=True)
        (self.state / "fails").mkdir()
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Put a program on PATH."""
        program = self.bin / name
        program.write_text(SCRIPT.format(python=sys.executable, state=str(self.state)))
        program.chmod(0o755)

    def fail(self, name: str, command: str, words: str) -> None:
        """Have a command of a program fail with these words."""
        (self.state / "fails" / f"{name}-{command}").write_text(words)

    def hang(self, name: str, command: str) -> None:
        """Have a command of a program go on for ever."""
        (self.state / "hangs").mkdir(exist_ok=True)
        (self.state / "hangs" / f"{name}-{command}").touch()

    def wait_hung(self) -> None:
        """Return once such a command runs."""
        deadline, pause = time.monotonic() + 30, threading.Event()
        while not (self.state / "hung").exists():
            assert time.monotonic() < deadline, "nothing hangs"
            pause.wait(0.01)

    def have(self, image: str) -> None:
        """Have an image there."""
        (self.state / "images" / f"docker.io+library+{image}").touch()

    def calls(self, *commands: str) -> list[list[str]]:
        """Return what programs were told, with their names; only these first words, if given."""
        return [
            [name, *told] for name, told, _ in self._all() if not commands or told[0] in commands
        ]

    def built(self) -> list[list[str]]:
        """Return the files of each context that was built."""
        return [files for _, told, files in self._all() if told[0] in {"build", "bud"}]

    def _all(self) -> list[tuple[str, list[str], list[str]]]:
        calls = self.state / "calls"
        return (
            [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        )
