"""The compose files: every name leads somewhere, and the settings are ones that there are."""

import ipaddress
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bff.cli.main import _parser
from bff.config.settings import load_settings
from tests.deployment.dockerfile import stages
from tests.deployment.manifests import DEPLOY, FILES, GRACE_SECONDS, documents, mistakes

(COMPOSE,) = documents(DEPLOY / "compose.yaml")
(SENTINEL,) = documents(DEPLOY / "compose.sentinel.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
PROXIES = [name for name in SERVICES if name.startswith("bff-")]
ALL = [*SERVICES.items(), *SENTINEL["services"].items()]
SECRETS = {"keys", "redis_password", "redis_url", "redis_sentinel_url", "grafana_password"}
OPERATORS = {"BFF_TENANT": "acmeshop", "BFF_CLIENT_ID": "shop", "BFF_PUBLIC_ORIGIN": "https://shop.example"}


def environment(name: str) -> dict[str, str]:
    return dict(SERVICES[name]["environment"])


def sources(service: dict[str, Any]) -> list[str]:
    return [volume.rpartition(":ro")[0].rpartition(":")[0] or volume.partition(":")[0]
            for volume in service.get("volumes", [])]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_every_file_is_yaml_that_says_something(file: Path) -> None:
    assert documents(file)


@pytest.mark.parametrize("name", PROXIES)
def test_the_proxies_settings_are_complete_once_the_operator_has_named_the_shop(
    name: str, tmp_path: Path
) -> None:
    settings = environment(name)
    assert {key for key, value in settings.items() if value.startswith(f"${{{key}:?")} == set(OPERATORS)
    assert list(mistakes(settings | OPERATORS, tmp_path)) == []


def test_there_are_two_proxies_and_they_listen_as_the_image_does() -> None:
    assert len(PROXIES) == 2
    port = int(stages()[-1].one("EXPOSE"))
    for name in PROXIES:
        parsed = _parser().parse_args(SERVICES[name]["command"][1:])
        assert (SERVICES[name]["command"][0], parsed.port, parsed.host) == ("bff", port, "0.0.0.0")  # noqa: S104
        assert parsed.workers > 1


def test_nginx_asks_the_proxies_that_there_are() -> None:
    upstream = (DEPLOY / "nginx" / "upstream-compose.conf").read_text("utf-8")
    assert re.findall(r"server (\S+)", upstream) == [f"{name}:8080" for name in PROXIES]


@pytest.mark.parametrize("name", PROXIES)
def test_the_proxies_trust_the_address_of_nginx_and_no_other(name: str) -> None:
    address = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    assert environment(name)["BFF_TRUSTED_PROXIES"] == f"{address}/32"
    (network,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network["subnet"])


def test_prometheus_asks_every_proxy_for_its_metrics() -> None:
    (prometheus,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    (job,) = prometheus["scrape_configs"]
    (group,) = job["static_configs"]
    assert group["targets"] == [f"{name}:{environment(name)['BFF_ADMIN_PORT']}" for name in PROXIES]


def test_grafana_asks_the_prometheus_that_there_is() -> None:
    (provisioned,) = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    (source,) = provisioned["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {SERVICES[name]["profiles"][0] for name in ("prometheus", "grafana")} == {"metrics"}


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_a_service_names_only_what_there_is(name: str, service: dict[str, Any]) -> None:
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", [])) <= {one for one, _ in ALL}
    volumes = {*COMPOSE["volumes"], *SENTINEL["volumes"]}
    for source in sources(service):
        assert source in volumes or source.startswith("${") or (DEPLOY / source).exists(), source


@pytest.mark.parametrize(
    ("name", "service"),
    [(name, service) for name, service in ALL if "image" in service],
    ids=[name for name, service in ALL if "image" in service],
)
def test_every_container_is_confined(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_nginx_and_a_loopback_port_are_published() -> None:
    published = {name: service["ports"] for name, service in ALL if "ports" in service}
    assert set(published) == {"nginx", "grafana"}
    assert published["grafana"] == ["127.0.0.1:3000:3000"]


def test_every_secret_is_a_file_that_the_script_makes(tmp_path: Path) -> None:
    named = {Path(one["file"]).name for one in [*COMPOSE["secrets"].values(), *SENTINEL["secrets"].values()]}
    subprocess.run([DEPLOY / "new-secrets", tmp_path], check=True)
    assert named == SECRETS == {path.name for path in tmp_path.iterdir()}
    written = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    subprocess.run([DEPLOY / "new-secrets", tmp_path], check=True)
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == written


def test_the_secrets_are_ones_that_the_proxy_takes(tmp_path: Path) -> None:
    made = tmp_path / "made"
    subprocess.run([DEPLOY / "new-secrets", made], check=True)
    assert made.stat().st_mode & 0o077 == 0
    for name in ("redis_url", "redis_sentinel_url"):
        files = {"BFF_KEYS_FILE": str(made / "keys"), "BFF_REDIS_URL_FILE": str(made / name)}
        assert load_settings(OPERATORS | files).redis_url.reveal() == (made / name).read_text("utf-8")


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_may_end_in_its_own_time(name: str) -> None:
    allowed = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert allowed > GRACE_SECONDS


def test_redis_keeps_what_it_is_given() -> None:
    text = (DEPLOY / "redis" / "redis.conf").read_text("utf-8")
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert (lines["appendonly"], lines["appendfsync"], lines["maxmemory-policy"]) == (
        "yes",
        "everysec",
        "noeviction",
    )
    assert int(lines["hash-max-listpack-value"]) >= 64
