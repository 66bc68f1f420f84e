"""YAML of `deploy/`, and what several of its tests ask of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bff.config.settings import VARIABLES, ConfigurationError, load_settings
from tests.deployment.dockerfile import ROOT
from tests.live import new_key

DEPLOY = ROOT / "deploy"
FILES = sorted(file for suffix in ("*.yaml", "*.yml") for file in DEPLOY.rglob(suffix))
GRACE_SECONDS = next(int(one.default or 0) for one in VARIABLES if one.name == "BFF_GRACE_SECONDS")
"""After so long everything has ended."""


def documents(file: Path) -> list[dict[str, Any]]:
    """Return everything that a file describes."""
    return [one for one in yaml.safe_load_all(file.read_text("utf-8")) if one]


def mistakes(settings: dict[str, str], folder: Path) -> Iterator[str]:
    """Yield what the settings table has against these, with a secret in every file that they name."""
    texts = {"BFF_KEYS_FILE": new_key(), "BFF_REDIS_URL_FILE": "redis://bff:x@redis:6379/0"}
    with_files = dict(settings)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        with_files[name] = str(folder / name)
    try:
        load_settings(with_files)
    except ConfigurationError as error:
        yield from error.mistakes
