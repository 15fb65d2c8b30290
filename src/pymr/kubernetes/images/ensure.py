"""Has the images of a run there: built if there is none of that content, loaded if nodes lack it.

content ─► name ─► do all nodes have it? ─► does the builder have it? ─► build ─► load
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import msgspec

from pymr.config import Settings
from pymr.errors import ClusterError
from pymr.kubernetes.images.builder import Builder, find_builder
from pymr.kubernetes.images.context import (
    DIGEST_CHARACTERS,
    Context,
    master_context,
    minio_context,
    worker_context,
)
from pymr.kubernetes.images.load import Loader, choose_loader
from pymr.kubernetes.images.nodes import Nodes, read_nodes
from pymr.kubernetes.images.packages import Packages, read_packages
from pymr.kubernetes.images.recent import is_recent, remember_loaded
from pymr.kubernetes.images.reference import is_in_registry
from pymr.kubernetes.images.tool import Say
from pymr.kubernetes.images.wheel import own_architecture
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.run import Images


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which images are wanted. One that is named is used as it is, and not built."""

    packages: Packages = Packages()
    master_image: str | None = None
    worker_image: str | None = None
    minio_image: str | None = None
    registry: str | None = None
    load: str | None = None
    builder: str | None = None


def image_request(settings: Settings, worker: str | None) -> ImageRequest:
    """Return what settings and a worker file ask for.

    Raises:
        PymrError: what the worker file declares, or the file of requirements, cannot be used.
    """
    return ImageRequest(
        packages=read_packages(worker, settings.requirements),
        master_image=settings.master_image,
        worker_image=settings.worker_image,
        minio_image=settings.minio_image,
        registry=settings.registry,
        load=settings.load,
        builder=settings.builder,
    )


def ensure_images(kube: Kube, request: ImageRequest, say: Say, follow: Say | None = None) -> Images:
    """Have the images of a run where the cluster's nodes get them; return what pods name them by.

    `say` is told what is done, if anything is; `follow` the output of builds, line by line.

    Raises:
        ClusterError: one cannot be built or loaded.
        ConfigError: settings contradict each other.
    """
    supply = find_supply(kube, request, say, follow)
    supply.check()
    return supply.images()


def find_supply(kube: Kube, request: ImageRequest, say: Say, follow: Say | None = None) -> Supply:
    """Return what gives the images of a run, and of its storage: as `ensure_images`.

    Raises:
        ClusterError: the cluster does not answer.
    """
    return Supply(kube.context, read_nodes(kube), request, say, follow)


def ensure_storage_image(
    kube: Kube, request: ImageRequest, say: Say, follow: Say | None = None
) -> str:
    """Have the image of MinIO where the cluster's nodes get it; as `ensure_images`."""
    return find_supply(kube, request, say, follow).storage_image()


class Supply:
    """Brings images to the nodes of one cluster; looks for a builder only if one is needed."""

    def __init__(
        self, context: str, nodes: Nodes, request: ImageRequest, say: Say, follow: Say | None = None
    ) -> None:
        self._request = request
        self._say = say
        self._follow = follow or (lambda _line: None)
        self._context = context
        self._nodes = nodes
        self._builder: Builder | None = None

    def check(self) -> None:
        """Find what is in the way of `images` before anything is begun. That is quick.

        Raises:
            ClusterError: there is no builder that answers, or no way to the nodes.
            ConfigError: settings contradict each other.
        """
        for wanted in (self._master, self._worker):
            if isinstance(wanted, Context) and not self._is_there(self._loader, wanted.image):
                self._find_builder()
                self._loader.check()

    def images(self) -> Images:
        """See `ensure_images`."""
        return Images(master=self._image(self._master), worker=self._image(self._worker))

    @cached_property
    def _master(self) -> str | Context:
        return self._request.master_image or master_context(self._architecture())

    @cached_property
    def _worker(self) -> str | Context:
        request = self._request
        return request.worker_image or worker_context(self._architecture(), request.packages)

    def storage_image(self) -> str:
        """See `ensure_storage_image`."""
        return self._image(self._request.minio_image or minio_context(self._architecture()))

    def _image(self, wanted: str | Context) -> str:
        """Return what a pod names an image by that is there now."""
        return self._named(wanted) if isinstance(wanted, str) else self.bring(wanted)

    def bring(self, context: Context) -> str:
        """Return what a pod names the image of a context by, which is there now.

        Raises:
            ClusterError: it cannot be built or loaded.
        """
        loader = self._loader
        if self._is_there(loader, context.image):
            return context.image
        builder = self._find_builder()
        if builder.id_of(context.image) is None:
            build(builder, context, self._say, self._follow)
        return self._load(loader, builder, context.image)

    def _named(self, image: str) -> str:
        """Return an image that the user names: if it lies here, pinned by its content."""
        if is_in_registry(image):
            return image
        try:
            builder = self._find_builder()
        except ClusterError:
            return image  # Whether the nodes can get it is for them to say.
        found = builder.id_of(image)
        if found is None:
            return image
        path = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        pinned = f"{path}:{found[:DIGEST_CHARACTERS]}"
        loader = self._loader
        if self._is_there(loader, pinned):
            return pinned
        builder.tag(image, pinned)
        return self._load(loader, builder, pinned)

    def _is_there(self, loader: Loader, image: str) -> bool:
        """Return whether nodes have it. A registry has no names of ours: it is asked by a push."""
        if loader.name == "registry":
            return False
        return self._nodes.all_have(image) or is_recent(image, self._nodes)

    def _load(self, loader: Loader, builder: Builder, image: str) -> str:
        if loader.name == "registry":
            self._say(f"pushing {image} to {loader.target}")
            return loader.load(builder, image)
        if loader.name != "none":
            self._say(f"loading {image} into {loader.name} {loader.target}")
        loaded = loader.load(builder, image)
        remember_loaded(image, self._nodes)
        return loaded

    @cached_property
    def _loader(self) -> Loader:
        request = self._request
        return choose_loader(self._context, self._nodes, request.load, request.registry)

    def _architecture(self) -> str:
        """Return what all nodes are; images for several at once are made by other tools."""
        kinds = self._nodes.architectures
        if len(kinds) > 1:
            raise ClusterError(
                f"the nodes are of several kinds ({', '.join(sorted(kinds))}), and an image that is"
                " built here is for one of them",
                hint="--master-image NAME --worker-image NAME   of images for all of them",
            )
        return next(iter(kinds), None) or own_architecture()

    def _find_builder(self) -> Builder:
        if self._builder is None:
            self._builder = find_builder(self._request.builder)
        return self._builder


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is here now, under the name that pods would use."""

    role: str
    image: str
    built: bool  # now; else it was there
    size_bytes: int | None  # of all its layers
    above_base_bytes: int | None  # of those that its base image does not have


def build_here(
    builder: Builder,
    request: ImageRequest,
    loader: Loader,
    say: Say,
    follow: Say,
    *,
    with_minio: bool,
) -> Iterator[Built]:
    """Build the images of a run without looking at a cluster; yield each once it is loaded.

    Raises:
        ClusterError: one cannot be built or loaded.
    """
    kind = builder.architecture
    contexts = [master_context(kind), worker_context(kind, request.packages)]
    for context in [*contexts, minio_context(kind)] if with_minio else contexts:
        is_new = builder.id_of(context.image) is None
        if is_new:
            build(builder, context, say, follow)
        size = builder.size_of(context.image)
        base = builder.size_of(context.base) if context.base else None
        yield Built(
            role=context.role,
            image=loader.load(builder, context.image),
            built=is_new,
            size_bytes=size,
            above_base_bytes=size - base if size and base else None,
        )


def build(builder: Builder, context: Context, say: Say, follow: Say) -> None:
    """Build an image, and say so.

    Raises:
        ClusterError: it cannot be built.
    """
    unpinned = context.labels.get("dev.pymr.packages") == "unpinned"
    say(f"building {context.image}" + (", its packages UNPINNED" if unpinned else ""))
    builder.build(context, follow)
