"""Images are built and brought to nodes once for each content, by whatever tools are there."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from image_tools import ImageTools
from pymr.errors import ClusterError, ConfigError, InterruptedRunError
from pymr.kubernetes.images.context import master_context, worker_context
from pymr.kubernetes.images.ensure import ImageRequest, Supply
from pymr.kubernetes.images.load import Loader, choose_loader
from pymr.kubernetes.images.meanwhile import meanwhile
from pymr.kubernetes.images.nodes import Nodes
from pymr.kubernetes.images.packages import Packages
from pymr.kubernetes.images.reference import full_name

DIGEST = f"sha256:{'d' * 64}"
MASTER = master_context("amd64").image
WORKER = worker_context("amd64", Packages()).image


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageTools:
    """Nothing but these programs is on PATH."""
    made = ImageTools(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("GOPROXY", raising=False)
    return made


def nodes(*images: str, count: int = 1, architectures: tuple[str, ...] = ("amd64",)) -> Nodes:
    """Return nodes that all have `images`."""
    have = frozenset(map(full_name, images))
    return Nodes(images=(have,) * count, architectures=frozenset(architectures))


def supply(found: Nodes, context: str = "kind-c", **asked: str) -> tuple[str, str, list[str]]:
    """Return the images of a master and of workers, and what the user was told."""
    said: list[str] = []
    images = Supply(context, found, ImageRequest(**asked), said.append).images()
    return images.master, images.worker, said


def test_images_are_built_and_loaded_into_every_node(tools: ImageTools) -> None:
    """And pods name them by their content."""
    for name in ("docker", "kind"):
        tools.add(name)

    master, worker, said = supply(nodes())

    assert (master, worker) == (MASTER, WORKER)
    assert said == [
        f"building {MASTER}",
        f"loading {MASTER} into kind c",
        f"building {WORKER}",
        f"loading {WORKER} into kind c",
    ]
    assert tools.calls("load") == [
        ["kind", "load", "docker-image", image, "--name", "c"] for image in (MASTER, WORKER)
    ]


def test_what_nodes_have_needs_no_tool(tools: ImageTools) -> None:
    """A warm run looks for no builder, so none has to be there."""
    assert supply(nodes(MASTER, WORKER)) == (MASTER, WORKER, [])
    assert tools.calls() == []


def test_what_one_node_lacks_is_loaded_and_not_built(tools: ImageTools) -> None:
    """The builder still has it."""
    for name in ("docker", "kind"):
        tools.add(name)
    supply(nodes())
    found = Nodes(
        images=(frozenset(map(full_name, (MASTER, WORKER))), frozenset({full_name(WORKER)})),
        architectures=frozenset({"amd64"}),
    )

    *_, said = supply(found)

    assert said == [f"loading {MASTER} into kind c"]
    assert len(tools.calls("build")) == 2


def test_an_edit_of_a_worker_file_builds_nothing(tools: ImageTools) -> None:
    """Code travels through the store; only what it declares is in the image."""
    for name in ("docker", "kind"):
        tools.add(name)
    supply(nodes())

    changed = ImageRequest(packages=Packages(("numpy",), pinned=False))
    Supply("kind-c", nodes(MASTER, WORKER), changed, lambda _text: None).images()

    assert [
        files for files in tools.built() if any(name.endswith("worker.py") for name in files)
    ] == []
    assert len(tools.calls("build")) == 3


def test_a_context_has_the_listed_files_only(tools: ImageTools) -> None:
    """Nothing of the folder in which the command runs."""
    for name in ("docker", "kind"):
        tools.add(name)

    supply(nodes())

    wheel = next(name for name in tools.built()[1] if name.endswith(".whl"))
    assert tools.built()[1] == [
        "Dockerfile.worker",
        "LICENSE",
        "declared.txt",
        "src/pymr/kubernetes/images/requirements.txt",
        "wheel/install.txt",
        wheel,
    ]


@pytest.mark.parametrize(
    ("builder", "verb", "extra"),
    [("docker", "build", []), ("podman", "build", ["0"]), ("buildah", "bud", ["0"])],
)
def test_each_builder_is_told_what_it_understands(
    tools: ImageTools, builder: str, verb: str, extra: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in an index's address is passed on by name: no process list shows it."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.example.org/simple")
    for name in (builder, "kind"):
        tools.add(name)

    supply(nodes(), builder=builder)

    *told, folder = tools.calls(verb)[1]
    assert told == [
        builder,
        verb,
        *(["--timestamp", *extra] if extra else []),
        *("--build-arg", "WORKER_FILE=declared.txt"),
        *("--build-arg", "PIP_INDEX_URL"),
        *("--label", "dev.pymr.packages=pinned"),
        *("--file", f"{folder}/Dockerfile.worker"),
        *("--tag", f"docker.io/library/{WORKER}"),
    ]
    assert not Path(folder).exists()


@pytest.mark.parametrize("builder", ["podman", "buildah"])
@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ("kind", ["load", "image-archive", "PATH", "--name", "c"]),
        ("minikube", ["image", "load", "PATH", "--profile", "c"]),
        ("k3d", ["image", "import", "PATH", "--cluster", "c"]),
    ],
)
def test_images_of_other_builders_are_loaded_as_archives(
    tools: ImageTools, builder: str, loader: str, told: list[str]
) -> None:
    """The tools of local clusters look for names in Docker only."""
    for name in (builder, loader):
        tools.add(name)

    supply(nodes(), context="c", load=loader, builder=builder)

    first = next(call for call in tools.calls() if call[0] == loader)
    path = next(word for word in first if word.endswith("image.tar"))
    assert [word.replace(path, "PATH") for word in first[1:]] == told
    assert any(path in " ".join(call) for call in tools.calls("save", "push"))


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ("minikube", ["image", "load", MASTER, "--profile", "p"]),
        ("k3d", ["image", "import", MASTER, "--cluster", "p"]),
    ],
)
def test_minikube_and_k3d_take_images_by_name(
    tools: ImageTools, loader: str, told: list[str]
) -> None:
    """The profile or cluster is the one of the context."""
    for name in ("docker", loader):
        tools.add(name)
    context = "k3d-p" if loader == "k3d" else "p"
    found = Nodes(minikube_profile="p" if loader == "minikube" else None)

    supply(found, context=context)

    assert next(call for call in tools.calls() if call[0] == loader) == [loader, *told]


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_a_registry_gives_a_digest(tools: ImageTools, builder: str) -> None:
    """A pod names what was pushed, not what a tag may mean later."""
    tools.add(builder)

    master, worker, said = supply(nodes(), context="far", registry="reg.example.org/team")

    assert master == f"reg.example.org/team/pymr-master@{DIGEST}"
    assert worker == f"reg.example.org/team/pymr-worker@{DIGEST}"
    assert said[1] == f"pushing {MASTER} to reg.example.org/team"


def test_what_a_registry_has_is_built_once(tools: ImageTools) -> None:
    """Pushing what is there moves no layer, and says its digest."""
    tools.add("docker")
    first = supply(nodes(), context="far", registry="localhost:5000")

    *_, said = again = supply(nodes(), context="far", registry="localhost:5000")

    assert again[:2] == first[:2]
    assert [text.split()[0] for text in said] == ["pushing", "pushing"]
    assert len(tools.calls("build")) == 2


def test_an_image_that_is_named_is_used_by_its_content(tools: ImageTools) -> None:
    """`mr-worker:latest` is another image after the next build, so pods get a name of its own."""
    for name in ("docker", "kind"):
        tools.add(name)
    tools.have("mr-master:latest")

    images = supply(nodes(), master_image="mr-master:latest", worker_image="reg.example.org/w:1")

    assert images[:2] == (f"mr-master:{'1' * 16}", "reg.example.org/w:1")
    assert tools.calls("build") == []
    assert ["kind", "load", "docker-image", f"mr-master:{'1' * 16}", "--name", "c"] in tools.calls()


def test_an_image_that_is_not_here_is_for_the_nodes_to_find(tools: ImageTools) -> None:
    """With a builder that does not know it, and without any."""
    assert supply(nodes(), master_image="m:1", worker_image="w:2") == ("m:1", "w:2", [])
    tools.add("docker")
    assert supply(nodes(), master_image="m:1", worker_image="w:2") == ("m:1", "w:2", [])


@pytest.mark.usefixtures("tools")
def test_nodes_of_several_kinds_are_refused() -> None:
    """An image that is built here would not start on some of them."""
    with pytest.raises(ClusterError, match=r"several kinds \(amd64, arm64\)") as caught:
        supply(nodes(architectures=("arm64", "amd64")))

    assert (caught.value.hint or "").startswith("--master-image NAME --worker-image NAME")


def test_another_architecture_is_asked_for(tools: ImageTools) -> None:
    """Its image has the published wheel: what is compiled here does not run there."""
    for name in ("docker", "kind"):
        tools.add(name)

    supply(nodes(architectures=("arm64",)))

    told = tools.calls("build")[0]
    assert told[told.index("--platform") + 1] == "linux/arm64"
    assert [name for name in tools.built()[0] if name.endswith(".whl")] == []


@pytest.mark.parametrize(
    ("context", "profile", "wanted", "registry", "loader"),
    [
        ("kind-a-b", None, None, None, Loader("kind", "a-b")),
        ("k3d-c", None, None, None, Loader("k3d", "c")),
        ("minikube", None, None, None, Loader("minikube", "minikube")),
        ("mine", "prof", None, None, Loader("minikube", "prof")),
        ("docker-desktop", None, None, None, Loader("none")),
        ("kind-a", None, None, "reg.example.org/t/", Loader("registry", "reg.example.org/t")),
        ("far", None, "kind", None, Loader("kind", "far")),
        ("far", None, "none", None, Loader("none", "far")),
    ],
)
def test_the_context_says_how_images_come(
    context: str, profile: str | None, wanted: str | None, registry: str | None, loader: Loader
) -> None:
    """Unless the user does."""
    assert choose_loader(context, Nodes(minikube_profile=profile), wanted, registry) == loader


def test_a_cluster_without_a_way_for_images_is_told(tools: ImageTools) -> None:
    """Before anything is built."""
    with pytest.raises(ClusterError, match="none is named") as caught:
        supply(nodes(), context="far")

    assert (caught.value.hint or "").startswith("--registry HOST/PATH")
    assert tools.calls() == []


@pytest.mark.parametrize(
    ("wanted", "registry", "message"),
    [("registry", None, "needs a registry"), ("kind", "reg.example.org", "says another place")],
)
def test_half_a_choice_is_refused(wanted: str, registry: str | None, message: str) -> None:
    """It is a mistake of the command line, exit code 2."""
    with pytest.raises(ConfigError, match=message):
        choose_loader("kind-c", Nodes(), wanted, registry)


def test_no_build_goes_on_behind_an_error(tools: ImageTools) -> None:
    """Planning fails, or Ctrl-C comes, while images are made: the builder is ended at once."""
    for name in ("docker", "kind"):
        tools.add(name)
    tools.hang("docker", "build")

    with suppress(KeyboardInterrupt), meanwhile(lambda: supply(nodes())):
        tools.wait_hung()
        raise KeyboardInterrupt

    assert tools.calls("build") == tools.calls("load") == []


def test_whoever_waits_for_images_looks_about(tools: ImageTools) -> None:
    """Somebody may have cancelled the run: what is built for it is ended."""
    for name in ("docker", "kind"):
        tools.add(name)
    tools.hang("docker", "build")

    def look() -> None:
        raise InterruptedRunError("cancelled", signal="SIGTERM")

    with suppress(InterruptedRunError), meanwhile(lambda: supply(nodes())) as made:
        tools.wait_hung()
        made(look)

    assert tools.calls("build") == tools.calls("load") == []


def test_images_that_are_made_meanwhile_are_waited_for(tools: ImageTools) -> None:
    """What stops them is raised to who waits."""
    for name in ("docker", "kind"):
        tools.add(name)

    with meanwhile(lambda: supply(nodes())) as made:
        assert made(time.monotonic)[:2] == (MASTER, WORKER)
    with pytest.raises(ClusterError), meanwhile(lambda: supply(nodes(), builder="podman")) as made:
        made(time.monotonic)


def test_what_is_in_the_way_is_found_before_anything_is_begun(tools: ImageTools) -> None:
    """Before inputs are uploaded: no builder, or none of what loads; with images there is none."""
    request = ImageRequest()
    with pytest.raises(ClusterError, match="neither docker nor podman nor buildah"):
        Supply("kind-c", nodes(), request, print).check()
    tools.add("docker")
    with pytest.raises(ClusterError, match="`kind` is not on PATH"):
        Supply("kind-c", nodes(), request, print).check()
    tools.add("kind")

    Supply("kind-c", nodes(), request, print).check()
    Supply("kind-c", nodes(MASTER, WORKER), request, print).check()
    named = ImageRequest(master_image="m:1", worker_image="w:1", load="minikube")
    Supply("far", nodes(), named, print).check()

    assert [call[1] for call in tools.calls()] == ["version"] * 2


def test_what_was_loaded_just_now_is_not_loaded_again(tools: ImageTools) -> None:
    """Nodes list it late. Into other nodes it is: those of a cluster that was made anew."""
    for name in ("docker", "kind"):
        tools.add(name)
    first = Nodes(architectures=frozenset({"amd64"}), ids=frozenset({"a", "b"}))
    supply(first)

    assert supply(first)[2] == []
    assert len(tools.calls("load")) == 2
    other = msgspec.structs.replace(first, ids=frozenset({"a", "c"}))
    assert len(supply(other)[2]) == 2


def test_what_was_pushed_is_not_taken_for_loaded(tools: ImageTools) -> None:
    """A registry has it, and no node."""
    for name in ("docker", "kind"):
        tools.add(name)
    found = Nodes(architectures=frozenset({"amd64"}), ids=frozenset({"a"}))
    supply(found, registry="localhost:5000")

    supply(found)

    assert len(tools.calls("load")) == 2


def test_nodes_that_still_do_not_list_it_are_asked_no_more(
    tools: ImageTools, tmp_path: Path
) -> None:
    """After two minutes it is gone, if they do not list it; and so is what was remembered."""
    for name in ("docker", "kind"):
        tools.add(name)
    found = Nodes(architectures=frozenset({"amd64"}), ids=frozenset({"a"}))
    supply(found)
    for path in (tmp_path / "pymr/images").iterdir():
        os.utime(path, (path.stat().st_mtime - 121,) * 2)

    assert len(supply(found)[2]) == 2
    assert len(list((tmp_path / "pymr/images").iterdir())) == 2
