"""Docker, Podman and Buildah: what each is called with.

Images are named as Docker names them: `docker.io/library/…`, where another tool would put
`localhost/` in front. So a pod finds an image under one name, whoever has built it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import deque
from typing import Final

from pymr.errors import ClusterError
from pymr.kubernetes.images.build_failure import build_failure, daemon_failure, no_builder
from pymr.kubernetes.images.context import Context
from pymr.kubernetes.images.reference import full_name, is_on_this_machine, same_repository
from pymr.kubernetes.images.tool import Say, ask, must, stream
from pymr.kubernetes.images.wheel import own_architecture

BUILDERS: Final = ("docker", "podman", "buildah")  # in the order in which they are looked for
BUILD_LINES_MAX: Final = 400  # of a build's output that are kept, for the message if it fails
# Values that may hold a password: they are passed on by name, and stay out of the image.
PASSED_ON: Final = ("PIP_INDEX_URL", "GOPROXY")


class Builder:
    """One of the three, which answers. `architecture` is what it builds for by itself."""

    def __init__(self, name: str, program: str, architecture: str) -> None:
        self.name = name
        self.program = program
        self.architecture = architecture

    def id_of(self, image: str) -> str | None:
        """Return the digest of an image's content; None: it is not here."""
        how = {
            "docker": ("image", "inspect", "--format", "{{.Id}}"),
            "podman": ("image", "inspect", "--format", "{{.Id}}"),
            "buildah": ("inspect", "--type", "image", "--format", "{{.FromImageID}}"),
        }
        answer = ask([self.program, *how[self.name], full_name(image)])
        return answer.output.removeprefix("sha256:") if answer.code == 0 else None

    def size_of(self, image: str) -> int | None:
        """Return the bytes of an image with all its layers; None: the builder does not say it."""
        if self.name == "buildah":
            return None
        command = [self.program, "image", "inspect", "--format", "{{.Size}}", full_name(image)]
        answer = ask(command)
        return int(answer.output) if answer.code == 0 and answer.output.isdigit() else None

    def build(self, context: Context, say: Say) -> None:
        """Build the image of a context under its name; `say` is told each line of output.

        Raises:
            ClusterError: why it cannot be built.
        """
        lines: deque[str] = deque(maxlen=BUILD_LINES_MAX)
        try:
            with tempfile.TemporaryDirectory(prefix="pymr-image-") as folder:
                context.write(folder)
                code = stream(self._build_command(context, folder), lines, say)
        except OSError as error:
            raise ClusterError(
                f"the files of the image cannot be written: {error.strerror}",
                hint=f"df {tempfile.gettempdir()}   or   TMPDIR=FOLDER pymr …",
            ) from error
        if code != 0:
            raise build_failure(self.name, context, list(lines))
        if self.id_of(context.image) is None:
            raise ClusterError(
                f"{self.name} has built `{context.image}`, but does not keep it here",
                hint="docker buildx use default",
            )

    def tag(self, image: str, other: str) -> None:
        """Give an image another name, too.

        Raises:
            ClusterError: there is no such image.
        """
        must([self.program, "tag", full_name(image), full_name(other)], f"name `{image}`")

    def save(self, image: str, path: str) -> None:
        """Write an image into a new archive, as `docker save` does.

        Raises:
            ClusterError: the disk is full, for instance.
        """
        name = full_name(image)
        how = {
            "docker": ("save", "--output", path, name),
            "podman": ("save", "--quiet", "--format", "docker-archive", "--output", path, name),
            "buildah": ("push", "--quiet", name, f"docker-archive:{path}:{name}"),
        }
        must([self.program, *how[self.name]], f"save `{image}`")

    def push(self, image: str) -> str:
        """Bring an image into the registry of its name, and return its reference by digest.

        Raises:
            ClusterError: the registry refuses, or cannot be reached.
        """
        repository = image.rpartition(":")[0]
        doing, hint = f"push `{image}`", f"{self.name} login {repository.partition('/')[0]}"
        if self.name == "docker":
            must([self.program, "push", "--quiet", image], doing, hint=hint)
            asked = [self.program, "image", "inspect", "--format", "{{json .RepoDigests}}", image]
            digests: list[str] = json.loads(ask(asked).output or "null") or []
            mine = [each for each in digests if same_repository(each, repository)]
            return f"{repository}@{mine[-1].partition('@')[2]}" if mine else image
        with tempfile.TemporaryDirectory(prefix="pymr-image-") as folder:
            path = os.path.join(folder, "digest")
            plain = ["--tls-verify=false"] if is_on_this_machine(image) else []
            command = [self.program, "push", "--quiet", "--digestfile", path, *plain, image]
            must(command, doing, hint=hint)
            with open(path, encoding="ascii") as file:
                return f"{repository}@{file.read().strip()}"

    def _build_command(self, context: Context, folder: str) -> list[str]:
        command = [self.program, "bud" if self.name == "buildah" else "build"]
        if self.name != "docker":  # The same content is the same image.
            command += ["--timestamp", "0"]
        if context.architecture != self.architecture:
            command += ["--platform", f"linux/{context.architecture}"]
        for name, value in sorted(context.arguments.items()):
            command += ["--build-arg", f"{name}={value}"]
        for name in PASSED_ON:
            command += ["--build-arg", name] if os.environ.get(name) else []
        for name, value in sorted(context.labels.items()):
            command += ["--label", f"{name}={value}"]
        dockerfile = os.path.join(folder, context.dockerfile)
        return [*command, "--file", dockerfile, "--tag", full_name(context.image), folder]


def find_builder(wanted: str | None) -> Builder:
    """Return the builder of that name; None: the first that is on PATH.

    Raises:
        ClusterError: it is not there, or has no daemon that answers.
    """
    for name in BUILDERS if wanted is None else (wanted,):
        program = shutil.which(name)
        if program is not None:
            return Builder(name, program, _architecture(name, program))
    raise no_builder(wanted)


def _architecture(name: str, program: str) -> str:
    """Return what a builder builds for; asking for it tells whether it works."""
    how = {
        "docker": ("version", "--format", "{{.Server.Arch}}"),
        "podman": ("version", "--format", "{{.Client.OsArch}}"),
        "buildah": ("version",),
    }
    answer = ask([program, *how[name]])
    if answer.code != 0:
        others = [other for other in BUILDERS if other != name and shutil.which(other)]
        raise daemon_failure(name, answer.words, others)
    return own_architecture() if name == "buildah" else answer.output.rpartition("/")[2]
