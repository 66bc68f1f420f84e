"""The proxy as users install it: with what its package requires, nothing of development, and byte code."""

import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@contextmanager
def plain_install() -> Iterator[tuple[str, ...]]:
    """Yield the command `bff` of a virtual environment with links to what it requires, as it is installed here."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        site = Path(sysconfig.get_path("purelib", "venv", {"base": folder, "platbase": folder}))
        for place in {ROOT / "bff", *_places(required())}:
            site.joinpath(place.name).symlink_to(place)
        yield str(Path(folder, "bin", "python")), "-P", "-m", "bff"


def required() -> set[str]:
    """Return the names of the packages that an install without extras brings along on this machine."""
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))["project"]
    return set(_wanted(project["dependencies"], [""]))


def _wanted(requirements: Iterable[str], extras: list[str]) -> Iterator[str]:
    for one in map(Requirement, requirements):
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
            yield one.name
            yield from _wanted(metadata.requires(one.name) or (), ["", *one.extras])


def _places(names: Iterable[str]) -> Iterator[Path]:
    """Yield the files and folders of these packages that stand beside those of others; commands do not."""
    for distribution in map(metadata.distribution, names):
        for top in {Path(file).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            yield Path(str(distribution.locate_file(top)))
