"""What is refused of a cluster: none, a wrong one, one that is too old, one that does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import CommandLine
from played_api_server import Answer, PlayedServer, played_server, refusal

ROOT = Path(__file__).parents[2]
RULES = "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
NO_RIGHTS = {
    "spec": {"namespace": "default"},
    "status": {"resourceRules": [], "nonResourceRules": [], "incomplete": False},
}
START = ("start", "--on=kubernetes", "--input=in.txt", "--name=words", "worker.py")
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


@pytest.fixture
def start(cli: CommandLine) -> tuple[str, ...]:
    """Give a job that is right."""
    cli.write("in.txt", "one two\n")
    cli.write("worker.py", (ROOT / "examples/wordcount/worker.py").read_text())
    return START


def test_a_name_that_is_no_label_needs_no_cluster_to_be_told(
    cli: CommandLine, start: tuple[str, ...]
) -> None:
    """Exit 2, and not that there is no cluster."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")

    cli.run(*start, "--name=words-").refused(2, "cannot be a label of Kubernetes")


def test_a_run_without_a_cluster_is_refused(cli: CommandLine, start: tuple[str, ...]) -> None:
    """And there is no run afterwards."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")

    cli.run(*start).refused(8, "no cluster: there is no kubeconfig", "kind create cluster")

    assert cli.run("jobs").stdout == ""


@pytest.mark.parametrize(
    ("more", "answers", "said"),
    [
        (("--context=other",), {}, ("no context `other`", "--context played")),
        ((), {"GET /version": Answer(200, {"major": "1", "minor": "28"})}, ("1.29 or newer",)),
        (
            (),
            {"*": Answer(200, {}), RULES: Answer(201, NO_RIGHTS)},
            ("no permission to", "`create jobs.batch`", "pymr render --part role"),
        ),
    ],
    ids=["context", "version", "permission"],
)
def test_a_run_that_its_cluster_cannot_take_is_refused(
    cli: CommandLine,
    server: PlayedServer,
    start: tuple[str, ...],
    more: tuple[str, ...],
    answers: dict[str, Answer],
    said: tuple[str, ...],
) -> None:
    """Exit 8 with the next command; nothing was made, and there is no run."""
    server.answers.update(answers)

    cli.run(*start, *more).refused(8, *said)

    assert [each for each in server.asked if not each.startswith("GET ") and each != RULES] == []
    assert cli.run("jobs").stdout == ""


@pytest.mark.parametrize("name", ["a.", "-a", "a b", "ä", "x" * 64])
def test_a_run_whose_name_is_no_label_is_refused(
    cli: CommandLine, server: PlayedServer, start: tuple[str, ...], name: str
) -> None:
    """Exit 2, before a cluster is asked for anything."""
    told = cli.run(*(each for each in start if "--name" not in each), f"--name={name}")

    assert told.code == 2, told.stderr
    assert "--name wordcount" in told.stderr
    assert server.asked == []


@pytest.mark.parametrize("flag", ["--endpoint=http://127.0.0.1:9", "--region=eu-west-1"])
def test_how_a_store_is_reached_is_refused_where_none_is_named(
    cli: CommandLine, start: tuple[str, ...], flag: str
) -> None:
    """Exit 2 with the flag, before a cluster is looked for."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")

    cli.run(*start, flag).refused(2, flag.replace("=", " is `"), "--store s3://bucket   of it")


@pytest.mark.parametrize(
    ("lines", "more", "told"),
    [
        ("import absent_module\n", (), (2, "no module named `absent_module`", "pip install")),
        (
            "# /// script\n# dependencies = ['absent-package==0.0.404']\n# ///\n",
            (),
            (2, "not installed here: absent-package", "pip install"),
        ),
        ("", ("--input=i.txt",), (3, "no such input: `i.txt`", "there is `in.txt`")),
    ],
    ids=["module", "package", "input"],
)
def test_what_is_wrong_here_is_told_before_a_cluster_is_asked(
    cli: CommandLine,
    server: PlayedServer,
    start: tuple[str, ...],
    lines: str,
    more: tuple[str, ...],
    told: tuple[Any, ...],
) -> None:
    """A first start may build images for minutes, and make storage."""
    cli.write("worker.py", lines + (cli.folder / "worker.py").read_text())

    cli.run(*start, *more).refused(*told)

    assert server.asked == []


@pytest.mark.parametrize("command", ["attach", "status", "logs", "cancel", "resume", "replay"])
def test_a_run_that_is_not_there_is_told(
    cli: CommandLine, server: PlayedServer, command: str
) -> None:
    """Exit 4, with the list of those that are; no cluster is asked about a name."""
    cli.run(command, "0192f0c0-0000-7000-8000-000000000001").refused(4, "no run", "pymr jobs")

    assert server.asked == []


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
        (
            Answer(502, "<html>Bad gateway</html>"),
            "answers with HTTP 502: it is not well; maybe it is a proxy",
        ),
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

    cli.run("down").refused(
        8, "answers with HTTP 200: no object of Kubernetes; maybe it is a proxy"
    )


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


def test_render_leaves_the_namespace_of_everybody_alone(cli: CommandLine) -> None:
    """Labels that keep other pods out are for one that is ours."""
    cli.environ["KUBECONFIG"] = str(cli.folder / "absent")

    everybody, ours = (
        cli.run("render", f"--namespace={n}", "--part=namespace", "--part=role")
        for n in ("default", "team")
    )

    assert (everybody.code, ours.code) == (0, 0), everybody.stderr + ours.stderr
    assert "kind: Namespace" not in everybody.stdout
    assert "kind: Role" in everybody.stdout
    assert "pod-security.kubernetes.io/enforce: restricted" in ours.stdout


def test_doctor_looks_at_the_store_that_a_run_would_be_on(
    cli: CommandLine, server: PlayedServer
) -> None:
    """From here, too; what only MinIO needs is not missed."""
    server.answers.update({"*": Answer(200, {}), RULES: Answer(201, NO_RIGHTS)})
    cli.environ |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "canary-mine"}
    cli.environ["PYMR_STORAGE_WAIT"] = "1s"
    store = ("--store=s3://mine/pymr", "--endpoint=http://127.0.0.1:1", "--region=eu-west-1")

    looked = cli.run("doctor", "--on=kubernetes", *store, "--json")
    lone = cli.run("doctor", "--on=kubernetes", store[1], "--json")

    found = {each["name"]: each for each in json.loads(looked.stdout)["findings"]}
    assert found["access"]["exit_code"] == 5
    assert "does not answer" in found["access"]["text"]
    assert found["storage"]["text"] == "s3://mine/pymr is used, and no MinIO of the namespace"
    assert "jobs.batch" in found["permissions"]["text"]
    assert "statefulsets" not in found["permissions"]["text"]
    assert looked.code == 8
    found = {each["name"]: each for each in json.loads(lone.stdout)["findings"]}
    assert found["storage"]["exit_code"] == 2
    assert "without --store" in found["storage"]["text"]
    assert "statefulsets" in found["permissions"]["text"]


@pytest.mark.parametrize("has_keys", [True, False], ids=["keys", "no keys"])
def test_a_run_on_a_store_that_the_user_has_is_rendered(
    cli: CommandLine, *, has_keys: bool
) -> None:
    """As `start` makes it: without MinIO, with a way to the store's port; no key is printed."""
    if has_keys:
        cli.environ |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "canary-mine"}
    images = ("--master-image=m:1", "--worker-image=w:1")
    store = ("--store=s3://mine/pymr", "--endpoint=http://10.0.0.1:9443", "--region=eu-west-1")

    rendered = cli.run("render", *images, *store, "--secrets")

    assert rendered.code == 0, rendered.stderr
    objects = {each["kind"]: each for each in yaml.safe_load_all(rendered.stdout)}
    container = objects["Job"]["spec"]["template"]["spec"]["containers"][0]
    environ = {each["name"]: each["value"] for each in container["env"]}
    assert "minio" not in rendered.stdout
    assert "canary" not in rendered.stdout
    assert environ["AWS_ENDPOINT_URL"] == "http://10.0.0.1:9443"
    assert environ["AWS_REGION"] == "eu-west-1"
    assert ("AWS_SHARED_CREDENTIALS_FILE" in environ) == has_keys
    ports = [
        to["port"] for rule in objects["NetworkPolicy"]["spec"]["egress"] for to in rule["ports"]
    ]
    assert 9443 in ports


def test_an_endpoint_of_no_store_is_not_rendered(cli: CommandLine) -> None:
    """Exit 2, as `start` does."""
    refused = cli.run("render", "--endpoint=http://10.0.0.1:9443")

    refused.refused(2, "without --store", "--store s3://bucket")


def test_without_its_packages_the_extra_is_named(cli: CommandLine) -> None:
    """Exit 2, with what to type."""
    cli.write("site/sitecustomize.py", NO_EXTRA)

    refused = cli.run("up", environ={"PYTHONPATH": str(cli.folder / "site")})

    refused.refused(2, "lightkube", "pip install 'pymr[kubernetes]'")
