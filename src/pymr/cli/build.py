"""`pymr build`: the images of a run on Kubernetes, built here."""

from __future__ import annotations

import json
from typing import Any

import click

from pymr.cli.settings import resolved_settings
from pymr.observe.quantity import show_size
from pymr.text_form import show_text


@click.command("build")
@click.argument("worker", metavar="[WORKER]", required=False)
@click.option("--minio", is_flag=True, help="The image of MinIO, too: some minutes.")
@click.option("--requirements", metavar="PATH", help="Packages of workers.")
@click.option("--builder", metavar="NAME", help="docker, podman or buildah.")
@click.option("--registry", metavar="HOST/PATH", help="Push the images there.")
@click.option("--load", metavar="NAME", help="Load them: kind, minikube or k3d.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig, for --load.")
@click.option("--verbose", is_flag=True, help="All that the builder prints.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(worker: str | None, minio: bool, as_json: bool, verbose: bool, **flags: Any) -> None:
    """Build the images of masters and workers, with the packages that WORKER declares.

    `pymr start --on kubernetes` does it by itself. What is there already is not built again. The
    code of WORKER is in no image: it comes from the store of its run.
    """
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.kubernetes.images.builder import find_builder
    from pymr.kubernetes.images.ensure import build_here, image_request
    from pymr.kubernetes.images.load import Loader, choose_loader
    from pymr.kubernetes.images.nodes import Nodes

    settings = resolved_settings(flags).settings
    request = image_request(settings, worker)
    builder = find_builder(request.builder)
    loader = Loader("none")
    if request.registry is not None or request.load == "registry":
        loader = choose_loader("", Nodes(), request.load, request.registry)
    elif request.load is not None:
        loader = choose_loader(_context(settings.context), Nodes(), request.load, None)

    def say(text: str) -> None:
        click.echo(show_text(text), err=True)

    follow = say if verbose else lambda _line: None
    built = []
    for each in build_here(builder, request, loader, say, follow, with_minio=minio):
        built.append(each)
        if not as_json:
            sizes = {"": each.size_bytes, " above its base": each.above_base_bytes}
            told = [f"{show_size(size)}{of}" for of, size in sizes.items() if size is not None]
            click.echo(f"{each.role:<8} {each.image}   {', '.join(told)}".rstrip())
    if as_json:
        import msgspec

        click.echo(json.dumps({"images": msgspec.to_builtins(built)}))


def _context(name: str | None) -> str:
    from pymr.kubernetes.kubeconfig import read_context

    return read_context(name).name
