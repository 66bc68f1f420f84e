"""The lock files, read with the parser that pip-audit uses."""

import re
from pathlib import Path
from typing import NamedTuple

from pip_requirements_parser import InstallRequirement, RequirementsFile

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "requirements.lock"
SERVER = ROOT / "requirements-redis.lock"
TRACES = ROOT / "requirements-otel.lock"
DEVELOPS = ROOT / "requirements-dev.lock"
PROXY = "emporix-bff"


class Pin(NamedTuple):
    """One locked version of one package; a package may have another one for another marker."""

    name: str
    version: str
    marker: str  # PEP 508; empty where it is wanted everywhere
    hashes: tuple[str, ...]  # SHA-256 of each of its files
    wanted_by: tuple[str, ...]  # the packages that depend on it


def read(path: Path) -> list[Pin]:
    """Return every pin of a lock file, whatever its marker says about this machine.

    Raises:
        ValueError: something in it is not a hashed pin with the reason why it is there, or there is none.
    """
    file = RequirementsFile.from_file(str(path))
    reasons = [comment.line[6:].split(", ") for comment in file.comments if comment.line.startswith("# via ")]
    # Nothing is skipped: a line that is not understood would never be audited.
    if file.invalid_lines or file.options or not file.requirements or len(file.requirements) != len(reasons):
        raise ValueError(f"not a hashed pin somewhere in {path.name}")
    return [_pin(one, why) for one, why in zip(file.requirements, reasons, strict=True)]


def _pin(found: InstallRequirement, reasons: list[str]) -> Pin:
    hashes = [re.fullmatch("sha256:([0-9a-f]{64})", one) for one in found.hash_options]
    if not found.is_pinned or not hashes or None in hashes:
        raise ValueError(f"not a hashed pin: {found.name}")
    # "-r FILE" is what the proxy wants besides pyproject.toml, "-c FILE" no reason but where the version is from.
    wanted_by = (PROXY if why.startswith("-r ") else why.split()[0] for why in reasons if why[:3] != "-c ")
    marker = str(found.marker or "").replace('"', "'")
    digests = tuple(one[1] for one in hashes if one)
    return Pin(found.name, found.get_pinned_version, marker, digests, tuple(wanted_by))
