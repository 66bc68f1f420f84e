"""The lock files, in the one form that `uv pip compile --generate-hashes` writes them in."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "requirements.lock"
DEVELOPS = ROOT / "requirements-dev.lock"

_HEAD = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z0-9,-]+\])?==(?P<version>[\w.!+]+)( ; (?P<marker>.+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_COMMENT = re.compile(r"#(?: via)?(?:\s+(\S+).*)?")


@dataclass(frozen=True, slots=True)
class Pin:
    """One locked version of one package; a package may have another one for another marker.

    Attributes:
        name: As PEP 503 normalises it.
        version: PEP 440.
        marker: PEP 508, where it is wanted; empty for everywhere.
        hashes: SHA-256 of each of its files, in hexadecimal.
        wanted_by: Names of the packages that depend on it.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]


def read(path: Path) -> list[Pin]:
    """Return every pin of a lock file, whatever its marker says about this machine.

    Raises:
        OSError: there is no such file.
        ValueError: it has a line that this module does not understand, or no pin at all.
    """
    return [_pin(block) for block in re.split(r"\n(?=\S)", path.read_text("utf-8").rstrip())]


def _pin(block: str) -> Pin:
    """Read one package's lines: the pin, its hashes, and as comments what wants it."""
    head, *rest = (line.strip().removesuffix("\\").rstrip() for line in block.splitlines() or [""])
    hashes = [found[1] for line in rest if (found := _HASH.fullmatch(line))]
    comments = [found[1] for line in rest if (found := _COMMENT.fullmatch(line))]
    pin = _HEAD.fullmatch(head)
    # Nothing is skipped: what nobody understood is what nobody audits.
    if pin is None or not hashes or len(hashes) + len(comments) != len(rest):
        raise ValueError(f"not a hashed pin: {head or 'an empty file'}")
    wanted_by = tuple(name for name in comments if name)
    return Pin(pin["name"], pin["version"], pin["marker"] or "", tuple(hashes), wanted_by)
