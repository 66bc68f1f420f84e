"""The units for systemd: judged by systemd itself, and by what else the project says."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bff.cli.main import _parser
from bff.config.settings import ConfigurationError, load_settings
from tests.deployment.dockerfile import ROOT
from tests.deployment.manifests import GRACE_SECONDS
from tests.live import new_key

UNITS = ROOT / "deploy" / "systemd"
MOST_EXPOSED = 25  # of 100, as systemd counts; a unit that restricts nothing has 96


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that is there on every machine."""
    for unit in (UNITS / "bff.service", UNITS / "bff.socket"):
        text = unit.read_text("utf-8").replace("/opt/bff/bin/bff", "/bin/true")
        (tmp_path / unit.name).write_text(text, "utf-8")
    return tmp_path


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, env=os.environ
    )


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / "bff.service")
    return parser["Service"]


def example() -> dict[str, str]:
    lines = (UNITS / "bff.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_systemd_accepts_the_units(units: Path) -> None:
    found = analyzed("verify", "--man=no", units / "bff.service", units / "bff.socket")
    about_ours = [line for line in found.stderr.splitlines() if "bff." in line]
    assert about_ours == []
    assert found.returncode == 0, found.stderr


def test_systemd_finds_the_service_confined(units: Path) -> None:
    found = analyzed("security", "--offline=true", f"--threshold={MOST_EXPOSED}", units / "bff.service")
    assert found.returncode == 0, found.stdout


def test_the_service_may_end_in_its_own_time() -> None:
    assert int(service()["TimeoutStopSec"]) > GRACE_SECONDS


def test_the_command_is_one_that_there_is() -> None:
    program, *arguments = service()["ExecStart"].split()
    assert program == "/opt/bff/bin/bff"
    assert _parser().parse_args(arguments).workers == 4


def test_the_socket_is_where_the_front_server_looks_first() -> None:
    (address,) = re.findall(r"^ListenStream=(.+)$", (UNITS / "bff.socket").read_text("utf-8"), re.MULTILINE)
    upstream = (ROOT / "deploy" / "nginx" / "upstream.conf").read_text("utf-8")
    assert re.findall(r"server (\S+)", upstream)[0] == address


def test_the_example_of_settings_lacks_what_an_operator_must_say_and_nothing_else(tmp_path: Path) -> None:
    settings = example()
    for name, text in (("keys", new_key()), ("redis_url", "redis://bff:x@127.0.0.1:6379/0")):
        assert settings[f"BFF_{name.upper()}_FILE"] == f"/etc/bff/{name}"
        (tmp_path / name).write_text(text, "utf-8")
        settings[f"BFF_{name.upper()}_FILE"] = str(tmp_path / name)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(settings)
    missing = {mistake.split()[0] for mistake in caught.value.mistakes}
    assert missing == {"BFF_TENANT", "BFF_CLIENT_ID", "BFF_PUBLIC_ORIGIN"}
    said = {
        "BFF_TENANT": "acmeshop",
        "BFF_CLIENT_ID": "shop",
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
    }
    assert load_settings(settings | said).admin_port == 9090
