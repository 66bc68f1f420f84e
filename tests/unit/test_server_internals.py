"""What is used of uvicorn beyond its public interface is what it was when it was last read.

uvicorn may change these classes in any release. Where this fails after an upgrade: read what changed in the class, mend
the file that the failure names, run its tests, then put the new fingerprint here and raise the bound in pyproject.toml.
"""

import hashlib
import inspect
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from uvicorn import Config, Server
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from bff.server import http1, process, response, workers

ROOT = Path(__file__).parents[2]

# Whose code, the module of ours that builds on it, and the beginning of the SHA-256 of its source.
READ = [
    (HttpToolsProtocol, http1, "18fdf324b11bf160"),
    (RequestResponseCycle, response, "e67d470d435dcc1c"),
    (FlowControl, http1, "126debcdaa894c83"),
    (Server, process, "06e799f7c58f8be6"),
    (Config.load, process, "92b7159dce105a9c"),
    (Process, workers, "c3105a4518e3195a"),
    (Multiprocess, workers, "ea4650ac0ee7c09c"),
]


def name_of(case: object) -> str | None:
    return getattr(case, "__qualname__", None)


@pytest.mark.parametrize(("theirs", "ours", "fingerprint"), READ, ids=name_of)
def test_what_is_not_public_is_as_it_was_read(theirs: Any, ours: Any, fingerprint: str) -> None:
    found = hashlib.sha256(inspect.getsource(theirs).encode()).hexdigest()[:16]
    assert found == fingerprint, (
        f"uvicorn {metadata.version('uvicorn')} changed {theirs.__module__}.{theirs.__qualname__}: "
        f"read it, mend {Path(ours.__file__).relative_to(ROOT)} if need be, "
        f"then write {found} into {Path(__file__).relative_to(ROOT)}"
    )


def test_an_upgrade_to_a_version_that_nobody_has_read_is_not_resolved() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (uvicorn,) = [one for one in map(Requirement, project["dependencies"]) if one.name == "uvicorn"]
    major, minor = metadata.version("uvicorn").split(".")[:2]
    assert metadata.version("uvicorn") in uvicorn.specifier
    assert f"{major}.{int(minor) + 1}.0" not in uvicorn.specifier, (
        "give uvicorn an upper bound in pyproject.toml"
    )
