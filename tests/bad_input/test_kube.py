"""What is refused of a cluster: none, a wrong one, one that is too old, one that does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli import CommandLine
from played_api_server import Answer, PlayedServer, played_server, refusal

NO_EXTRA = "import sys\nsys.modules['lightkube'] = None\n"


@pytest.fixture
def server(cli: CommandLine) -> Iterator[PlayedServer]:
    """Give a cluster of version 1.34, in which there is nothing, and which says no to nothing."""
    with played_server() as server:
        cli.write("kubeconfig", server.kubeconfig())
        cli.environ["KUBECONFIG"] = str(cli.folder / "kubeconfig")
        server.answers["GET /version"] = Answer(200, {"major": "1", "minor": "34"})
        yield server


@pytest.mark.parametrize("command", ["up", "down", "store"])
def test_no_cluster_is_told_with_how_to_have_one(cli: CommandLine, command: str) -> None:
    """Exit 8, and the file that was looked for."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")

    refused = cli.run(command)

    refused.refused(8, "no cluster: there is no kubeconfig", "absent", "kind create cluster")


def test_a_wrong_context_is_told_with_those_there_are(
    cli: CommandLine, server: PlayedServer
) -> None:
    """Nothing is asked of any cluster."""
    cli.run("up", "--context=other").refused(
        8, "no context `other`", "`played`", "--context played"
    )

    assert server.asked == []


def test_a_cluster_that_is_gone_is_told_with_its_address(
    cli: CommandLine, server: PlayedServer
) -> None:
    """It was deleted, or the network to it is down."""
    server.server_close()

    cli.run("up").refused(8, "`played`", server.url, "does not answer", "cluster-info")


def test_a_cluster_of_an_unsupported_version_is_refused(
    cli: CommandLine, server: PlayedServer
) -> None:
    """Before anything is made: it would leave out in silence what it does not know."""
    server.answers["GET /version"] = Answer(200, {"major": "1", "minor": "28+"})

    cli.run("up").refused(8, "has Kubernetes 1.28, expected 1.29 or newer")

    assert [each for each in server.asked if not each.startswith("GET ")] == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {"hello": "world"}), "is no cluster of Kubernetes"),
        (Answer(502, "<html>Bad gateway</html>"), "answers with HTTP 502 and no object"),
        (Answer(200, "<html>Log in</html>"), "is no cluster of Kubernetes"),
        (Answer(200, [1]), "is no cluster of Kubernetes"),
    ],
    ids=["other-json", "proxy", "page", "list"],
)
def test_what_is_no_cluster_is_told_as_such(
    cli: CommandLine, server: PlayedServer, answer: Answer, said: str
) -> None:
    """A proxy, or another service at that port."""
    server.answers["GET /version"] = answer

    cli.run("up").refused(8, said)


def test_a_page_where_an_object_is_expected_is_told(cli: CommandLine, server: PlayedServer) -> None:
    """Such as that of a login."""
    server.answers["*"] = Answer(200, "<html>Log in</html>")

    cli.run("down").refused(8, "answers with HTTP 200 and no object of Kubernetes")


def test_a_token_that_has_expired_is_told(cli: CommandLine, server: PlayedServer) -> None:
    """And it is not repeated."""
    server.answers["*"] = refusal(401, "Unauthorized", "Unauthorized")

    said = cli.run("up").refused(8, "does not know this user: Unauthorized", "auth whoami")

    assert "canary" not in said


def test_an_api_server_that_is_not_well_is_told(cli: CommandLine, server: PlayedServer) -> None:
    """In its own words."""
    server.answers["*"] = refusal(503, "ServiceUnavailable", "etcd has no leader")

    cli.run("down").refused(8, "is not well: etcd has no leader")


@pytest.mark.parametrize("namespace", ["Bad", "a_b", "-a", "a-", "x" * 64, "", "ä"])
def test_a_name_that_no_namespace_can_have_is_refused(
    cli: CommandLine, server: PlayedServer, namespace: str
) -> None:
    """Exit 2: it is not asked for."""
    cli.run("up", f"--namespace={namespace}").refused(2, "--namespace", "lower-case letters")

    assert server.asked == []


def test_a_job_whose_name_is_no_label_is_not_rendered(cli: CommandLine) -> None:
    """Exit 2, with a name that is one."""
    cli.run("render", "--name=a.").refused(2, "cannot be a label of Kubernetes", "--name wordcount")


@pytest.mark.parametrize("volume", ["10GB", "1", "many"])
def test_a_volume_that_is_no_size_is_refused(cli: CommandLine, volume: str) -> None:
    """Exit 2."""
    cli.run("up", f"--volume={volume}").refused(2, "--volume is ")


def test_render_needs_no_cluster(cli: CommandLine) -> None:
    """Nor a kubeconfig; and prints no secret."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")
    images = ("--master-image=m:1", "--worker-image=w:1", "--minio-image=s:1")

    rendered = cli.run("render", *images, "--workers=2")

    assert rendered.code == 0, rendered.stderr
    assert rendered.stdout.count("\nkind: Job\n") == 2
    assert "\ndata:" not in rendered.stdout


def test_without_its_packages_the_extra_is_named(cli: CommandLine) -> None:
    """Exit 2, with what to type."""
    cli.write("site/sitecustomize.py", NO_EXTRA)

    refused = cli.run("up", environ={"PYTHONPATH": str(cli.folder / "site")})

    refused.refused(2, "lightkube", "pip install 'pymr[kubernetes]'")
