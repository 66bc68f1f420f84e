"""The manifests for Kubernetes: every name leads somewhere, and nothing runs with more rights than it needs."""

import math
from pathlib import Path
from typing import Any

import pytest

from bff.cli.main import _parser
from tests.deployment.dockerfile import stages
from tests.deployment.manifests import DEPLOY, GRACE_SECONDS, documents, mistakes
from tests.deployment.queries import rules

KUBERNETES = DEPLOY / "kubernetes"
BASE = KUBERNETES / "base"
OVERLAYS = sorted((KUBERNETES / "overlays").iterdir())
NAME = {"app.kubernetes.io/name": "emporix-bff"}
OPERATORS = {
    "BFF_TENANT": "acmeshop",
    "BFF_CLIENT_ID": "shop",
    "BFF_PUBLIC_ORIGIN": "https://shop.example",
    "BFF_TRUSTED_PROXIES": "10.0.0.0/8",
}


def resources(folder: Path) -> list[dict[str, Any]]:
    """Return what a kustomization lists, and what the kustomizations that it lists do."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    found: list[dict[str, Any]] = []
    for name in [*kustomization["resources"], *kustomization.get("components", [])]:
        path = (folder / name).resolve()
        found += resources(path) if path.is_dir() else documents(path)
    return found


def of_kind(kind: str, folder: Path = BASE) -> list[dict[str, Any]]:
    return [one for one in resources(folder) if one["kind"] == kind]


def pod() -> dict[str, Any]:
    (deployment,) = of_kind("Deployment")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def ports() -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container()["ports"]}


def generated(folder: Path) -> dict[str, str]:
    """Return the settings that an overlay ends up with."""
    settings: dict[str, str] = {}
    for each in (BASE, folder):
        (kustomization,) = documents(each / "kustomization.yaml")
        (generator,) = kustomization["configMapGenerator"]
        assert generator["name"] == "bff-settings"
        lines = list(generator.get("literals", []))
        for file in generator.get("envs", []):
            lines += (each / file).read_text("utf-8").splitlines()
        settings |= dict(line.split("=", 1) for line in lines)
    return settings


@pytest.mark.parametrize(
    "file", sorted(KUBERNETES.rglob("*.yaml")), ids=lambda f: str(f.relative_to(KUBERNETES))
)
def test_every_file_belongs_to_a_kustomization(file: Path) -> None:
    (kustomization,) = documents(file.parent / "kustomization.yaml")
    assert file.name == "kustomization.yaml" or file.name in kustomization["resources"]
    assert all(one["apiVersion"] and one["kind"] for one in documents(file))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda folder: folder.name)
def test_an_overlays_settings_are_complete_once_the_operator_has_named_the_shop(
    overlay: Path, tmp_path: Path
) -> None:
    settings = generated(overlay)
    assert {name for name, value in settings.items() if not value} == set(OPERATORS)
    assert list(mistakes(settings | OPERATORS, tmp_path)) == []


def test_the_admin_port_is_the_settings() -> None:
    settings = generated(OVERLAYS[0])
    assert ports()["admin"] == int(settings["BFF_ADMIN_PORT"])
    assert ports()["http"] == int(stages()[-1].one("EXPOSE"))
    command, *arguments = container()["args"]
    assert command == "bff"
    assert _parser().parse_args(arguments).port == ports()["http"]


def test_secrets_are_files_below_one_folder() -> None:
    (mount,) = [one for one in container()["volumeMounts"] if one["name"] == "secrets"]
    (volume,) = [one for one in pod()["volumes"] if one["name"] == "secrets"]
    assert "subPath" not in mount
    assert "secret" in volume
    settings = generated(OVERLAYS[0])
    files = {name: value for name, value in settings.items() if name.endswith("_FILE")}
    assert set(files) == {"BFF_KEYS_FILE", "BFF_REDIS_URL_FILE"}
    assert {Path(file).parent.as_posix() for file in files.values()} == {mount["mountPath"]}
    assert [one for one in resources(OVERLAYS[0]) if one["kind"] == "Secret"] == []


def test_probes_ask_what_the_proxy_answers() -> None:
    asked = {
        name: container()[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {name: one["path"] for name, one in asked.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {one["port"] for one in asked.values()} <= set(ports())


def test_a_pod_is_told_to_end_before_it_is_ended() -> None:
    drain = float(generated(OVERLAYS[0])["BFF_DRAIN_SECONDS"])
    assert pod()["terminationGracePeriodSeconds"] > GRACE_SECONDS > drain
    noticed = (
        container()["readinessProbe"]["periodSeconds"] * container()["readinessProbe"]["failureThreshold"]
    )
    assert drain > noticed


def test_a_pod_has_no_rights() -> None:
    inside = container()["securityContext"]
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    user, _, group = stages()[-1].one("USER").partition(":")
    outside = pod()["securityContext"]
    assert (outside["runAsUser"], outside["runAsGroup"], outside["runAsNonRoot"]) == (
        int(user),
        int(group),
        True,
    )
    assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    (writable,) = [one for one in container()["volumeMounts"] if not one.get("readOnly")]
    assert writable["mountPath"] == stages()[-1].one("WORKDIR")


def test_everything_selects_the_pods() -> None:
    (deployment,) = of_kind("Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"] == NAME
    (budget,), (policy,) = of_kind("PodDisruptionBudget"), of_kind("NetworkPolicy")
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        policy["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in pod()["topologySpreadConstraints"]),
        *(service["spec"]["selector"] for service in of_kind("Service")),
    ]
    assert selectors == [NAME] * len(selectors)


def test_the_names_of_ports_and_objects_lead_somewhere() -> None:
    for service in of_kind("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports())
    (policy,) = of_kind("NetworkPolicy")
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == set(ports())
    (scaler,), (deployment,) = of_kind("HorizontalPodAutoscaler"), of_kind("Deployment")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "an autoscaler decides"
    assert scaler["spec"]["minReplicas"] >= 2
    (account,) = of_kind("ServiceAccount")
    assert pod()["serviceAccountName"] == account["metadata"]["name"]


def test_prometheus_finds_the_admin_service() -> None:
    (monitor,) = of_kind("ServiceMonitor", OVERLAYS[0])
    wanted = monitor["spec"]["selector"]["matchLabels"]
    found = [one for one in of_kind("Service") if wanted.items() <= one["metadata"].get("labels", {}).items()]
    (service,) = found
    assert [port["name"] for port in service["spec"]["ports"]] == [
        endpoint["port"] for endpoint in monitor["spec"]["endpoints"]
    ]


def test_the_alert_on_memory_is_at_three_quarters_of_a_workers_share_of_the_limit() -> None:
    (alert,) = [one for one in rules() if one.get("alert") == "BffMemoryHigh"]
    factors = alert["expr"].partition("> ")[2].split(" * ")
    mebibytes = int(container()["resources"]["limits"]["memory"].removesuffix("Mi"))
    share = mebibytes * 2**20 // _parser().parse_args(container()["args"][1:]).workers
    assert math.prod(int(one) for one in factors) == share * 3 // 4


def test_both_ways_in_lead_to_the_service_and_to_nothing_but_the_proxys_paths() -> None:
    (service,) = [one for one in of_kind("Service") if one["metadata"]["name"] == "bff"]
    (http,) = service["spec"]["ports"]
    (ingress,) = of_kind("Ingress", KUBERNETES / "overlays" / "ingress")
    (rule,) = ingress["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} == {"/api", "/auth"}
    assert {path["backend"]["service"]["port"]["name"] for path in rule["http"]["paths"]} == {http["name"]}
    assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]
    (route,) = of_kind("HTTPRoute", KUBERNETES / "overlays" / "gateway")
    (rule,) = route["spec"]["rules"]
    assert {match["path"]["value"] for match in rule["matches"]} == {"/api", "/auth"}
    assert rule["backendRefs"] == [{"name": "bff", "port": http["port"]}]
