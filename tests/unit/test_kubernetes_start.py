"""The settings of a run in pods: what nobody has said is not this machine's."""

from __future__ import annotations

from typing import Any

import pytest

from pymr.config import Resolved, Settings, resolve
from pymr.errors import ConfigError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.outside import outside_store, refuse_another_endpoint, refuse_lone_endpoint
from pymr.kubernetes.start import is_own_storage, settings_of_pods, settings_there
from pymr.store.access import Access

KUBE = Kube(None, "kind-x", "data", "https://127.0.0.1:6443")  # type: ignore[arg-type]


def resolved(**flags: Any) -> Resolved:
    """Return settings of a command line."""
    return resolve({"on": "kubernetes", **flags}, {}, "/nowhere", "/nowhere")


def for_kubernetes(given: Resolved, kube: Kube) -> Settings:
    """Return the settings of a run of that command line in a namespace."""
    return settings_there(settings_of_pods(given), kube, has_store=given.settings.store is None)


def test_without_a_store_it_is_that_of_the_namespace() -> None:
    """Whose address is what pods call it, since the one from here is another each time."""
    settings = for_kubernetes(resolved(), KUBE)

    assert settings.store == "s3://map-reduce-bucket"
    assert settings.endpoint == "http://minio.data.svc:9000"
    assert (settings.context, settings.namespace) == ("kind-x", "data")
    assert is_own_storage(settings)


def test_a_store_that_is_named_is_outside() -> None:
    """Policies of the network know its port."""
    settings = for_kubernetes(
        resolved(store="s3://mine/pymr", endpoint="https://s3.example:9443"), KUBE
    )

    assert settings.endpoint == "https://s3.example:9443"
    assert not is_own_storage(settings)
    assert outside_store(Access(endpoint="https://s3.example:9443")).port == 9443
    assert outside_store(Access(endpoint="http://s3.example")).port == 80
    assert outside_store(Access()).port == 443


def test_a_store_is_remembered_with_what_this_shell_says_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pods have not its variables, nor has the shell in which the run is resumed."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.1:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    settings = for_kubernetes(resolved(store="s3://mine"), KUBE)

    assert (settings.endpoint, settings.region) == ("http://10.0.0.1:9000", "eu-west-1")


@pytest.mark.parametrize(
    ("flag", "value"), [("endpoint", "http://10.0.0.1:9000"), ("region", "eu-west-1")]
)
def test_an_endpoint_or_a_region_without_a_store_is_refused(flag: str, value: str) -> None:
    """It would be left aside in silence."""
    region = value if flag == "region" else None

    with pytest.raises(ConfigError, match=f"--{flag} is `{value}`, and without --store") as refused:
        refuse_lone_endpoint(resolved(**{flag: value}).settings, region)

    assert refused.value.hint == f"--store s3://bucket   of it, or no --{flag}"
    refuse_lone_endpoint(resolved(**{flag: value}, store="s3://mine").settings, region)


def test_a_run_in_the_storage_of_its_namespace_is_not_led_away_when_it_is_resumed() -> None:
    """Its pods would look for it elsewhere."""
    refuse_another_endpoint(None, None)

    with pytest.raises(ConfigError, match="--endpoint is `http://x`"):
        refuse_another_endpoint("http://x", None)


def test_a_region_that_is_set_for_other_runs_is_no_hindrance() -> None:
    """Only the flag says that it is meant for this one."""
    flags, environ = {"on": "kubernetes"}, {"PYMR_REGION": "eu-west-1"}

    refuse_lone_endpoint(resolve(flags, environ, "/nowhere", "/nowhere").settings)


def test_a_worker_has_a_slot_and_a_gibibyte_unless_it_is_said() -> None:
    """Cores and memory of this machine are not those of a pod."""
    assert for_kubernetes(resolved(), KUBE).memory_bytes == 1 << 30
    assert for_kubernetes(resolved(), KUBE).slots == 1
    asked = for_kubernetes(resolved(memory="3G", slots="4"), KUBE)
    assert (asked.memory_bytes, asked.slots) == (3 << 30, 4)


def test_memory_of_a_pod_is_not_compared_with_this_machine() -> None:
    """Whoever has a small laptop may have a large cluster."""
    assert resolved(memory="900G").warnings == ()


@pytest.mark.parametrize("name", ["-x", "x" * 64])
def test_a_name_that_is_no_label_is_refused_before_any_work(name: str) -> None:
    """All objects of a run carry it."""
    with pytest.raises(ConfigError):
        for_kubernetes(resolved(name=name), KUBE)


def test_an_output_on_this_machine_is_refused() -> None:
    """Pods do not reach it."""
    with pytest.raises(ConfigError, match="is a folder of this machine"):
        for_kubernetes(resolved(output="out"), KUBE)
